"""The difference between two sets of splits, sample by sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Sample = tuple[str, int]
"""A base and an index into it."""


@dataclass(frozen=True)
class Difference:
    """The changes from an old set of splits to a new one.

    Each sample counts once.
    """

    added: Mapping[str, int]  # samples of each new list that no old list holds
    removed: Mapping[str, int]  # samples of each old list that no new list holds
    moved: Mapping[tuple[str, str], int]  # samples in lists of other names than before, by (old name, new name)
    same: Mapping[str, int]  # samples of each list that the list of that name holds in both sets
    order: Sequence[str]  # lists with equal samples in another order; row n of their logits is another sample's
    repeats: Mapping[str, tuple[int, int]]  # lists with other repeats: repeated rows (before, now)

    @property
    def none(self) -> bool:
        """Whether every list is equal in both sets, row by row."""
        counts = (*self.added.values(), *self.removed.values(), *self.moved.values())
        return not (any(counts) or self.order or self.repeats)


def difference(old: Mapping[str, Sequence[Sample]], new: Mapping[str, Sequence[Sample]]) -> Difference:
    """Compare two sets by each list's samples in order."""
    old_sets = {name: set(rows) for name, rows in old.items()}
    new_sets = {name: set(rows) for name, rows in new.items()}
    all_old: set[Sample] = set().union(*old_sets.values())
    all_new: set[Sample] = set().union(*new_sets.values())
    common = {name: old_sets[name] & new_sets[name] for name in old if name in new}
    return Difference(
        added={name: len(samples - all_old) for name, samples in new_sets.items()},
        removed={name: len(samples - all_new) for name, samples in old_sets.items()},
        moved=_moved(old_sets, new_sets),
        same={name: len(samples) for name, samples in common.items()},
        order=[name for name in common if old_sets[name] == new_sets[name] and _reordered(old[name], new[name])],
        repeats={
            name: (len(old[name]) - len(old_sets[name]), len(new[name]) - len(new_sets[name]))
            for name, samples in common.items()
            if _frequencies(old[name], samples) != _frequencies(new[name], samples)
        },
    )


def _moved(old: Mapping[str, set[Sample]], new: Mapping[str, set[Sample]]) -> dict[tuple[str, str], int]:
    moved = {}
    for before in old:
        for now in new:
            # A sample that stays in its list has not moved, even if another list holds it as well.
            samples = (old[before] & new[now]) - new.get(before, set()) - old.get(now, set())
            if before != now and samples:
                moved[before, now] = len(samples)
    return moved


def _reordered(old: Sequence[Sample], new: Sequence[Sample]) -> bool:
    """Tell whether equal samples are in another order, repeats aside."""
    if list(dict.fromkeys(old)) != list(dict.fromkeys(new)):
        return True
    return list(old) != list(new) and Counter(old) == Counter(new)


def _frequencies(rows: Sequence[Sample], samples: set[Sample]) -> Counter[Sample]:
    return Counter(sample for sample in rows if sample in samples)
