"""What a benchmark found: tables and targets as values, shown as text, Markdown or JSON."""

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
"""A number is shown as its column says, a text as it is; None was not measured."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    form: str = ""
    """Format of its numbers, such as `.1f`."""


@dataclass(frozen=True)
class Table:
    """Measured figures; the first column names what was measured."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def texts(self) -> list[list[str]]:
        """The rows as they are shown, a text for each column."""
        return [[_text(cell, c.form) for cell, c in zip(row, self.columns, strict=True)] for row in self.rows]


@dataclass(frozen=True)
class Target:
    """One figure that has to be reached."""

    what: str
    value: float | None
    """None: could not be measured, which is no success."""
    limit: float
    at_least: bool
    """Whether more is better; the limit itself is then reached, and otherwise missed."""
    form: str
    """Format of the value and the limit."""
    unit: str = ""

    @property
    def reached(self) -> bool:
        """Whether the value keeps to the limit."""
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value < self.limit

    def texts(self) -> list[str]:
        """What, wanted, measured, PASS or MISS."""
        wanted = f"{'at least' if self.at_least else 'under'} {self.limit:{self.form}}{self.unit}"
        measured = "not measured" if self.value is None else f"{self.value:{self.form}}{self.unit}"
        return [self.what, wanted, measured, "PASS" if self.reached else "MISS"]


@dataclass(frozen=True)
class Report:
    """Everything one benchmark found in one run."""

    name: str
    tables: tuple[Table, ...]
    targets: tuple[Target, ...]
    notes: tuple[str, ...] = ()
    """Sentences that the figures need to be understood."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that is not below `percent` % of them (nearest rank: always a measured one).

    Raises:
        ValueError: there are no values, or `percent` is not in (0, 100].
    """
    if not values or not 0 < percent <= 100:
        raise ValueError(f"There is no {percent:g}th percentile of {len(values)} values.")
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def speed_ratio(baseline_s: Sequence[float], own_s: Sequence[float]) -> float:
    """How many times as fast as the baseline: the median over rounds, each compared within itself.

    Neighbours in time share the machine's mood, so a slow minute spoils no ratio.

    Args:
        baseline_s: the baseline's seconds, one for each round.
        own_s: the other's, for the same rounds.
    """
    return median(baseline / own for baseline, own in zip(baseline_s, own_s, strict=True))


def show(report: Report, machine: Machine, console: Console) -> None:
    """Print a report for people."""
    console.rule(report.name, align="left")
    for line in machine.lines():
        console.print(line, style="dim")
    for table in (*report.tables, *_target_tables(report)):
        shown = RichTable(title=table.title, title_justify="left", box=box.SIMPLE)
        for number, column in enumerate(table.columns):
            shown.add_column(column.title, justify="right" if number else "left", no_wrap=not number)
        for row in table.texts():
            shown.add_row(*row)
        console.print(shown)
    for note in report.notes:
        console.print(note)
    console.print()


def as_json(reports: Sequence[Report], machine: Machine) -> dict[str, Any]:
    """The reports with unrounded numbers, and whether each target is reached."""
    found = [
        asdict(report) | {"targets": [asdict(t) | {"reached": t.reached} for t in report.targets]}
        for report in reports
    ]
    return {"machine": asdict(machine) | {"lines": machine.lines()}, "reports": found}


def as_markdown(report: Report, machine: Machine) -> str:
    """A report as a document holds it, with the machine and the date that it is of."""
    parts = ["\n".join(f"- {line}" for line in machine.lines())]
    for table in (*report.tables, *_target_tables(report)):
        header = " | ".join(column.title for column in table.columns)
        ruler = " | ".join("---:" if number else "---" for number in range(len(table.columns)))
        rows = [f"| {' | '.join(row)} |" for row in table.texts()]
        parts.append("\n".join([f"**{table.title}**", "", f"| {header} |", f"| {ruler} |", *rows]))
    parts += report.notes
    return "\n\n".join(parts) + "\n"


def write_into(document: Path, report: Report, machine: Machine) -> None:
    """Put a report in the place that a Markdown document keeps for it, over what was there.

    Raises:
        ValueError: the document has no `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
    """
    begin, end = (f"<!-- {report.name}: {edge} -->" for edge in ("begin", "end"))
    text = document.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _, found_too, after = rest.partition(end)
    if not found or not found_too:
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
