"""Flips, margins and recalls of two sides, against loops over the rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import recall_score

from app.domain.comparisons import LARGEST_FLIPS
from tests.unit.compared import CLASSES, class_counts, make_labels, make_logits
from worker.compare.flips import flip_groups, largest_flips, logit_gap, recall_differences
from worker.compare.pairing import pair_rows
from worker.compare.rows import Ints, Logits, SideRows

GROUPS = class_counts().groups
ROWS = 200
LABELS = make_labels(ROWS)
A, B = (make_logits(LABELS, seed) for seed in (1, 2))


def sides(a: Logits = A, b: Logits = B, labels: Ints = LABELS) -> tuple[SideRows, SideRows]:
    return SideRows.of(a, labels), SideRows.of(b, labels)


def test_flips_are_counted_by_group_with_their_margins() -> None:
    """As a loop over the rows finds them; the margin is the largest minus the second largest logit."""
    groups = flip_groups(*sides(), LABELS, GROUPS)
    assert [group.name for group in groups] == ["all", "head", "tail"]
    for group, wanted in zip(groups, ({0, 1}, {0}, {1}), strict=True):
        rows = [row for row in range(ROWS) if GROUPS.of_class[LABELS[row]] in wanted]
        flips = [row for row in rows if A[row].argmax() != B[row].argmax()]
        margins = {
            side: [np.diff(np.sort(logits[row])[-2:])[0] for row in flips] for side, logits in (("a", A), ("b", B))
        }
        assert (group.rows, group.flips) == (len(rows), len(flips))
        assert group.to_right == sum(B[row].argmax() == LABELS[row] for row in flips)
        assert group.to_wrong == sum(A[row].argmax() == LABELS[row] for row in flips)
        assert (group.margin_a, group.margin_b) == pytest.approx((np.median(margins["a"]), np.median(margins["b"])))
        assert group.largest_margin == pytest.approx(np.minimum(margins["a"], margins["b"]).max())


def test_a_group_without_rows_is_left_out_and_one_without_flips_has_no_margin() -> None:
    """And without train counts there is `all` alone."""
    labels = np.zeros(4, dtype=np.int64)
    a = make_logits(labels, 1)
    groups = flip_groups(*sides(a, a.copy(), labels), labels, GROUPS)
    assert [(group.name, group.flips, group.margin_a, group.largest_margin) for group in groups] == [
        ("all", 0, None, None), ("head", 0, None, None)
    ]  # fmt: skip
    assert [group.name for group in flip_groups(*sides(), LABELS, None)] == ["all"]


def test_the_largest_flips_are_those_of_which_both_sides_are_surest() -> None:
    """By falling smaller margin, each sample once, with its row in A's list."""
    samples_a, samples_b = np.arange(ROWS)[::-1].copy(), np.arange(ROWS)
    paired = pair_rows(samples_a, samples_b, same_list=False)
    labels = LABELS[paired.samples]
    a, b = sides(A[paired.samples], B[paired.samples], labels)
    flips = largest_flips(a, b, labels, paired)
    smaller = [min(flip.margin_a, flip.margin_b) for flip in flips]
    assert len(flips) == LARGEST_FLIPS
    assert smaller == sorted(smaller, reverse=True)
    left = np.flatnonzero(a.predictions != b.predictions)
    assert smaller == pytest.approx(np.sort(np.minimum(a.margin, b.margin)[left])[::-1][:LARGEST_FLIPS])
    for flip in flips:
        assert flip.row == ROWS - 1 - flip.sample
        assert (flip.label, flip.prediction_a, flip.prediction_b) == (
            LABELS[flip.sample], A[flip.sample].argmax(), B[flip.sample].argmax()
        )  # fmt: skip
        shares = np.exp(A[flip.sample].astype(float))
        assert flip.confidence_a == pytest.approx(shares.max() / shares.sum())


def test_a_sample_that_repeats_is_listed_once() -> None:
    """Its pictures would be the same."""
    samples = np.array([3, 3, 8])
    labels = np.array([0, 0, 1])
    a, b = np.eye(CLASSES, dtype=np.float32)[[0, 0, 1]], np.eye(CLASSES, dtype=np.float32)[[2, 2, 3]]
    flips = largest_flips(*sides(a, b, labels), labels, pair_rows(samples, samples, same_list=True))
    assert sorted(flip.sample for flip in flips) == [3, 8]


def test_recalls_stand_in_the_order_of_train_counts() -> None:
    """As scikit-learn's; a class without rows is left out, equal counts go by number."""
    labels = LABELS[LABELS != 2]
    a, b = (logits[LABELS != 2] for logits in (A, B))
    counts = np.array([4, 60, 25, 60, 90])
    recalls = recall_differences(*sides(a, b, labels), labels, counts, CLASSES)
    assert [(recall.number, recall.train_count) for recall in recalls] == [(4, 90), (1, 60), (3, 60), (0, 4)]
    expected = [recall_score(labels, logits.argmax(axis=1), average=None, labels=[4, 1, 3, 0]) for logits in (a, b)]
    assert [recall.a for recall in recalls] == pytest.approx(expected[0])
    assert [recall.b for recall in recalls] == pytest.approx(expected[1])
    assert [recall.difference for recall in recalls] == pytest.approx(expected[1] - expected[0])
    assert [recall.rows for recall in recalls] == [int((labels == number).sum()) for number in (4, 1, 3, 0)]
    without = recall_differences(*sides(a, b, labels), labels, None, CLASSES)
    assert [(recall.number, recall.train_count) for recall in without] == [(n, None) for n in (0, 1, 3, 4)]


def test_the_gap_of_logits() -> None:
    """Largest and mean |B − A|, and the scale that it is small against; none for other numbers of classes."""
    gap = logit_gap(A, B)
    assert gap is not None
    difference = np.abs(B.astype(float) - A)
    centred = [x - x.mean(axis=1, keepdims=True) for x in (A.astype(float), B.astype(float))]
    assert (gap.largest, gap.mean) == pytest.approx((difference.max(), difference.mean()))
    assert gap.scale == pytest.approx(np.sqrt(np.mean([np.mean(x**2) for x in centred])))
    assert logit_gap(A, B[:, :4]) is None


def test_one_class_has_no_margin() -> None:
    """And no flip."""
    labels = np.zeros(3, dtype=np.int64)
    a, b = sides(np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32), labels)
    assert a.margin.tolist() == [0.0, 0.0, 0.0]
    assert flip_groups(a, b, labels, None)[0].flips == 0


def test_ties_take_the_first_class() -> None:
    """As everywhere in relogit; equal logits have margin 0."""
    labels = np.array([1])
    a, b = sides(np.zeros((1, 3), np.float32), np.array([[0, 1, 1]], np.float32), labels)
    assert (a.predictions.tolist(), b.predictions.tolist(), b.margin.tolist()) == ([0], [1], [0.0])
