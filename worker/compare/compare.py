"""Compare the pairs of one split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.domain.comparisons import Cause, McNemar, PairComparison
from worker.combine.rows import ClassGroups
from worker.compare.causes import CauseInput, find_cause
from worker.compare.differences import SideFigures, paired_figures, side_figures
from worker.compare.flips import flip_groups, largest_flips, logit_gap, recall_differences
from worker.compare.manifest_facts import Manifest
from worker.compare.mcnemar import adjusted, mcnemar
from worker.compare.pairing import PairedRows, pair_rows
from worker.compare.rows import Ints, Logits, SideRows


@dataclass(frozen=True, eq=False)
class Side:
    """One side's logits of a split.

    Attributes:
        label: unique among the sides.
        logits: [N, C] of any float dtype, finite.
        labels: [N] int64, 0…C−1.
        samples: [N] int64, indices into the base.
        list_sha256: of the index list; sides with equal digests have equal samples.
        manifest: of the file, if it has one.
    """

    label: str
    logits: Logits
    labels: Ints
    samples: Ints
    list_sha256: str
    manifest: Manifest | None = None


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """The train samples of the classes.

    Attributes:
        counts: [C] int64.
        groups: the classes' head and tail.
    """

    counts: Ints
    groups: ClassGroups


class Unpaired(Exception):
    """Two sides cannot be compared; the message says why, and what would be right."""


CauseFinder = Callable[[CauseInput, PairedRows], Cause]


@dataclass(frozen=True, eq=False)
class PairRows:
    """Two sides' paired rows, scored."""

    a: Side
    b: Side
    paired: PairedRows
    labels: Ints

    @classmethod
    def of(cls, a: Side, b: Side) -> PairRows:
        """Pair the rows of two sides.

        Raises:
            Unpaired: they share no sample, or their labels differ.
        """
        paired = pair_rows(a.samples, b.samples, same_list=a.list_sha256 == b.list_sha256)
        if not paired.pairing.rows:
            raise Unpaired(
                f"The lists of {a.label} and {b.label} share no sample. Compare logits of the same list, or of "
                "lists that overlap."
            )
        labels = a.labels[paired.rows_a]
        if not np.array_equal(labels, b.labels[paired.rows_b]):
            raise Unpaired(
                f"The labels of the samples differ between {a.label} and {b.label}: their bases are different data. "
                "Compare logits over the same images and labels."
            )
        return cls(a, b, paired, labels)

    @property
    def key(self) -> bytes:
        """What equal rows have in common: the samples, in order."""
        return self.paired.samples.tobytes()


def compare_pairs(
    split: str,
    base: str,
    pairs: Sequence[PairRows],
    classes: ClassCounts | None,
    check: Callable[[], None],
    cause_of: CauseFinder = lambda given, _: find_cause(given),
) -> list[PairComparison]:
    """Compare the pairs of one split, with Holm's correction over them.

    Sides whose pairs have the same rows share their scores and resamples. `check` may raise to stop.
    """
    scored, figures = _scored(pairs, check), {}
    for key in dict.fromkeys(pair.key for pair in pairs):
        alike = [pair for pair in pairs if pair.key == key]
        sides = {label: scored[key, label] for pair in alike for label in (pair.a.label, pair.b.label)}
        groups = None if classes is None else classes.groups
        figures[key] = side_figures(sides, alike[0].labels, alike[0].paired.samples, groups, check)
    tests = adjusted([_test(pair, scored) for pair in pairs])
    results = []
    for pair, test in zip(pairs, tests, strict=True):
        check()
        a, b = scored[pair.key, pair.a.label], scored[pair.key, pair.b.label]
        results.append(_Compared(pair, a, b, figures[pair.key], classes).result(split, base, test, cause_of))
    return results


def _test(pair: PairRows, scored: Mapping[tuple[bytes, str], SideRows]) -> McNemar:
    """Test the pair on its distinct samples; equal rows of one image are no further evidence."""
    once = np.unique(pair.paired.samples, return_index=True)[1]
    return mcnemar(*(scored[pair.key, side.label].right[once] for side in (pair.a, pair.b)))


def _scored(pairs: Sequence[PairRows], check: Callable[[], None]) -> dict[tuple[bytes, str], SideRows]:
    """Score each side's paired rows once for each set of rows."""
    scored: dict[tuple[bytes, str], SideRows] = {}
    whole: dict[str, SideRows] = {}
    for pair in pairs:
        for side, rows in ((pair.a, pair.paired.rows_a), (pair.b, pair.paired.rows_b)):
            if (pair.key, side.label) in scored:
                continue
            check()
            if side.label not in whole:
                whole[side.label] = SideRows.of(side.logits, side.labels)
            every = np.array_equal(rows, np.arange(len(side.labels)))
            scored[pair.key, side.label] = whole[side.label] if every else whole[side.label].take(rows)
    return scored


@dataclass(frozen=True, eq=False)
class _Compared:
    """One pair with what was computed for it."""

    pair: PairRows
    a: SideRows
    b: SideRows
    figures: Mapping[str, SideFigures]
    classes: ClassCounts | None

    def result(self, split: str, base: str, test: McNemar, cause_of: CauseFinder) -> PairComparison:
        """Put the comparison together."""
        pair, a, b = self.pair, self.a, self.b
        counts = None if self.classes is None else self.classes.counts
        groups = None if self.classes is None else self.classes.groups
        given = CauseInput(
            a=a.logits,
            b=b.logits,
            whole_a=pair.a.logits,
            whole_b=pair.b.logits,
            pairing=pair.paired.pairing,
            manifests=(pair.a.manifest, pair.b.manifest),
            train_counts=counts,
        )
        return PairComparison(
            split=split,
            a=pair.a.label,
            b=pair.b.label,
            base=base,
            pairing=pair.paired.pairing,
            mcnemar=test,
            figures=paired_figures(self.figures[pair.a.label], self.figures[pair.b.label]),
            logits=logit_gap(a.logits, b.logits),
            flips=flip_groups(a, b, pair.labels, groups),
            classes=recall_differences(a, b, pair.labels, counts, max(a.logits.shape[1], b.logits.shape[1])),
            largest_flips=largest_flips(a, b, pair.labels, pair.paired),
            cause=cause_of(given, pair.paired),
        )
