"""Comparing the pairs of a split: shared rows, Holm's correction, and what swapping A and B does."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from app.domain.comparisons import FIGURES, PairComparison
from tests.unit.compared import class_counts, make_labels, make_logits, make_side
from worker.compare.compare import PairRows, Side, Unpaired, compare_pairs

LABELS = make_labels(120)


def compare(*pairs: tuple[Side, Side]) -> list[PairComparison]:
    return compare_pairs("test", "test", [PairRows.of(*pair) for pair in pairs], class_counts(), lambda: None)


def side(label: str, seed: int, rows: np.ndarray | None = None) -> Side:
    """An expert's rows; those of `rows` only, for a list of their own."""
    samples = np.arange(120) if rows is None else rows
    logits = make_logits(LABELS, seed)[samples]
    return make_side(label, logits, LABELS[samples], samples, "l" if rows is None else f"{samples.tolist()}")


@pytest.mark.parametrize("rows", [None, np.arange(110, 10, -1), np.repeat(np.arange(40), 2)])
def test_swapping_a_and_b_negates_differences_and_swaps_counts(rows: np.ndarray | None) -> None:
    """Every difference is B − A, on the same list and on lists that differ."""
    a, b = side("a", 1), side("b", 2, rows)
    [first], [second] = compare((a, b)), compare((b, a))
    for name in FIGURES:
        one, other = first.figure(name), second.figure(name)
        assert (one.a, one.b) == pytest.approx((other.b, other.a))
        assert one.difference is not None
        assert other.difference is not None
        assert one.difference.value == pytest.approx(-other.difference.value, abs=1e-12)
        assert (one.difference.low, one.difference.high) == pytest.approx(
            (-other.difference.high, -other.difference.low), abs=1e-12
        )
    assert (first.mcnemar.only_a, first.mcnemar.only_b) == (second.mcnemar.only_b, second.mcnemar.only_a)
    assert first.mcnemar.p == second.mcnemar.p
    assert [(g.flips, g.to_right, g.margin_a) for g in first.flips] == [
        (g.flips, g.to_wrong, g.margin_b) for g in second.flips
    ]
    assert [recall.difference for recall in first.classes] == [-recall.difference for recall in second.classes]
    assert {flip.sample for flip in first.largest_flips} == {flip.sample for flip in second.largest_flips}
    assert (first.pairing.left_out_a, first.pairing.left_out_b) == (
        second.pairing.left_out_b, second.pairing.left_out_a
    )  # fmt: skip


def test_pairs_of_a_split_are_corrected_together() -> None:
    """Three sides give three tests; a single pair is not corrected. The figures do not depend on the other pairs."""
    a, b, c = (side(label, seed) for seed, label in enumerate("abc"))
    results = compare((a, b), (a, c), (b, c))
    assert [(result.a, result.b) for result in results] == [("a", "b"), ("a", "c"), ("b", "c")]
    p_values = [result.mcnemar.p for result in results]
    assert [r.mcnemar.p_holm for r in results] == pytest.approx(multipletests(p_values, method="holm")[1])
    [alone] = compare((a, c))
    assert alone.mcnemar.p_holm == alone.mcnemar.p == p_values[1]
    assert alone.figures == results[1].figures
    values = {(r.a, r.b): r.figure("accuracy").difference for r in results}
    assert values["a", "c"] is not None
    assert values["a", "c"].value == pytest.approx(
        sum(value.value for pair in (("a", "b"), ("b", "c")) if (value := values[pair]))
    )


def test_only_common_samples_count() -> None:
    """The comparison over overlapping lists is that of their common part."""
    whole, part = side("a", 1), side("b", 2, np.arange(30, 90))
    [overlapping] = compare((whole, part))
    [common] = compare((side("a", 1, np.arange(30, 90)), part))
    assert overlapping.figures == common.figures
    assert overlapping.mcnemar == common.mcnemar
    assert (overlapping.pairing.rows, overlapping.pairing.left_out_a, overlapping.pairing.left_out_b) == (60, 60, 0)
    assert [flip.row for flip in overlapping.largest_flips] == [flip.row + 30 for flip in common.largest_flips]


def test_a_sample_that_repeats_is_tested_once() -> None:
    """McNemar's test is of independent draws: a list that names every sample three times proves no more."""
    [once] = compare((side("a", 1, np.arange(100)), side("b", 2, np.arange(100))))
    thrice = np.repeat(np.arange(100), 3)
    [repeated] = compare((side("a", 1, thrice), side("b", 2, thrice)))
    assert (repeated.pairing.rows, repeated.pairing.samples) == (300, 100)
    assert repeated.mcnemar == once.mcnemar
    for name in ("accuracy", "balanced_accuracy", "nll", "ece"):  # repeats are drawn together, so intervals stay
        first, second = (result.figure(name).difference for result in (once, repeated))
        assert first is not None
        assert second is not None
        assert (second.value, second.low, second.high) == pytest.approx((first.value, first.low, first.high))


def test_one_row_is_enough() -> None:
    """With figures of it, and no class but its own."""
    [result] = compare((side("a", 1, np.array([7])), side("b", 2, np.array([7]))))
    assert result.pairing.rows == len(result.classes) == 1
    assert (
        sum((result.mcnemar.both_right, result.mcnemar.only_a, result.mcnemar.only_b, result.mcnemar.both_wrong)) == 1
    )
    assert result.mcnemar.p == 1.0


def test_what_cannot_be_paired_is_refused() -> None:
    """No common sample, or labels that differ."""
    with pytest.raises(Unpaired, match="share no sample"):
        PairRows.of(side("a", 1, np.arange(10)), side("b", 2, np.arange(10, 20)))
    with pytest.raises(Unpaired, match="labels of the samples differ"):
        PairRows.of(side("a", 1), make_side("b", make_logits(LABELS, 2), (LABELS + 1) % 5))
