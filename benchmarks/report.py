"""Reports of benchmarks: tables and targets as values, formatted as text, Markdown or JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.machine import Machine

Cell = str | float | None
"""A number in its column's format, a text as it is, or None for what was not measured."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    form: str = ""
    """Format of its numbers, such as `.1f`."""


@dataclass(frozen=True)
class Table:
    """Measured figures; the first column names them."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def texts(self) -> list[list[str]]:
        """Format the rows, one text for each column."""
        return [[_text(cell, c.form) for cell, c in zip(row, self.columns, strict=True)] for row in self.rows]


@dataclass(frozen=True)
class Target:
    """A figure and the limit that it has to reach."""

    what: str
    value: float | None
    """The measured figure; None, which is a miss, if it could not be measured."""
    limit: float
    at_least: bool
    """Whether the value has to be the limit or more; otherwise it has to be below the limit."""
    form: str
    """Format of the value and the limit."""
    unit: str = ""

    @property
    def reached(self) -> bool:
        """Whether the value reaches the limit."""
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value < self.limit

    def texts(self) -> list[str]:
        """Format the target: what, wanted, measured, PASS or MISS."""
        wanted = f"{'at least' if self.at_least else 'under'} {self.limit:{self.form}}{self.unit}"
        measured = "not measured" if self.value is None else f"{self.value:{self.form}}{self.unit}"
        return [self.what, wanted, measured, "PASS" if self.reached else "MISS"]


@dataclass(frozen=True)
class Report:
    """The results of one run of a benchmark."""

    name: str
    tables: tuple[Table, ...]
    targets: tuple[Target, ...]
    notes: tuple[str, ...] = ()
    """Sentences that explain the figures."""


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile, which is always one of the values.

    It is the smallest value that is not below `percent` % of them.

    Raises:
        ValueError: there are no values, or `percent` is not in (0, 100].
    """
    if not values or not 0 < percent <= 100:
        raise ValueError(f"There is no {percent:g}th percentile of {len(values)} values.")
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def speed_ratio(baseline_s: Sequence[float], own_s: Sequence[float]) -> float:
    """Return the speed relative to a baseline, as the median over rounds.

    Each ratio compares measurements of the same round, so that a slow minute of the machine affects both.

    Args:
        baseline_s: the baseline's seconds, one for each round.
        own_s: the other measurement's seconds, for the same rounds.
    """
    return median(baseline / own for baseline, own in zip(baseline_s, own_s, strict=True))


def show(report: Report, machine: Machine, console: Console) -> None:
    """Print a report to a console."""
    console.rule(report.name, align="left")
    for line in machine.lines():
        console.print(line, style="dim")
    for table in (*report.tables, *_target_tables(report)):
        rich_table = RichTable(title=table.title, title_justify="left", box=box.SIMPLE)
        for number, column in enumerate(table.columns):
            rich_table.add_column(column.title, justify="right" if number else "left", no_wrap=not number)
        for row in table.texts():
            rich_table.add_row(*row)
        console.print(rich_table)
    for note in report.notes:
        console.print(note)
    console.print()


def as_json(reports: Sequence[Report], machine: Machine) -> dict[str, Any]:
    """Convert reports to JSON types, with unrounded numbers."""
    entries = [
        asdict(report) | {"targets": [asdict(t) | {"reached": t.reached} for t in report.targets]}
        for report in reports
    ]
    return {"machine": asdict(machine) | {"lines": machine.lines()}, "reports": entries}


def as_markdown(report: Report, machine: Machine) -> str:
    """Format a report as Markdown, with its machine and date."""
    parts = ["\n".join(f"- {line}" for line in machine.lines())]
    for table in (*report.tables, *_target_tables(report)):
        header = " | ".join(column.title for column in table.columns)
        ruler = " | ".join("---:" if number else "---" for number in range(len(table.columns)))
        rows = [f"| {' | '.join(row)} |" for row in table.texts()]
        parts.append("\n".join([f"**{table.title}**", "", f"| {header} |", f"| {ruler} |", *rows]))
    parts += report.notes
    return "\n\n".join(parts) + "\n"


def write_into(document: Path, report: Report, machine: Machine) -> None:
    """Write a report into its place in a Markdown document.

    Raises:
        ValueError: the document has no `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
    """
    begin, end = (f"<!-- {report.name}: {side} -->" for side in ("begin", "end"))
    text = document.read_text(encoding="utf-8")
    before, begin_mark, rest = text.partition(begin)
    _, end_mark, after = rest.partition(end)
    if not begin_mark or not end_mark:
        raise ValueError(f"{document} has no place for {report.name}: a line {begin} and, below it, {end}.")
    written = f"{before}{begin}\n{as_markdown(report, machine)}{end}{after}"
    document.write_text(written, encoding="utf-8")


def _text(cell: Cell, form: str) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else f"{cell:{form}}"


def _target_tables(report: Report) -> list[Table]:
    if not report.targets:
        return []
    columns = tuple(Column(title) for title in ("target", "wanted", "measured", ""))
    return [Table("Targets", columns, tuple(tuple(target.texts()) for target in report.targets))]
