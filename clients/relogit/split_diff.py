"""How two sets of splits differ, sample by sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Sample = tuple[str, int]
"""A base and an index into it."""


@dataclass(frozen=True)
class Difference:
    """What a second set has that a first has not, and the other way round. Samples count once.

    Attributes:
        added: samples of each list of the second set that are in no list of the first over that base.
        removed: samples of each list of the first set that are in no list of the second.
        moved: samples in lists of other names than before, by (before, now).
        same: samples of each list that are in the list of that name in both.
        order: lists that hold the same samples as before, in another order: row n of their logits is another's.
        repeats: lists that hold samples of both sets more or less often, with their repeated rows, (before, now).
    """

    added: Mapping[str, int]
    removed: Mapping[str, int]
    moved: Mapping[tuple[str, str], int]
    same: Mapping[str, int]
    order: Sequence[str]
    repeats: Mapping[str, tuple[int, int]]

    @property
    def none(self) -> bool:
        """Whether each list is what it was, row by row."""
        counts = (self.added, self.removed, self.moved)
        return not (any(any(one.values()) for one in counts) or self.order or self.repeats)


def difference(first: Mapping[str, Sequence[Sample]], second: Mapping[str, Sequence[Sample]]) -> Difference:
    """Compare two sets of splits.

    Args:
        first: the samples of each list, in its order.
        second: the same of the other set.
    """
    was, there = ({name: set(rows) for name, rows in one.items()} for one in (first, second))
    before: set[Sample] = set().union(*was.values())
    now: set[Sample] = set().union(*there.values())
    both = [name for name in first if name in second]
    moved = {}
    for old in first:
        for new in second:
            # A sample that is where it was is not moved, though it may be in another list as well.
            count = len((was[old] & there[new]) - was.get(new, set()) - there.get(old, set())) if old != new else 0
            if count:
                moved[old, new] = count
    return Difference(
        added={name: len(samples - before) for name, samples in there.items()},
        removed={name: len(samples - now) for name, samples in was.items()},
        moved=moved,
        same={name: len(was[name] & there[name]) for name in both},
        order=[name for name in both if was[name] == there[name] and _reordered(first[name], second[name])],
        repeats={
            name: (len(first[name]) - len(was[name]), len(second[name]) - len(there[name]))
            for name in both
            if _times(first[name], was[name] & there[name]) != _times(second[name], was[name] & there[name])
        },
    )


def _reordered(old: Sequence[Sample], new: Sequence[Sample]) -> bool:
    """Whether equal samples stand in another order, whatever repeats came or went."""
    if list(dict.fromkeys(old)) != list(dict.fromkeys(new)):
        return True
    return list(old) != list(new) and Counter(old) == Counter(new)


def _times(rows: Sequence[Sample], wanted: set[Sample]) -> Counter[Sample]:
    return Counter(sample for sample in rows if sample in wanted)
