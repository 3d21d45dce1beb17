"""The audit of a set of splits: what its lists are, and what would make figures over them mislead.

That a list cannot be read, points outside its base or is empty is an error: no job can use it. Everything else is
a warning. Pure functions of arrays; who calls them reads the lists, the labels and the pictures.
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
from app.domain.errors import RelogitError
from worker.datasets.class_counts import LongTail
from worker.splits.description import Described, check_list, check_missing, parts
from worker.splits.distribution import check_balance, check_class_counts, check_row_order, check_weights
from worker.splits.duplicate_images import Lists, Pictures
from worker.verify.check import Check, Level, error_check, skipped
from worker.verify.lists import check_missing_classes, check_overlap, check_repeats

LIST_CHECKS: dict[str, Level] = {
    "schema": "error",
    "empty": "error",
    "range": "error",
    "repeats": "warning",
    "same-picture": "warning",
    "missing-classes": "warning",
    "balance": "warning",
    "row-order": "warning",
    "as-described": "warning",
}
"""Of each list, in this order: after a failed error there is nothing to do the others with."""

ERRORS = {
    "split-invalid": "schema",
    "split-unreadable": "schema",
    "split-empty": "empty",
    "unknown-split": "schema",
    "split-out-of-range": "range",
    "invalid-name": "schema",
    "base-unknown": "schema",
}
"""Which check fails by which of the catalog's errors. Any other is about the base's files, not about the list."""

EXPECTED = {"schema": "a flat list of integers", "empty": "one row or more", "range": "indices of the base"}
"""Of the checks whose failure is an error."""


@dataclass(frozen=True, eq=False)
class AuditedList:
    """An index list that could be read.

    Attributes:
        name: of the split.
        base: that it points into.
        indices: [N] int64, each in [0, size of the base), in the file's order.
        labels: [N] int64, the base's labels at these, each in [0, classes).
    """

    name: str
    base: str
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        verdict: `failed` exactly when a check of level `error` failed.
        checks: those of the whole set.
        lists: those of each list, by its name; LIST_CHECKS, in that order.
    """

    verdict: Literal["passed", "failed"]
    checks: tuple[Check, ...]
    lists: dict[str, tuple[Check, ...]]

    def to_dict(self) -> dict[str, Any]:
        """The report as it is stored and sent."""
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
    described: Described = None,
) -> AuditReport:
    """Hold a set of splits against itself, its bases and what is declared of it. Bad lists fail; nothing is raised.

    Args:
        lists: that could be read, each name once.
        problems: by name, why the others could not; of ERRORS' codes where the list is to blame.
        classes: C ≥ 1, of the data set.
        digests: for each base of `lists`, what `image_digests` gives for all of its images, or why there are none.
        long_tail: counts and weights as their files say, each None, with the reason, where there is no such file:
            what was worked out from the train list would be held against itself.
        described: what a description says of each list.
    """
    pictures = Pictures({base: found for base, found in digests.items() if not isinstance(found, str)})
    readable: Lists = {one.name: (one.base, one.indices) for one in lists}
    of_lists = {
        one.name: _check_list(one, classes, pictures, digests[one.base], described)
        + (check_list(one.name, readable, described),) * bool(one.indices.size)
        for one in lists
    }
    of_lists |= {name: _check_problem(problem) for name, problem in problems.items()}
    missing = {name: said for name, said in (described or {}).items() if name not in of_lists}
    of_lists |= {name: _check_absent(name, said) for name, said in missing.items()}
    shared = parts(readable, described)
    whole = (
        *_check_overlaps(lists, problems, shared),
        *_check_pictures(lists, problems, pictures, digests, shared),
        *_check_train(lists, problems, classes, long_tail),
    )
    fatal = any(check.fatal for checks in (whole, *of_lists.values()) for check in checks)
    return AuditReport("failed" if fatal else "passed", whole, of_lists)


def _check_list(
    a_list: AuditedList,
    classes: int,
    pictures: Pictures,
    digests: NDArray[np.void] | str,
    described: Described,
) -> tuple[Check, ...]:
    """Of a list for itself: all but what it is held against other lists for."""
    said = (described or {}).get(a_list.name)
    name, base, indices, labels = a_list.name, a_list.base, a_list.indices, a_list.labels
    if not indices.size:
        return _failed_at("empty", {"rows": 0}, f"{name!r} has no row.")
    return (
        _sound("schema", {"rows": int(indices.size)}),
        _sound("empty", {"rows": int(indices.size)}),
        _sound("range", {"least": int(indices.min()), "largest": int(indices.max())}),
        check_repeats(indices, base, listed=None),
        skipped("same-picture", "warning", digests)
        if isinstance(digests, str)
        else pictures.check_within({name: (base, indices)}),
        check_missing_classes(labels, classes),
        check_balance(labels, classes, said.balance if said else None),
        check_row_order(indices, labels, said.row_order if said else None),
    )


