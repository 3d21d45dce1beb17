"""Tables, numbers, names and errors for all views."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
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
    "kept": "green",
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


def new_table(
    rows: Iterable[Mapping[str, str | Text]], numbers: Collection[str] = (), *, hidden: Collection[str] = ()
) -> Table:
    """Create a table of rows, each with cells by heading.

    Columns of `numbers` are flush right. Control characters in the cells, which hold users' names, are escaped.
    """
    rows = list(rows)
    headings = [name for name in (rows[0] if rows else ()) if name not in hidden]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")
    for name in headings:
        justify: JustifyMethod = "right" if name in numbers else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name not in FOLDED)
    for row in rows:
        table.add_row(*(_printable_cell(row[name]) for name in headings))
    return table


def _printable_cell(cell: str | Text) -> Text:
    return Text(printable(cell)) if isinstance(cell, str) else Text(printable(cell.plain), cell.style)


def fitting_table(
    console: Console, rows: Sequence[Mapping[str, str | Text]], numbers: Collection[str], optional: Collection[str]
) -> Table:
    """Create a table that fits the console.

    The `optional` columns are left out if it is too narrow.
    """
    table = new_table(rows, numbers)
    width = console.measure(table, options=console.options.update(width=UNBOUNDED)).maximum
    return table if width <= console.width else new_table(rows, numbers, hidden=optional)


def coloured(state: str) -> Text:
    """Render a state or a verdict in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def in_percent(share: float) -> float:
    """Multiply a share by 100, without the digits of rounding: 0.00175 · 100 is 0.17500000000000002."""
    return round(share * 100, 8)


def percent(share: float | None) -> str:
    """Format 0.7016 as `70.16 %`."""
    return NONE if share is None else f"{in_percent(share):.2f} %"


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


def problem_lines(error: Record, *, where: str = "") -> list[Text]:
    """Show an error of the JSON, with the available names."""
    message: str = error["message"]
    available = (error.get("details") or {}).get("available")
    safe_message = "\n".join(printable(line) for line in message.splitlines())
    return [Text.assemble((printable(where), "bold red"), safe_message), *available_lines(message, available)]


def available_lines(message: str, names: Sequence[str] | None) -> list[Text]:
    """List the available names, unless the message has them all."""
    if not names or all(name in message for name in names):
        return []
    return [Text(f"    available: {printable(', '.join(names))}")]


def file_problem_lines(files: Sequence[Record]) -> list[Text]:
    """Show each file's problem, and explain `unread`."""
    lines = [
        line
        for file in files
        if file["problem"]
        for line in problem_lines(file["problem"], where=f"{file['name']}: ")
    ]
    if any(file["state"] == "unread" for file in files):
        lines.append(Text("unread: no worker has read the file yet; look again when one is alive.", style="yellow"))
    return lines
