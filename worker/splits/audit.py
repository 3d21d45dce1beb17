"""The audit of a set of splits: checks of each list, and of the lists against each other.

A list that cannot be read, points outside its base or is empty fails a check of level `error`, because no job can use
it. Every other problem is a warning: figures over such lists mislead. All functions are pure functions of arrays; the
caller reads the lists, labels and images.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.catalog.split_lists import TRAIN_SPLIT
from app.catalog.split_sets import ListDescription
from app.domain.checks import Check, Level, error_check, skipped, verdict_of
from app.domain.errors import RelogitError
from worker.datasets.class_counts import LongTail
from worker.splits.description import Descriptions, check_list, check_missing, parts
from worker.splits.distribution import check_balance, check_class_counts, check_row_order, check_weights
from worker.splits.duplicate_images import ImageGroups, Lists
from worker.verify.lists import check_missing_classes, check_overlap, check_repeats

LIST_CHECKS: dict[str, Level] = {
    "schema": "error", "empty": "error", "range": "error", "repeats": "warning", "same-picture": "warning",
    "missing-classes": "warning", "balance": "warning", "row-order": "warning", "as-described": "warning",
}  # fmt: skip
"""The checks of each list, in this order. After a failed error the remaining checks are skipped."""

ERRORS = {
    "split-invalid": "schema", "split-unreadable": "schema", "unknown-split": "schema", "invalid-name": "schema",
    "base-unknown": "schema", "split-empty": "empty", "split-out-of-range": "range",
}  # fmt: skip
"""Error code of the catalog → the check that it fails. Any other code concerns the base's files, not the list."""

EXPECTED = {"schema": "a flat list of integers", "empty": "one row or more", "range": "indices of the base"}
"""What the checks of level `error` expect."""


