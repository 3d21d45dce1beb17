"""The formats of exports that need NumPy only; each function writes below one folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from relogit.arrays import softmax
from relogit.errors import Refused
from relogit.export.sources import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LABELS = "labels.json"  # FiftyOne's name of such a file


def write_stack(source: Source, folder: Path) -> None:
    """Write `<split>.npz` with the logits of all experts in one array.

    `logits` float32 [E, N, C], `experts` str [E], `targets` int64 [N], `sample_index` int64 [N], `base` str [].

    Raises:
        Refused: two experts have different numbers of classes.
    """
    import numpy as np  # here, because the import takes longer than most commands

    for part in source.splits():
        shapes = {arrays.logits.shape for arrays in part.experts.values()}
        if len(shapes) != 1:
            raise Refused(f"The experts have logits of different shapes over {part.split!r}; they cannot be stacked.")
        np.savez(
            folder / f"{part.split}.npz",
            logits=np.stack([arrays.logits for arrays in part.experts.values()]),  # [E, N, C]
            experts=np.array(list(part.experts)),
            targets=part.targets,
            sample_index=part.samples.indices,
            base=np.array(part.samples.base),
        )


def write_pred_probs(source: Source, folder: Path) -> None:
    """Write probabilities for cleanlab: `pred_probs/<expert>/<split>.npy` float64 [N, C].

    `labels/<split>.npy` is int64 [N], `sample_index/<split>.npy` int64 [N].
    """
    for part in source.splits():
        _save(folder / "labels" / f"{part.split}.npy", part.targets)
        _save(folder / "sample_index" / f"{part.split}.npy", part.samples.indices)
        for expert, arrays in part.experts.items():
            _save(folder / "pred_probs" / expert / f"{part.split}.npy", softmax(arrays.logits))


def write_fd_shifts(source: Source, folder: Path) -> None:
    """Write `<expert>/test_results/raw_logits.npz` for fd-shifts.

    Its array `arr_0` is float64 [N, C + 2], with all splits below each other: logits, label, number of the split.
    `datasets.json` lists the splits in the order of their numbers; `val` comes first, as fd-shifts has it.
    """
    import numpy as np  # here, because the import takes longer than most commands

    parts = list(source.splits())
    parts.sort(key=lambda part: part.split != "val")  # stable: the others keep the job's order
    for expert in source.experts:
        rows = [
            _fd_rows(part.experts[expert].logits, part.targets, number)
            for number, part in enumerate(parts)
            if expert in part.experts
        ]
        path = folder / expert / "test_results" / "raw_logits.npz"
        path.parent.mkdir(parents=True)
        np.savez_compressed(path, np.concatenate(rows))
    _write_json(folder / "datasets.json", [part.split for part in parts])


def write_fiftyone(source: Source, folder: Path) -> None:
    """Write FiftyOneImageClassificationDataset labels, without images.

    `<split>/labels.json` has the targets, `<split>/predictions/<expert>.json` predictions with confidence,
    `<split>/logits/<expert>.npy` float32 [N, C] in the order of `labels.json`. A sample's key is `<base>/<index>`.

    Raises:
        Refused: a list names a sample twice, so that it has no key of its own.
    """
    for part in source.splits():
        keys = [f"{part.samples.base}/{index}" for index in part.samples.indices.tolist()]
        if len(set(keys)) != len(keys):
            raise Refused(f"The list of {part.split!r} names samples twice; FiftyOne has one label for each image.")
        classes = [str(number) for number in range(part.classes)]
        _write_labels(folder / part.split / LABELS, classes, dict(zip(keys, part.targets.tolist(), strict=True)))
        for expert, arrays in part.experts.items():
            confidence = softmax(arrays.logits).max(axis=1)  # [N]
            pairs = zip(arrays.predictions.tolist(), confidence.tolist(), strict=True)
            labels = [{"label": label, "confidence": share} for label, share in pairs]
            path = folder / part.split / "predictions" / f"{expert}.json"
            _write_labels(path, classes, dict(zip(keys, labels, strict=True)))
            _save(folder / part.split / "logits" / f"{expert}.npy", arrays.logits)


def in_sample_note(source: Source) -> str:
    """Say for which lists probabilities may be in-sample."""
    lists = ", ".join(f"{split} (of {base})" for split, base in _bases(source))
    return (
        "cleanlab needs out-of-sample probabilities. On images that an expert was trained on these are in-sample, "
        f"and hide label errors: relogit does not know which those are. Exported: {lists}."
    )


def _bases(source: Source) -> Iterator[tuple[str, str]]:
    for split, artifacts in source.artifacts.items():
        yield split, str(artifacts[0]["manifest"]["dataset"]["base"])


def _fd_rows(logits: NDArray[np.float32], targets: NDArray[np.int64], number: int) -> NDArray[np.float64]:
    """Join logits [N, C], targets [N] and the split's number to [N, C + 2]."""
    import numpy as np  # here, because the import takes longer than most commands

    return np.column_stack([logits.astype(np.float64), targets, np.full(len(targets), number)])


def _save(path: Path, array: NDArray[np.generic]) -> None:
    import numpy as np  # here, because the import takes longer than most commands

    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def _write_labels(path: Path, classes: list[str], labels: dict[str, object]) -> None:
    _write_json(path, {"classes": classes, "labels": labels})


def _write_json(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
