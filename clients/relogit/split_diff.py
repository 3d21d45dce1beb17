"""How two sets of splits differ, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
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
    """

    added: Mapping[str, int]
    removed: Mapping[str, int]
    moved: Mapping[tuple[str, str], int]
    same: Mapping[str, int]

    @property
    def none(self) -> bool:
        """Whether each list holds the samples that it held."""
        return not (any(self.added.values()) or any(self.removed.values()) or any(self.moved.values()))


def difference(first: Mapping[str, set[Sample]], second: Mapping[str, set[Sample]]) -> Difference:
    """Compare two sets of splits.

    Args:
        first: the samples of each list.
        second: the same of the other set.
    """
    before: set[Sample] = set().union(*first.values())
    now: set[Sample] = set().union(*second.values())
    moved = {}
    for old, was in first.items():
        for new, there in second.items():
            # A sample that is where it was is not moved, though it may be in another list as well.
            count = len((was & there) - first.get(new, set()) - second.get(old, set())) if old != new else 0
            if count:
                moved[old, new] = count
    return Difference(
        added={name: len(samples - before) for name, samples in second.items()},
        removed={name: len(samples - now) for name, samples in first.items()},
        moved=moved,
        same={name: len(first[name] & second[name]) for name in first if name in second},
    )
