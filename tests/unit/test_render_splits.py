"""What `relogit splits` prints of sets, in windows of any width and whatever their files say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from rich.text import Text

from relogit.render.splits import set_lines, split_lines
from relogit.render.tables import NONE, new_table, printable, problem_lines
from tests.unit.test_cli_window import printed, window

Record = dict[str, Any]

LONG = "a_name_of_forty_characters_0123456789012"
MADE = {"made_by": "relogit 1", "made_at": "t", "profile": "exponential", "imbalance_factor": 100.0, "seed": 42}


def one_list(name: str, size: int, base: str = "train") -> Record:
    return {"name": name, "base": base, "size": size, "problem": None}


def one_set(name: str, *lists: Record, **description: Any) -> Record:
    described = {**MADE, **description}
    return {"name": name, "own": True, "claimed": True, "description": described, "problem": None, "splits": lists}


def printed_sets(width: int, *listed: Record) -> list[str]:
    """The lines in a window of so many columns."""
    return printed(window(width), *set_lines({"sets": listed}))


def column(lines: list[str], heading: str) -> list[str]:
    """What stands under a heading, line by line, without the spaces."""
    rule = lines.index(next(line for line in lines if line.startswith("──")))
    headings = lines[rule - 1]
    names = headings.split()
    if heading == "size":  # flush right
        part = slice(headings.index("base") + len("train"), headings.index("size") + len("size"))
    else:
        after = names[names.index(heading) + 1 :]
        part = slice(headings.index(heading), headings.index(f" {after[0]}") if after else None)
    return [line[part].strip() for line in lines[rule + 1 : -1]]


@pytest.mark.parametrize("width", [60, 80])
def test_no_digit_is_cut_in_a_narrow_window(width: int) -> None:
    """Sizes and bases are whole; names and descriptions are folded, and nothing is lost."""
    listed = one_set(LONG, one_list("train", 10_000_000), one_list(LONG, 10_847, "test"), one_list("val", 999))
    lines = printed_sets(width, listed)
    assert max(map(len, lines[:-1])) <= width
    assert [said for said in column(lines, "size") if said] == ["10,000,000", "10,847", "999"]
    assert [line.split()[-2:] for line in lines if line.endswith("10,847")] == [["test", "10,847"]]
    assert "".join(column(lines, "set")).replace(" ", "") == f"{LONG}*"
    assert "".join(column(lines, "list")) == f"train{LONG}val"
    assert " ".join(said for said in column(lines, "made") if said) == "exponential, factor 100, seed 42"


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ({"imbalance_factor": None}, "exponential, seed 42"),
        ({"imbalance_factor": "ten"}, "exponential, factor ten, seed 42"),
        ({"imbalance_factor": 10, "seed": [1]}, "exponential, factor 10, seed 1"),
        ({"imbalance_factor": 10**400, "seed": None}, f"exponential, factor {10**400}"),
        ({"profile": {"a": 1}}, "a 1, factor 100, seed 42"),
        ({"profile": None, "made_by": ["me"]}, "me"),
        ({"profile": None, "made_by": None}, NONE),
    ],
)
def test_any_description_is_shown(description: Record, said: str) -> None:
    """`splits.json` may hold any value; a strange one hides no other set."""
    assert column(printed_sets(600, one_set("s", one_list("train", 5), **description)), "made") == [said]


@pytest.mark.parametrize(
    ("name", "said"),
    [("a\nb", "a\\nb"), ("\x1b[31mred", "\\x1b[31mred"), ("a\udcff", "a\\udcff"), ("\u202egnp", "\\u202egnp")],
)
def test_names_are_escaped(name: str, said: str) -> None:
    """Unprintable characters of names are escaped in cells and in errors."""
    problem = {"message": f"No {name}.", "details": {"available": [name, "x"]}}
    listed = one_set(name, {**one_list(name, 5), "problem": problem})
    lines = printed_sets(200, listed)
    assert lines[2].split()[:3] == [said, "*", said]
    assert f"{said}/{said}: No " in lines[3]
    assert all(line.isprintable() for line in lines)
    assert f"available: {said}, x" in lines[-2]


def test_a_message_may_have_several_lines() -> None:
    """Line ends of a message stay, and printable letters of any script are not escaped."""
    [line] = problem_lines({"message": "one\ntwo\x07"}, where="Größe: ")
    assert line.plain == "Größe: one\ntwo\\x07"
    assert printable("T=1 Größe [x]") == "T=1 Größe [x]"


def test_tables_escape_their_cells() -> None:
    """Every table escapes its words, and coloured words keep their colour."""
    made = new_table([{"expert": "a\nb"}, {"expert": Text("a\nb", style="red")}])
    assert [str(cell) for cell in made.columns[0].cells] == ["a\\nb", "a\\nb"]
    [_, coloured] = made.columns[0].cells
    assert isinstance(coloured, Text)
    assert coloured.style == "red"


def split(name: str, counts: Sequence[int], base: str = "train") -> Record:
    return {
        "name": name, "base": base, "size": sum(counts), "state": "ready", "class_counts": counts, "problem": None
    }  # fmt: skip


def grouped(counts: Sequence[int], source: str = "train_class_counts.json") -> Record:
    ranges = {"head": (21, 10**9), "tail": (0, 20), "many": (101, 10**9), "medium": (20, 100), "few": (0, 19)}
    groups = {name: [i for i, n in enumerate(counts) if low <= n <= high] for name, (low, high) in ranges.items()}
    return {"source": source, "head_threshold": 20, "train_counts": list(counts), **groups}


def printed_set(lists: Sequence[Record], groups: Record | None = None) -> list[str]:
    """The lines in a window of 80 columns."""
    return printed(window(), *split_lines({"splits": list(lists), "groups": groups}))


def test_six_lists_fit_a_window() -> None:
    """In 80 columns and 24 rows no line of six lists is folded."""
    counts = [int(500 * 0.01 ** (label / 99)) for label in range(100)]
    names = ("train", "test", "val", "tunev", "expert", "gating")
    lines = printed_set([split(name, counts) for name in names], grouped(counts))
    assert len(lines) == 2 + len(names) + 1 + 2 + 5
    assert max(map(len, lines)) <= 80


def test_numbers_are_never_cut() -> None:
    """Beside millions of samples a long name is folded, and every digit stays."""
    counts = [5_000_000] * 30 + [50] * 60 + [1] * 10
    lines = printed_set([split("n" * 40, counts)], grouped(counts))
    row = next(line for line in lines if "150,003,010" in line)
    numbers = ["150,003,010", "5,000,000", "1", "5000000.0", "150,000,000", "3,000", "10"]
    assert row.split()[-len(numbers) :] == numbers
    parts = [line.split()[0] for line in lines[lines.index(row) :] if set(line.split()[0]) == {"n"}]
    assert "".join(parts) == "n" * 40


def test_names_are_not_markup() -> None:
    """A name, a base or a source with brackets is printed as it is."""
    text = "\n".join(printed_set([split("[bold]x", [5], base="[i]b")], grouped([5], source="[red]s[/]")))
    assert all(name in text for name in ("[bold]x", "[i]b", "([red]s[/])"))
