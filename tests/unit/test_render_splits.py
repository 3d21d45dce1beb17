"""What `relogit splits show` prints of a set of splits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from relogit.render.splits import WIDTH, groups_line, picture, shown

Record = dict[str, Any]


def one_list(name: str, counts: Sequence[int] | None, base: str | None = "train") -> Record:
    state = "unread" if counts is None else "ready"
    known = {"name": name, "base": base, "size": None if counts is None else sum(counts), "state": state}
    return known | {"class_counts": counts, "problem": None}


def grouped(counts: Sequence[int]) -> Record:
    labels = range(len(counts))
    return {
        "source": "train_class_counts.json",
        "head_threshold": 20,
        "train_counts": list(counts),
        "head": [c for c in labels if counts[c] > 20],
        "tail": [c for c in labels if counts[c] <= 20],
        "many": [c for c in labels if counts[c] > 100],
        "medium": [c for c in labels if 20 <= counts[c] <= 100],
        "few": [c for c in labels if counts[c] < 20],
    }


def printed(lists: Sequence[Record], groups: Record | None = None, width: int = 80) -> list[str]:
    """The lines in a window of so many columns."""
    console = Console(width=width, markup=False, emoji=False, highlight=False, soft_wrap=True)
    with console.capture() as capture:
        for line in shown({"splits": list(lists), "groups": groups}):
            console.print(line)
    return [line.rstrip() for line in capture.get().splitlines()]


def long_tail(classes: int) -> list[int]:
    return [int(500 * 0.01 ** (c / (classes - 1))) for c in range(classes)]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([35, 35, 30], "Many·······Medium·····Few·······"),
        ([2, 4, 4], "MaMediFew·"),
        ([1, 0, 2], "MFe"),
        ([1, 998, 1], "MMedium" + "·" * 24 + "F"),
        ([0, 0, 0], ""),
    ],
)
def test_a_group_begins_with_its_name_and_goes_as_far_as_its_classes(sizes: list[int], said: str) -> None:
    """Its columns go as its size; one with a single class still has one, an empty one has none."""
    assert groups_line(sizes) == said


def test_a_block_holds_classes_of_one_group_alone() -> None:
    """A single class of 1,000 has a block of its own; all is as wide as the line above it."""
    counts = [100] + [10] * 998 + [0]
    drawn = picture(counts, 100, [1, 998, 1])
    assert drawn == "█" + "▅" * (WIDTH - 2) + " "
    assert len(drawn) == len(groups_line([1, 998, 1])) == WIDTH


def test_lists_go_by_falling_train_samples_and_equal_classes_by_number() -> None:
    """Each list's blocks lie under the group of their classes."""
    train = [20, 500, 3, 120, 20]  # so classes 1, 3, 0, 4, 2
    lines = printed([one_list("train", train), one_list("val", [100, 500, 0, 1, 10])], grouped(train))
    assert lines[0].endswith(" classes by train samples, log")
    at = lines[2].index("Ma")
    assert [line[at:] for line in lines[2:5]] == ["MaMeF", "█▆▄▄▂", "█▁▆▄"]


def test_without_groups_lists_go_by_number() -> None:
    """There is no line for groups and no legend, and the heading says so."""
    lines = printed([one_list("val", [1, 0, 500])])
    assert lines[0].endswith("classes by number, log")
    assert lines[2].split()[:7] == ["val", "train", "501", "500", "0", "-", "▁"]
    assert len(lines) == 4


def test_the_legend_says_how_much_each_group_has() -> None:
    """Classes, train samples, and what makes a class one of it."""
    train = [20, 500, 3, 1200, 20]
    rows = [line.split(maxsplit=3) for line in printed([one_list("train", train)], grouped(train))[-5:]]
    assert rows == [
        ["many", "2", "1,700", "more than 100 train samples"],
        ["medium", "2", "40", "20 to 100"],
        ["few", "1", "3", "fewer than 20"],
        ["head", "2", "1,700", "more than 20"],
        ["tail", "3", "43", "at most 20"],
    ]


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
def test_six_lists_fit_a_window(classes: int) -> None:
    """80 columns, and 24 lines with two to spare; nothing is folded."""
    train = [10 * count for count in long_tail(classes)] if classes > 100 else long_tail(classes)
    lists = [one_list(name, train) for name in ("train", "test", "val", "tunev", "expert", "gating")]
    lines = printed(lists, grouped(train))
    assert len(lines) == 2 + 1 + 6 + 1 + 2 + 5
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("width", "blocks"), [(60, 7), (80, 17), (200, 32)])
def test_a_picture_gives_way_to_the_figures(width: int, blocks: int) -> None:
    """Beside millions of rows and a long name it has fewer blocks, each group at least one, and no digit is cut."""
    train = [5_000_000] * 30 + [50] * 60 + [1] * 10
    lines = printed([one_list("train", train), one_list("n" * 40, train)], grouped(train), width)
    begin = next(at for at, line in enumerate(lines) if line.startswith("──"))
    rows = lines[begin + 1 : next(at for at, line in enumerate(lines) if line.startswith("A full block"))]
    assert max(map(len, rows)) <= width
    drawn = [line.split()[-1] for line in rows if " train 150,003,010 5,000,000     1 5000000.0 " in line]
    heading = rows[0].removeprefix("groups").strip()
    assert [len(one) for one in (heading, *drawn)] == [blocks] * 3
    assert [(one[0], one[blocks // 2], one[-1]) for one in drawn] == [("█", "▃", "▁")] * 2
    assert re.fullmatch("M[any·]*M[edium·]*F[ew·]*", heading)
    assert sum(line.split()[0].count("n") for line in rows[2:]) == 40


def test_a_list_that_nobody_has_read_has_no_picture() -> None:
    """Its line is there with what is known, and a sentence says what unread means."""
    lines = printed([one_list("val", None, base=None), one_list("train", [30, 30])], grouped([30, 30]))
    assert lines[3].split() == ["val", "-", "-", "-", "-", "-"]
    assert any(line.startswith("unread: ") for line in lines)


def test_a_name_is_shown_as_it_is() -> None:
    """Markup in a name, a base or a source is text."""
    groups = grouped([5]) | {"source": "[red]s[/]"}
    said = "\n".join(printed([one_list("[bold]x", [5], base="[i]b")], groups))
    assert all(name in said for name in ("[bold]x", "[i]b", "([red]s[/])"))


def test_an_empty_set_is_no_table() -> None:
    """It says that there are no lists."""
    assert printed([]) == ["There are no lists."]