def _check_problem(problem: RelogitError) -> tuple[Check, ...]:
    if problem.code in ERRORS:
        return _failed_at(ERRORS[problem.code], problem.code, problem.message, problem.details.get("position"))
    return tuple(skipped(check_id, level, problem.message) for check_id, level in LIST_CHECKS.items())


def _check_absent(name: str, said: ListDescription) -> tuple[Check, ...]:
    absent = check_missing(name, said)
    others = ((check_id, level) for check_id, level in LIST_CHECKS.items() if check_id != absent.id)
    return (*(skipped(check_id, level, "There is no such list.") for check_id, level in others), absent)


def _failed_at(check_id: str, measured: object, message: str, position: int | None = None) -> tuple[Check, ...]:
    """All checks of a list that cannot be used: those before this one passed, and those after it cannot be done."""
    order = list(LIST_CHECKS)
    place = order.index(check_id)
    evidence = [] if position is None else [position]
    reason = f"The list cannot be used: see {check_id!r}."
    return (
        *(_sound(other, EXPECTED[other]) for other in order[:place]),
        error_check(check_id, False, measured, EXPECTED[check_id], message, evidence),
        *(skipped(other, LIST_CHECKS[other], reason) for other in order[place + 1 :]),
    )


def _sound(check_id: str, measured: object) -> Check:
    expected = EXPECTED[check_id]
    return error_check(check_id, True, measured, expected, f"As it should be: {expected}.")


def _check_overlaps(
    lists: Sequence[AuditedList], problems: Mapping[str, RelogitError], shared: Collection[frozenset[str]]
) -> list[Check]:
    bases: dict[str, dict[str, NDArray[np.int64]]] = {}
    for a_list in lists:
        bases.setdefault(a_list.base, {})[a_list.name] = a_list.indices
    checks = [check for base, of_base in bases.items() for check in check_overlap(base, of_base, listed=None)]
    checks = [_allowed(check) if check.measured and _pair(check) in shared else check for check in checks]
    return checks + [_left_out("overlap", name, problem.message) for name, problem in problems.items()]


def _pair(check: Check) -> frozenset[str]:
    return frozenset(check.measured["splits"])


def _allowed(check: Check) -> Check:
    """That a part is in its whole is what it is for; what they share is told, but is no fault."""
    one, other = check.measured["splits"]
    message = (
        f"{one!r} and {other!r} share {check.measured['shared']} samples: one is a part of the other, as described."
    )
    return replace(check, verdict="passed", message=message, evidence=())


def _check_pictures(
    lists: Sequence[AuditedList],
    problems: Mapping[str, RelogitError],
    pictures: Pictures,
    digests: Mapping[str, NDArray[np.void] | str],
    shared: Collection[frozenset[str]],
) -> list[Check]:
    reasons = {a_list.name: digests[a_list.base] for a_list in lists}
    unseen = {name: reason for name, reason in reasons.items() if isinstance(reason, str)}
    seen: Lists = {one.name: (one.base, one.indices) for one in lists if one.name not in unseen}
    pairs = [pair for pair in combinations(seen, 2) if frozenset(pair) not in shared]
    if pairs:
        checks = pictures.check_across(seen, pairs)
    else:
        reason = f"Two lists whose pictures are at hand are needed to compare; here there is {len(seen)}."
        if len(seen) > 1:
            reason = "Of the lists whose pictures are at hand one is a part of the other, as described."
        checks = [skipped("same-picture", "warning", reason)]
    unseen |= {name: problem.message for name, problem in problems.items()}
    return checks + [_left_out("same-picture", name, reason) for name, reason in unseen.items()]


def _check_train(
    lists: Sequence[AuditedList],
    problems: Mapping[str, RelogitError],
    classes: int,
    long_tail: LongTail,
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


def _left_out(check_id: str, name: str, reason: str) -> Check:
    return skipped(check_id, "warning", f"{name!r} was compared with no other list: {reason}")
