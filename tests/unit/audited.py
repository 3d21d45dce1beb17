"""Index lists, pictures and descriptions to audit, and the checks that come of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.catalog.split_lists import parse_indices
from app.catalog.split_sets import ListDescription
from app.domain.checks import Check
from app.domain.errors import RelogitError, RequestError
from worker.datasets.class_counts import LongTail
from worker.splits.audit import AuditedList, AuditReport, audit
from worker.splits.duplicate_images import image_digests

NOTHING = LongTail(None, "There are no counts.", None, "There are no weights.")
LABELS = np.repeat(np.arange(3), 10)
"""Of a base of 30 images, sorted by class."""


def listed(name: str, *indices: int, base: str = "test") -> AuditedList:
    rows = np.array(indices, dtype=np.int64)
    return AuditedList(name, base, rows, LABELS[rows])


def described_as(base: str = "test", **more: Any) -> ListDescription:
    return ListDescription(base=base, **more)


def picture_digests(*pictures: int) -> NDArray[np.void]:
    """Of images that show the given pictures; equal numbers are equal pictures."""
    return image_digests(np.array(pictures, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(3, axis=3))


def audited(
    *lists: AuditedList,
    problems: Mapping[str, RelogitError] | None = None,
    digests: Mapping[str, NDArray[np.void] | str] | None = None,
    long_tail: LongTail = NOTHING,
    described: Mapping[str, ListDescription] | None = None,
) -> AuditReport:
    every = {"test": picture_digests(*range(30)), "train": picture_digests(*range(30, 60))}
    report = audit(lists, problems or {}, 3, every | dict(digests or {}), long_tail, described)
    json.dumps(report.to_dict(), allow_nan=False)
    return report


def named(checks: tuple[Check, ...], check_id: str) -> list[Check]:
    return [check for check in checks if check.id == check_id]


def of_list(report: AuditReport, name: str, check_id: str) -> Check:
    (check,) = named(report.lists[name], check_id)
    return check


def refusal(data: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse_indices(data, "val_indices.json", "test", 30)
    return caught.value


def declared_tail(counts: list[int] | None, weights: list[float] | None) -> LongTail:
    return LongTail(
        None if counts is None else np.array(counts),
        None if counts is not None else "There is no train_class_counts.json.",
        None if weights is None else np.array(weights),
        None if weights is not None else "There is no class_weights.json.",
    )
