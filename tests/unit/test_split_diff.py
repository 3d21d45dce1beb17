"""How two sets of splits differ, and how class counts are drawn."""

from __future__ import annotations

import pytest

from relogit.render.splits import WIDTH, picture
from relogit.split_diff import Sample, difference


def _set(**lists: list[int]) -> dict[str, list[Sample]]:
    return {name: [("test", index) for index in indices] for name, indices in lists.items()}


def test_samples_are_added_removed_and_moved() -> None:
    """Each is counted for the list that it is in, or was in."""
    found = difference(_set(val=[0, 1, 2], test=[3, 4]), _set(val=[0, 3, 9], test=[4, 1]))
    assert found.same == {"val": 1, "test": 1}
    assert found.added == {"val": 1, "test": 0}
    assert found.removed == {"val": 1, "test": 0}
    assert found.moved == {("test", "val"): 1, ("val", "test"): 1}
    assert not found.none


def test_equal_lists_do_not_differ() -> None:
    """Row by row; the same index of another base is another sample."""
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
def test_other_rows_of_the_same_samples_are_a_difference(
    old: list[int], new: list[int], order: list[str], repeats: dict[str, tuple[int, int]]
) -> None:
    """Logits go by row: another order, or a sample taken more or less often, is said of the list."""
    found = difference(_set(val=old, test=[7]), _set(val=new, test=[7]))
    assert (list(found.order), found.repeats) == (order, repeats)
    assert not found.none


def test_a_sample_that_stays_is_not_moved() -> None:
    """Though it is in another list as well now."""
    found = difference(_set(val=[0], test=[1]), _set(val=[0], test=[1, 0]))
    assert (found.moved, found.added) == ({}, {"val": 0, "test": 0})


def test_a_picture_has_the_logarithm_of_the_counts() -> None:
    """Full for the largest, the lowest mark for one sample, nothing for none; wide sets share columns."""
    assert picture([100, 10, 1, 0], 100) == "█▅▁ "
    assert picture([], 0) == ""
    assert len(picture([5] * 1000, 5)) == WIDTH
    assert picture([1, 1], 1) == "██"
