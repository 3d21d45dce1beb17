"""Create a set of splits: check the request, draw the lists from the labels, write the folder."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import VERSION
from app.catalog.catalog import Catalog
from app.catalog.datasets import DEFAULT_BASE, Dataset
from app.catalog.labels import read_labels
from app.catalog.long_tail import balance_of, class_groups
from app.catalog.split_draw import class_counts, divide, draw_train, part_balanced
from app.catalog.split_lists import COUNTS_FILE, SPLIT_SUFFIX, TRAIN_SPLIT, WEIGHTS_FILE
from app.catalog.split_sets import DESCRIPTION_FILE, free_name, list_sha256, write_set
from app.domain.errors import RequestError
from app.domain.requests import SplitsRequest
from app.domain.standards import HEAD_THRESHOLD
from app.domain.times import rfc3339
from app.submission.bodies import SplitsBody
from app.submission.problems import Problems

SCHEMA = 1
PARTS = ("test", "val", "tunev")
DIVISION = ("expert", "gating")

Lists = dict[str, NDArray[np.int64]]
"""Indices, or labels, by the name of a list or of a base."""


def create_splits(body: SplitsBody, catalog: Catalog) -> dict[str, Any]:
    """Draw and write a set of splits; return its description.

    Raises:
        Conflict: the name is taken.
        Refused: with a problem for each wrong item.
        RequestError: the labels cannot be read, or a class or a list would have no sample. Nothing is written then.
    """
    problems = Problems()
    name = problems.guard("name", lambda: free_name(body.name, catalog.settings.data_dir, body.overwrite))
    dataset = problems.guard("dataset", lambda: catalog.dataset(body.dataset))
    if dataset is not None:
        bases = {_train_base(catalog, dataset): None, DEFAULT_BASE: None}
        for base in bases:
            problems.guard("dataset", partial(catalog.bases.size, dataset, base))
        if len(bases) == 1:
            problems.add("dataset", _no_train_base(body.dataset))
    if name is None or dataset is None or problems.errors:
        raise problems.refusal()
    train_base = next(iter(bases))
    request = SplitsRequest(**body.model_dump() | {"name": name}, train_base=train_base, test_base=DEFAULT_BASE)
    labels = {base: read_labels(catalog.bases, dataset, base) for base in sorted(bases)}
    lists, counts = draw_lists(request, labels, catalog.bases.classes(dataset))
    description = describe(request, lists, counts, labels)
    files = set_files(lists, counts, description)
    write_set(catalog.settings.data_dir / name, files, overwrite=request.overwrite)
    return description


def draw_lists(request: SplitsRequest, labels: Lists, classes: int) -> tuple[Lists, NDArray[np.int64]]:
    """Draw the lists of a set.

    Args:
        request: what to draw.
        labels: [N] by base.
        classes: C.

    Returns:
        The lists by name, and the train counts [C].

    Raises:
        RequestError: `class-empty`, a class has no sample in the train base; `split-empty`.
    """
    train_labels, test_labels = labels[request.train_base], labels[request.test_base]
    available = np.bincount(train_labels, minlength=classes)
    if not available.all():
        empty = np.flatnonzero(available == 0)[:10].tolist()
        raise RequestError(
            "class-empty", f"The base {request.train_base!r} has no sample of the classes {empty}; each needs one."
        )
    counts = class_counts(available, request.profile, request.imbalance_factor)
    lists = {TRAIN_SPLIT: draw_train(train_labels, counts, request.seed)}
    lists |= dict(zip(PARTS, part_balanced(test_labels, classes, request.test_shares, request.seed), strict=True))
    if request.expert_share is not None:
        division = divide(lists[TRAIN_SPLIT], train_labels, classes, request.expert_share, request.seed)
        lists |= dict(zip(DIVISION, division, strict=True))
    empty_lists = [name for name, indices in lists.items() if not indices.size]
    if empty_lists:
        message = f"{', '.join(empty_lists)} would have no samples; choose larger shares, or a larger base."
        raise RequestError("split-empty", message)
    return lists, counts


def describe(request: SplitsRequest, lists: Lists, counts: NDArray[np.int64], labels: Lists) -> dict[str, Any]:
    """Return the JSON-able content of a set's `splits.json`."""
    groups = class_groups(counts, HEAD_THRESHOLD)
    base_of = {name: request.test_base if name in PARTS else request.train_base for name in lists}
    return {
        "schema": SCHEMA,
        "name": request.name,
        "made_by": f"relogit {VERSION}",
        "made_at": rfc3339(time.time()),
        "profile": request.profile,
        "imbalance_factor": request.imbalance_factor,
        "seed": request.seed,
        "test_shares": list(request.test_shares),
        "expert_share": request.expert_share,
        "lists": {
            name: {
                "base": base_of[name],
                "size": int(indices.size),
                "sha256": list_sha256(indices.tolist()),
                "balance": balance_of(np.bincount(labels[base_of[name]][indices], minlength=counts.size)),
                "row_order": "class-major",
                "part_of": TRAIN_SPLIT if name in DIVISION else None,
            }
            for name, indices in lists.items()
        },
        "train_class_counts": counts.tolist(),
        "groups": {name: np.flatnonzero(mask).tolist() for name, mask in groups.items()},
        "dataset": {
            "name": request.dataset,
            "labels_sha256": {base: list_sha256(values.tolist()) for base, values in sorted(labels.items())},
        },
    }


def set_files(lists: Lists, counts: NDArray[np.int64], description: dict[str, Any]) -> dict[str, Any]:
    """Build a set's files: JSON-able content by file name."""
    return {
        **{f"{name}{SPLIT_SUFFIX}": indices.tolist() for name, indices in lists.items()},
        WEIGHTS_FILE: (counts / counts.sum()).tolist(),
        COUNTS_FILE: counts.tolist(),
        DESCRIPTION_FILE: description,
    }


def _train_base(catalog: Catalog, dataset: Dataset) -> str:
    """Choose the base of train lists: declared, `train` or default."""
    declared = dataset.bases.get(TRAIN_SPLIT)
    return declared or (TRAIN_SPLIT if TRAIN_SPLIT in catalog.bases.names(dataset) else DEFAULT_BASE)


def _no_train_base(name: str) -> RequestError:
    return RequestError(
        "no-train-base",
        f'The data set {name!r} declares no base for train lists: `train = "train"` under [{name}.bases] in '
        "datasets.toml says which one they point into.",
    )
