"""Pairing the rows of two lists by sample."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.compare.pairing import pair_rows, repeat_numbers

SAMPLES = st.lists(st.integers(0, 8), min_size=1, max_size=20)


def array(values: list[int]) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)


def test_one_list_pairs_row_by_row() -> None:
    """In its order, whatever repeats."""
    paired = pair_rows(array([4, 1, 4]), array([4, 1, 4]), same_list=True)
    assert paired.rows_a.tolist() == paired.rows_b.tolist() == [0, 1, 2]
    assert (paired.pairing.by, paired.pairing.rows, paired.pairing.samples) == ("order", 3, 2)
    with pytest.raises(ValueError, match="same"):
        pair_rows(array([4, 1]), array([1, 4]), same_list=True)


@given(SAMPLES, SAMPLES)
def test_lists_that_differ_pair_each_common_sample_as_often_as_both_have_it(a: list[int], b: list[int]) -> None:
    """The multisets' intersection, in A's order; no row is paired twice, and what is left out is counted."""
    paired = pair_rows(array(a), array(b), same_list=False)
    common = Counter(a) & Counter(b)
    assert Counter(paired.samples.tolist()) == common
    assert array(a)[paired.rows_a].tolist() == array(b)[paired.rows_b].tolist() == paired.samples.tolist()
    assert (np.diff(paired.rows_a) > 0).all()
    assert len(set(paired.rows_b.tolist())) == paired.pairing.rows == common.total()
    assert (paired.pairing.left_out_a, paired.pairing.left_out_b) == (
        len(a) - common.total(), len(b) - common.total()
    )  # fmt: skip


def test_lists_without_a_common_sample_pair_nothing() -> None:
    """No error: the caller says what would have been right."""
    assert pair_rows(array([1, 2]), array([3]), same_list=False).pairing.rows == 0


def test_repeats_pair_in_their_order() -> None:
    """The k-th with the k-th."""
    paired = pair_rows(array([7, 3, 7, 7]), array([7, 7, 3]), same_list=False)
    assert list(zip(paired.rows_a.tolist(), paired.rows_b.tolist(), strict=True)) == [(0, 0), (1, 2), (2, 1)]


@given(SAMPLES)
def test_repeats_are_numbered_from_zero(values: list[int]) -> None:
    """As a loop counts them."""
    seen: Counter[int] = Counter()
    expected = []
    for value in values:
        expected.append(seen[value])
        seen[value] += 1
    assert repeat_numbers(array(values)).tolist() == expected
