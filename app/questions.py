"""The questions that the API asks workers about files, with everything that their answers depend on."""

from __future__ import annotations

from pathlib import Path

from app.bases import FileId, file_id
from app.datasets import Dataset
from app.facts import Question


def passport_question(path: Path, dataset: Dataset, expert: str) -> Question:
    """What network a checkpoint file holds, as the data set's overrides have it read.

    Raises:
        OSError: the file is not there.
    """
    about = {"file": file_id(path), "assumptions": dataset.override(expert).assumptions()}
    return Question("passport", about)


def split_question(dataset: Dataset, base: tuple[FileId, ...], folder: str, split: str, sha256: str) -> Question:
    """How many samples of each class an index list holds.

    Args:
        dataset: as declared.
        base: identity of the base that the list points into.
        folder: below the data directory.
        split: name of the list.
        sha256: of its file.
    """
    about = {
        "dataset": dataset.model_dump(mode="json"),
        "base": base,
        "splits_dir": folder,
        "split": split,
        "sha256": sha256,
    }
    return Question("split", about)