@dataclass(frozen=True, eq=False)
class AuditedList:
    """An index list that could be read.

    `indices` are [N] int64, each in [0, size of the base), in the file's order, `labels` the base's labels there.
    """

    name: str
    base: str
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class AuditReport:
    """Checks of the whole set, and LIST_CHECKS of each list."""

    verdict: Literal["passed", "failed"]
    checks: tuple[Check, ...]
    lists: dict[str, tuple[Check, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Convert the report to JSON-able values."""
        return {
            "verdict": self.verdict,
            "checks": [check.to_dict() for check in self.checks],
            "lists": {name: [check.to_dict() for check in checks] for name, checks in self.lists.items()},
        }


def audit(
    lists: Sequence[AuditedList],
    problems: Mapping[str, RelogitError],
    classes: int,
    digests: Mapping[str, NDArray[np.void] | str],
    long_tail: LongTail,
    descriptions: Descriptions = None,
) -> AuditReport:
    """Audit a set of splits against its bases and description.

    Unusable lists fail their checks; they raise nothing. `problems` says by name why other lists could not be read,
    with a code of ERRORS where the list is to blame; `digests` are those of `image_digests` for each base, or why
    there are none. Do not pass a `long_tail` derived from the train list: it would be compared with itself.
    """
    groups = ImageGroups({base: rows for base, rows in digests.items() if not isinstance(rows, str)})
    readable: Lists = {a_list.name: (a_list.base, a_list.indices) for a_list in lists}
    list_checks = {
        a_list.name: _check_list(a_list, classes, groups, digests[a_list.base], descriptions)
        + (check_list(a_list.name, readable, descriptions),) * bool(a_list.indices.size)
        for a_list in lists
    }
    list_checks |= {name: _check_problem(problem) for name, problem in problems.items()}
    missing = {name: about for name, about in (descriptions or {}).items() if name not in list_checks}
    list_checks |= {name: _check_absent(name, about) for name, about in missing.items()}
    part_pairs = parts(readable, descriptions)
    set_checks = (
        *_check_overlaps(lists, problems, part_pairs),
        *_check_images(lists, problems, groups, digests, part_pairs),
        *_check_train(lists, problems, classes, long_tail),
    )
    every = [check for checks in (set_checks, *list_checks.values()) for check in checks]
    return AuditReport(verdict_of(every), set_checks, list_checks)


def _check_list(
    a_list: AuditedList,
    classes: int,
    groups: ImageGroups,
    digests: NDArray[np.void] | str,
    descriptions: Descriptions,
) -> tuple[Check, ...]:
    """Apply the checks that need no other list."""
    about = (descriptions or {}).get(a_list.name)
    name, base, indices, labels = a_list.name, a_list.base, a_list.indices, a_list.labels
    if not indices.size:
        return _failed_at("empty", {"rows": 0}, f"{name!r} has no row.")
    return (
        _passed("schema", {"rows": int(indices.size)}),
        _passed("empty", {"rows": int(indices.size)}),
        _passed("range", {"least": int(indices.min()), "largest": int(indices.max())}),
        check_repeats(indices, base, listed=None),
        skipped("same-picture", "warning", digests)
        if isinstance(digests, str)
        else groups.check_within({name: (base, indices)}),
        check_missing_classes(labels, classes),
        check_balance(labels, classes, about.balance if about else None),
        check_row_order(indices, labels, about.row_order if about else None),
    )


def _check_problem(problem: RelogitError) -> tuple[Check, ...]:
    if problem.code in ERRORS:
        return _failed_at(ERRORS[problem.code], problem.code, problem.message, problem.details.get("position"))
    return tuple(skipped(check_id, level, problem.message) for check_id, level in LIST_CHECKS.items())


def _check_absent(name: str, about: ListDescription) -> tuple[Check, ...]:
    failed = check_missing(name, about)
    not_done = ((check_id, level) for check_id, level in LIST_CHECKS.items() if check_id != failed.id)
    return (*(skipped(check_id, level, "There is no such list.") for check_id, level in not_done), failed)


def _failed_at(check_id: str, measured: object, message: str, position: int | None = None) -> tuple[Check, ...]:
    """Give all checks of a list that fails `check_id`."""
    order = list(LIST_CHECKS)
    place = order.index(check_id)
    evidence = [] if position is None else [position]
    reason = f"The list cannot be used: see {check_id!r}."
    return (
        *(_passed(earlier, EXPECTED[earlier]) for earlier in order[:place]),
        error_check(check_id, False, measured, EXPECTED[check_id], message, evidence),
        *(skipped(later, LIST_CHECKS[later], reason) for later in order[place + 1 :]),
    )


def _passed(check_id: str, measured: object) -> Check:
    expected = EXPECTED[check_id]
    return error_check(check_id, True, measured, expected, f"As expected: {expected}.")


def _check_overlaps(
    lists: Sequence[AuditedList], problems: Mapping[str, RelogitError], part_pairs: Collection[frozenset[str]]
) -> list[Check]:
    bases: dict[str, dict[str, NDArray[np.int64]]] = {}
    for a_list in lists:
        bases.setdefault(a_list.base, {})[a_list.name] = a_list.indices
    checks = [check for base, members in bases.items() for check in check_overlap(base, members, listed=None)]
    checks = [_allowed(check, part_pairs) for check in checks]
    return checks + [_not_compared("overlap", name, problem.message) for name, problem in problems.items()]


def _allowed(check: Check, part_pairs: Collection[frozenset[str]]) -> Check:
    """Pass an overlap check of a part and its whole."""
    if not check.measured or frozenset(check.measured["splits"]) not in part_pairs:
        return check
    first, second = check.measured["splits"]
    shared = check.measured["shared"]
    message = f"{first!r} and {second!r} share {shared} samples: one is a part of the other, as described."
    return replace(check, verdict="passed", message=message, evidence=())


def _check_images(
    lists: Sequence[AuditedList],
    problems: Mapping[str, RelogitError],
    groups: ImageGroups,
    digests: Mapping[str, NDArray[np.void] | str],
    part_pairs: Collection[frozenset[str]],
) -> list[Check]:
    digests_of = {a_list.name: digests[a_list.base] for a_list in lists}
    reasons = {name: reason for name, reason in digests_of.items() if isinstance(reason, str)}
    comparable: Lists = {a_list.name: (a_list.base, a_list.indices) for a_list in lists if a_list.name not in reasons}
    pairs = [pair for pair in combinations(comparable, 2) if frozenset(pair) not in part_pairs]
    if pairs:
        checks = groups.check_across(comparable, pairs)
    else:
        reason = f"A comparison needs two lists whose pictures are available; there is {len(comparable)}."
        if len(comparable) > 1:
            reason = "Of the lists whose pictures are available, one is a part of the other, as described."
        checks = [skipped("same-picture", "warning", reason)]
    reasons |= {name: problem.message for name, problem in problems.items()}
    return checks + [_not_compared("same-picture", name, reason) for name, reason in reasons.items()]


def _check_train(
    lists: Sequence[AuditedList], problems: Mapping[str, RelogitError], classes: int, long_tail: LongTail
) -> list[Check]:
    train = next((a_list for a_list in lists if a_list.name == TRAIN_SPLIT), None)
    declared, absent = long_tail.counts, long_tail.counts_reason
    if train is not None:
        counts: NDArray[np.int64] | None = np.bincount(train.labels, minlength=classes)
        check = check_class_counts(train.labels, declared, absent, classes)
    else:
        counts = declared if declared is not None and declared.shape == (classes,) else None
        why = problems[TRAIN_SPLIT].message if TRAIN_SPLIT in problems else f"There is no list {TRAIN_SPLIT!r}."
        check = (
            check_class_counts(np.empty(0, np.int64), None, absent, classes)
            if declared is None
            else skipped("class-counts", "warning", f"There is nothing to count: {why}")
        )
    return [check, check_weights(long_tail.weights, long_tail.weights_reason, counts, classes)]


def _not_compared(check_id: str, name: str, reason: str) -> Check:
    return skipped(check_id, "warning", f"{name!r} was compared with no other list: {reason}")
