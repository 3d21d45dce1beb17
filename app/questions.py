"""What only workers find out, about files and about themselves, with everything that the answers depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.bases import FileId, file_id
from app.datasets import Dataset
from app.facts import Question
from app.numerics import Numerics
from app.revisions import RECOGNITION, code_digest


def passport_question(path: Path, dataset: Dataset, expert: str) -> Question:
    """What network a checkpoint file holds, as the data set's overrides have it read.

    Raises:
        OSError: the file is not there.
    """
    about = {
        "file": file_id(path),
        "assumptions": dataset.override(expert).assumptions(),
        "code": code_digest(RECOGNITION),
    }
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


def pool_question(dataset: Dataset, base: str, files: tuple[FileId, ...]) -> Question:
    """What a base's decoded pixels are: `pixels_sha256`, and `images`, their shape.

    Args:
        dataset: as declared.
        base: which one.
        files: identity of its files.
    """
    about = {"dataset": dataset.model_dump(mode="json", exclude={"overrides"}), "base": base, "files": files}
    return Question("pool", about)


def rate_question(network: Mapping[str, Any], image: Sequence[int], numerics: Numerics) -> Question:
    """How fast such a network was here, when it last computed: `images_per_s`, and the process's `peak_bytes`.

    No worker is asked for it; they tell when they have computed.

    Args:
        network: the architecture as a spec.
        image: [H, W, 3].
        numerics: of the computation.
    """
    return Question("rate", {"network": dict(network), "image": list(image), "numerics": asdict(numerics)})
