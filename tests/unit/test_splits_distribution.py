"""What a list is: balanced or long-tailed, in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.domain.checks import Check
from worker.splits.distribution import check_balance, check_row_order

LABELS = np.repeat(np.arange(3), 10)
"""Of a base of 30 images, sorted by class."""


def _balance(counts: list[int], declared: Any = None) -> Check:
    labels = np.repeat(np.arange(len(counts)), counts)
    return check_balance(labels, len(counts), declared)


def _order(*indices: int, declared: Any = None) -> Check:
    rows = np.array(indices)
    return check_row_order(rows, LABELS[rows], declared)


EXPONENTIAL = [max(1, int(500 * 100 ** (-c / 99))) for c in range(100)]
# Ten rows a class, drawn at random over 100 classes: uneven, and no long tail.
DRAWN = np.bincount(np.random.default_rng(0).integers(0, 100, 1000), minlength=100).tolist()


@pytest.mark.parametrize(
    ("counts", "balance", "factor"),
    [
        ([8] * 10, "balanced", 1.0),
        ([9, 8, 9, 8], "balanced", 9 / 8),
        ([10, 8, 9, 9], "neither", 10 / 8),
        (EXPONENTIAL, "long-tailed", 100.0),
        ([500] * 5 + [50] * 5, "long-tailed", 10.0),
        (DRAWN, "neither", max(DRAWN) / min(DRAWN)),
        ([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], "neither", 6742 / 5421),  # MNIST
        ([10, 10, 0], "neither", 1.0),
        ([1, 0], "balanced", 1.0),
    ],
)
def test_what_a_list_is_follows_from_its_counts(counts: list[int], balance: str, factor: float) -> None:
    """Equal up to one row; or a tail that no random draw gives; or neither, with the factor over classes present."""
    check = _balance(counts)
    assert (check.verdict, check.measured["balance"]) == ("passed", balance)
    assert check.measured["imbalance_factor"] == pytest.approx(factor)


@pytest.mark.parametrize("declared", ["balanced", "long-tailed"])
@pytest.mark.parametrize(
    ("counts", "balance"), [([8, 8], "balanced"), ([500, 50], "long-tailed"), ([12, 8], "neither")]
)
def test_only_a_description_that_says_otherwise_warns(counts: list[int], balance: str, declared: str) -> None:
    """A list that is as described passes; another is a warning that names both, with the ends of its counts."""
    check = _balance(counts, declared)
    assert check.verdict == ("passed" if declared == balance else "failed")
    if check.verdict == "failed":
        assert check.message.endswith(f"described as {declared}.")
        assert check.evidence[0] == {"class": 0, "rows": counts[0]}


@pytest.mark.parametrize(
    ("indices", "orders"),
    [
        ((0, 5, 11, 29), ["class-major", "ascending"]), ((5, 0, 11, 10, 29), ["class-major"]),
        ((5, 21, 11, 0), ["shuffled"]), ((7, 7, 7), ["class-major", "ascending"]),
    ],
)  # fmt: skip
def test_the_order_of_rows_is_told(indices: tuple[int, ...], orders: list[str]) -> None:
    """By class, by index, both where the base is sorted by class, or none of them."""
    check = _order(*indices)
    assert (check.verdict, check.measured) == ("passed", {"row_order": orders})


def test_ascending_rows_need_not_be_class_major() -> None:
    """Over a base whose labels are mixed the two differ."""
    check = check_row_order(np.array([0, 1, 2]), np.array([2, 0, 1]), None)
    assert check.measured == {"row_order": ["ascending"]}


def test_an_order_other_than_described_warns() -> None:
    """With the rows where it is broken; `shuffled` has none, since such rows are in order."""
    described: dict[str, tuple[Any, ...]] = {"class-major": (2, 3), "ascending": (2, 3), "shuffled": ()}
    for order, evidence in described.items():
        check = _order(*((5, 21, 11, 0) if evidence else (0, 11)), declared=order)
        assert (check.verdict, check.level, check.evidence) == ("failed", "warning", evidence)
    assert _order(5, 0, 11, declared="class-major").verdict == "passed"
