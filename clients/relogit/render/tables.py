"""Tables, numbers and names for all views."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

Record = dict[str, Any]

# Narrow windows fold these columns. Numbers keep their width, because a number without its last digits is wrong.
FOLDED = frozenset({"expert", "split", "file", "output", "data set", "set", "list", "made"})
ID_SHOWN = 8
UNBOUNDED = 10_000  # columns: more than any table needs
NONE = "-"  # a missing figure
SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
COLOURS = {
    "passed": "green",
    "succeeded": "green",
    "ready": "green",
    "failed": "red",
    "bad": "red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "skipped": "yellow",
    "running": "cyan",
}


def printable(text: str) -> str:
    """Escape line ends and control characters for a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class PrintableTable(Table):
    """A table whose cells are escaped by `printable`.

    The cells hold the user's names of files and lists.
    """

    def add_row(
        self, *renderables: RenderableType | None, style: StyleType | None = None, end_section: bool = False
    ) -> None:
        """Add a row with each cell's text escaped."""
        super().add_row(*(_printable_cell(cell) for cell in renderables), style=style, end_section=end_section)


def _printable_cell(cell: RenderableType | None) -> RenderableType | None:
    if isinstance(cell, Text):
        return cell if cell.plain.isprintable() else Text(printable(cell.plain), cell.style)
    return printable(cell) if isinstance(cell, str) else cell


def new_table(left: Sequence[str], right: Sequence[str] = (), last: Sequence[str] = ()) -> Table:
    """Create an empty table.

    The columns `left` and `last` hold words, and `right` holds numbers between them.
    """
    table = PrintableTable(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")
    for name in (*left, *right, *last):
        table.add_column(
            name, justify="right" if name in right else "left", overflow="fold", no_wrap=name not in FOLDED
        )
    return table


def fits(table: Table, console: Console) -> bool:
    """Tell whether the console can show the table without folding a cell."""
    return console.measure(table, options=console.options.update(width=UNBOUNDED)).maximum <= console.width


def coloured(state: str) -> Text:
    """Render a state or a verdict in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def percent(share: float | None) -> str:
    """Format 0.7016 as `70.16 %`."""
    return NONE if share is None else f"{share * 100:.2f} %"


def count(number: int | None) -> str:
    """Format 10847 as `10,847`."""
    return NONE if number is None else f"{number:,}"


def number_of(number: int, thing: str) -> str:
    """Format a number with its noun: `1 file`, `2 files`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def rate(samples_s: float | None) -> str:
    """Format samples per second."""
    return "" if samples_s is None else f"{samples_s:,.0f}/s"


def duration(seconds: float | None) -> str:
    """Format 125 seconds as `2:05`."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(number: int | None) -> str:
    """Format 38,400,000 bytes as `38 MB`."""
    if number is None:
        return NONE
    unit = 0
    while number >= 999.5 * 1000**unit and unit < len(SIZES) - 1:
        unit += 1
    value = number / 1000**unit
    return f"{value:.1f} {SIZES[unit]}" if unit and value < 9.95 else f"{value:.0f} {SIZES[unit]}"


def plain(value: Any) -> str:
    """Write a JSON value in words.

    An object becomes `rows 3, tied rows 0`; a float keeps four digits.
    """
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_nested(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_nested(item) for item in value) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def _nested(value: Any) -> str:
    return f"({plain(value)})" if isinstance(value, dict | list) else plain(value)
