"""Create a set of splits: drawn from the labels as they are now, written whole, described by what made it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import VERSION
from app.catalog.datasets import Dataset
from app.catalog.split_lists import COUNTS_FILE, SPLIT_SUFFIX, TRAIN_SPLIT, WEIGHTS_FILE
from app.catalog.split_sets import DESCRIPTION_FILE, list_sha256, write_set
from app.domain.errors import Conflict, RequestError
from app.domain.fault_points import reach
from app.domain.jobs import Claim
from app.domain.requests import HEAD_THRESHOLD, SplitsRequest
from app.domain.times import rfc3339
from worker.cancellation import CancellationPoint
from worker.context import Context
from worker.splits.distribution import check_balance
from worker.splits.draw import divide, draw_train, part_balanced
from worker.splits.profile import class_counts
from worker.verify.metrics.groups import class_groups

SCHEMA = 1
PARTS = ("test", "val", "tunev")
DIVISION = ("expert", "gating")

Lists = dict[str, NDArray[np.int64]]


def draw_splits(claim: Claim, context: Context) -> None:
    """Draw the lists, write the folder, and record what is in it.

    Raises:
        RequestError: the labels are not to be had, or a class has no samples.
        Conflict: the folder is there, and is not to be overwritten.
    """
    request = claim.job.request
    assert isinstance(request, SplitsRequest)
    dataset = Dataset.model_validate(request.declaration)
    classes = context.catalog.bases.classes(dataset)
    labels = {base: context.pools.labels(dataset, base) for base in {request.train_base, request.test_base}}
    lists, counts = draw_lists(request, labels, classes)
    described = describe(request, lists, counts, labels)
    described["job"] = claim.job.id
    described["dataset"] = {
        "name": request.dataset,
        "labels_sha256": {base: list_sha256(values.tolist()) for base, values in sorted(labels.items())},
    }
    files = files_of(lists, counts, described)
    reach("draw.drawn")
    CancellationPoint(
        claim, context
    ).check()  # only who still holds the claim may show a folder, and nobody for a cancelled job
    described = _written(claim, context.settings.data_dir / request.name, files, overwrite=request.overwrite)
    context.jobs.finish_job(claim, {"verdict": "passed", "checks": [], "splits": described})


def _written(claim: Claim, folder: Path, files: dict[str, Any], *, overwrite: bool) -> dict[str, Any]:
    """Write the set. Returns its description: that of this very job, if a worker wrote it and died over the rest."""
    described: dict[str, Any] = files[DESCRIPTION_FILE]
    try:
        write_set(folder, files, overwrite=overwrite)
    except Conflict:
        try:
            there = json.loads((folder / DESCRIPTION_FILE).read_bytes())
        except (OSError, ValueError):
            there = None
        if not isinstance(there, dict) or there.get("job") != claim.job.id:
            raise
        return there
    return described


def draw_lists(
    request: SplitsRequest, labels: dict[str, NDArray[np.int64]], classes: int
) -> tuple[Lists, NDArray[np.int64]]:
    """The lists by name, and the train counts [C].

    Raises:
        RequestError: `class-empty`, a class has no sample in the train base.
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
        raise RequestError(
            "split-empty",
            f"{', '.join(empty_lists)} would have no samples; choose larger shares, or a base with more of them.",
        )
    return lists, counts


def describe(request: SplitsRequest, lists: Lists, counts: NDArray[np.int64], labels: Lists) -> dict[str, Any]:
    """What `splits.json` says of the set, but for the data set. JSON-able."""
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
                "balance": _balance(labels[base_of[name]][indices], counts.size),
                "row_order": "class-major",
                "part_of": TRAIN_SPLIT if name in DIVISION else None,
            }
            for name, indices in lists.items()
        },
        "train_class_counts": counts.tolist(),
        "groups": {name: np.flatnonzero(mask).tolist() for name, mask in groups.items()},
    }


def files_of(lists: Lists, counts: NDArray[np.int64], described: dict[str, Any]) -> dict[str, Any]:
    """What a folder of splits holds: JSON-able content by file name."""
    return {
        **{f"{name}{SPLIT_SUFFIX}": indices.tolist() for name, indices in lists.items()},
        WEIGHTS_FILE: (counts / counts.sum()).tolist(),
        COUNTS_FILE: counts.tolist(),
        DESCRIPTION_FILE: described,
    }


def _balance(labels: NDArray[np.int64], classes: int) -> str | None:
    """As the audit would call it; None where it is neither, as few rows of a long tail may be."""
    measured: str = check_balance(labels, classes, None).measured["balance"]
    return measured if measured in ("balanced", "long-tailed") else None
