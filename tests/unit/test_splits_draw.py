"""Splits are drawn row for row as the scripts before relogit drew them; the vectors are theirs."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.split_draw import class_counts, divide, draw_train, part_balanced

CLASSES = 100
TRAIN = np.repeat(np.arange(CLASSES), 500)  # the c-th class has the indices 500c…500c+499, so a rank is index mod 500
TEST = np.repeat(np.arange(CLASSES), 100)


def _sha256(lists: list[list[int]]) -> str:
    return hashlib.sha256(json.dumps(lists, separators=(",", ":")).encode()).hexdigest()


def _ranks(indices: np.ndarray, size: int) -> list[list[int]]:
    return [(indices[indices // size == c] % size).tolist() for c in range(CLASSES)]


@pytest.mark.parametrize(("imbalance", "total"), [(100, 10_847), (50, 12_608), (10, 19_573), (1, 50_000)])
def test_the_counts_are_those_of_cifar_100_lt(imbalance: float, total: int) -> None:
    """n_c = max(1, trunc(500·IF^(−c/99))): 500 for the first class, 500/IF for the last."""
    counts = class_counts(np.full(CLASSES, 500), "exponential", imbalance)
    assert int(counts.sum()) == total
    assert (counts[0], counts[-1]) == (500, 500 // imbalance)
    if imbalance == 100:
        assert counts[:3].tolist() == [500, 477, 455]
        assert ((counts > 20).sum(), (counts <= 20).sum()) == (69, 31)


def test_the_train_list_is_that_of_the_old_scripts() -> None:
    """The ranks of the choice within each class, for seed 42."""
    counts = class_counts(np.full(CLASSES, 500), "exponential", 100)
    ranks = _ranks(draw_train(TRAIN, counts, 42), 500)
    assert ranks[0][:5] == [361, 73, 374, 155, 104]
    assert ranks[99] == [63, 461, 331, 32, 233]
    assert _sha256(ranks) == "3b542a1f3c484f6507fa3e41e1d561deb3d8b1cc2d5dc79a95e6a947b09d9c78"


def test_the_test_parts_are_those_of_the_old_scripts() -> None:
    """The ranks of the shuffle within each class, for seed 42: 80 for test, 10 for val, 10 for tunev."""
    test, val, tunev = (_ranks(part, 100) for part in part_balanced(TEST, CLASSES, (8, 1, 1), 42))
    assert test[0][:5] == [83, 53, 70, 45, 44]
    assert val[0][:3] == [63, 84, 37]
    assert tunev[0][:3] == [91, 74, 86]
    whole = [a + b + c for a, b, c in zip(test, val, tunev, strict=True)]
    assert _sha256(whole) == "d7c8fbab385b12642fb0df4948e8614018ab5e35e542303ff13c2874ccf3f382"


def test_the_division_has_the_sizes_of_the_old_scripts() -> None:
    """int(n·0.9) of each class and the rest: 9,719 and 1,128, which together are the train list."""
    train = draw_train(TRAIN, class_counts(np.full(CLASSES, 500), "exponential", 100), 42)
    expert, gating = divide(train, TRAIN, CLASSES, 0.9, 42)
    assert (expert.size, gating.size) == (9_719, 1_128)
    assert sorted([*expert, *gating]) == sorted(train)
    assert (np.diff(TRAIN[expert]) >= 0).all()


def test_a_step_has_two_levels() -> None:
    """The first half of the classes keeps all, the second 1/IF; of five classes three are common."""
    assert class_counts(np.full(5, 500), "step", 100).tolist() == [500, 500, 500, 5, 5]


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    shares=st.tuples(*[st.integers(1, 20)] * 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_parts_are_a_partition_with_even_shares(sizes: list[int], shares: tuple[int, int, int], seed: int) -> None:
    """Each sample is in exactly one part; in each class a part is off its share by less than one; seeds repeat."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    parts = part_balanced(labels, len(sizes), shares, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(labels.size))
    for part, share in zip(parts, shares, strict=True):
        for c, size in enumerate(sizes):
            assert abs((labels[part] == c).sum() - size * share / sum(shares)) < 1
        assert (np.diff(labels[part]) >= 0).all()
    again = part_balanced(labels, len(sizes), shares, seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
