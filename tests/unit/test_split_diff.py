"""The difference between two sets of splits."""

from __future__ import annotations

import pytest

from relogit.split_diff import Sample, difference


def _set(**lists: list[int]) -> dict[str, list[Sample]]:
    return {name: [("test", index) for index in indices] for name, indices in lists.items()}


def test_samples_are_added_removed_and_moved() -> None:
    """Each change counts for the list that holds, or held, the sample."""
    found = difference(_set(val=[0, 1, 2], test=[3, 4]), _set(val=[0, 3, 9], test=[4, 1]))
    assert found.same == {"val": 1, "test": 1}
    assert found.added == {"val": 1, "test": 0}
    assert found.removed == {"val": 1, "test": 0}
    assert found.moved == {("test", "val"): 1, ("val", "test"): 1}
    assert not found.none


def test_equal_lists_do_not_differ() -> None:
    """Lists are equal row by row; an index into another base is another sample."""
    assert difference(_set(val=[0, 1, 0]), _set(val=[0, 1, 0])).none
    assert not difference(_set(val=[0]), {"val": [("train", 0)]}).none


@pytest.mark.parametrize(
    ("old", "new", "order", "repeats"),
    [
        ([0, 1, 2], [2, 1, 0], ["val"], {}),
        ([0, 1, 2], [0, 1, 2, 2, 0], [], {"val": (0, 2)}),
        ([0, 1, 2], [2, 1, 0, 0], ["val"], {"val": (0, 1)}),
        ([0, 1, 0], [0, 0, 1], ["val"], {}),
        ([0, 0, 1], [0, 1, 1], [], {"val": (1, 1)}),
        ([0, 1], [1, 0, 5], [], {}),
        ([0, 1, 1], [0, 1, 5], [], {"val": (1, 0)}),
    ],
)
def test_order_and_repeats_are_differences(
    old: list[int], new: list[int], order: list[str], repeats: dict[str, tuple[int, int]]
) -> None:
    """Logits go by row, so another order and other repeats of equal samples are differences."""
    found = difference(_set(val=old, test=[7]), _set(val=new, test=[7]))
    assert (list(found.order), found.repeats) == (order, repeats)
    assert not found.none


def test_a_sample_that_stays_is_not_moved() -> None:
    """A sample that stays in its list has not moved, even if another list holds it too."""
    found = difference(_set(val=[0], test=[1]), _set(val=[0], test=[1, 0]))
    assert (found.moved, found.added) == ({}, {"val": 0, "test": 0})
