"""The labels of a base, read without decoding an image."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.bases import CIFAR, Bases, check_md5, image_files, read_file
from app.catalog.datasets import Dataset
from app.catalog.npz_bases import npz_errors
from app.domain.errors import RequestError
from app.domain.syntax_trees import SYNTAX_TREES


def read_labels(bases: Bases, dataset: Dataset, base: str) -> NDArray[np.int64]:
    """Read a base's labels, [N] int64, in its order.

    Raises:
        RequestError: `base-unknown`, `data-missing`, `data-unreadable` or `data-corrupt`.
    """
    bases.size(dataset, base)  # checks shapes and types, with errors that name the file
    paths = bases.files(dataset, base)
    if dataset.kind in CIFAR:
        key = CIFAR[dataset.kind].label_key
        batches = (batch[key] for batch in cifar_batches(dataset.kind, base, paths))
        return np.concatenate([np.asarray(labels, dtype=np.int64) for labels in batches])
    if dataset.kind == "npz":
        with npz_errors(paths[0]), SYNTAX_TREES, np.load(paths[0], allow_pickle=False) as arrays:
            labels = arrays["labels"].astype(np.int64)
    else:
        labels = np.asarray([label for _, label in labelled_files(bases, dataset, base)], dtype=np.int64)
    return check_labels(labels, bases.classes(dataset), base)


def cifar_batches(kind: str, base: str, paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield the batches of a CIFAR base.

    Raises:
        RequestError: `data-unreadable`; `data-corrupt`, a file is not the published one.
    """
    for path, (_, md5) in zip(paths, CIFAR[kind].files[base], strict=True):
        # The very bytes whose md5 is the published one are unpickled; any others might run code.
        yield pickle.loads(check_md5(read_file(path), path, md5), encoding="latin1")


def labelled_files(bases: Bases, dataset: Dataset, base: str) -> list[tuple[str, int]]:
    """List an `imagefolder` base's images in order, with classes."""
    folder, names = bases.root(dataset) / base, bases.class_names(dataset)
    return [(path, number) for number, name in enumerate(names) for path in image_files(folder / name)]


def check_labels(labels: NDArray[np.int64], classes: int, base: str) -> NDArray[np.int64]:
    """Return the labels if all are valid classes.

    Raises:
        RequestError: `data-corrupt`.
    """
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise RequestError(
            "data-corrupt",
            f"The labels of base {base!r} reach from {labels.min()} to {labels.max()}, but there are {classes} "
            f"classes: 0 to {classes - 1} would have been right.",
        )
    return labels
