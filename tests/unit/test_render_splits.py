"""The width of what `relogit splits show` prints; tests/unit/snapshots/splits.txt has the texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relogit.render.splits import split_lines
from tests.unit.test_cli_window import printed, window

Record = dict[str, Any]


def split(name: str, counts: Sequence[int], base: str = "train") -> Record:
    return {
        "name": name, "base": base, "size": sum(counts), "state": "ready", "class_counts": counts, "problem": None
    }  # fmt: skip


def grouped(counts: Sequence[int], source: str = "train_class_counts.json") -> Record:
    labels = range(len(counts))
    return {
        "source": source,
        "head_threshold": 20,
        "train_counts": list(counts),
        "head": [label for label in labels if counts[label] > 20],
        "tail": [label for label in labels if counts[label] <= 20],
        "many": [label for label in labels if counts[label] > 100],
        "medium": [label for label in labels if 20 <= counts[label] <= 100],
        "few": [label for label in labels if counts[label] < 20],
    }


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
