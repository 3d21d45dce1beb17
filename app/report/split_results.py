"""The results of a job by split: the rows of the table, their charts, and figures beyond them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.domain.analyses import Statistics
from app.domain.checks import Result
from app.domain.ensembles import Ensemble
from app.domain.seeds import summarise_seeds
from app.report.figures import Cell, Figure, cells, shown_figures
from app.report.findings import Place
from app.report.paper_tables import Table
from app.report.pictures import reliability, risk_coverage, swatch
from app.report.recall_picture import recall_by_class
from app.report.split_figures import SplitFigures, split_figures
from app.report.split_picture import ClassGroups
from app.report.words import percent


@dataclass(frozen=True, slots=True)
class Parts:
    """What is known of results beside their metrics."""

    statistics: Mapping[Place, Statistics]
    ensembles: Mapping[str, Ensemble]
    """By split."""
    digests: Mapping[Place, str]
    """sha256 of the verified files."""
    groups: ClassGroups | None
    """None where the train samples are not known."""
    head_threshold: int


@dataclass(frozen=True, slots=True)
class Row:
    """One (expert, split) in the table."""

    expert: str
    split: str
    swatch: Markup
    verdict: str
    samples: str
    cells: Sequence[Cell]
    sha256: str | None
    reliability: Markup | None
    recalls: Markup | None


@dataclass(frozen=True, slots=True)
class Split:
    """The results of a split, and the curves of all of them."""

    name: str
    results: Sequence[Row]
    curves: Sequence[Markup]
    table: Table
    """The results, for papers."""
    more: SplitFigures | None = None
    """Figures beyond the table."""


def result_splits(results: Sequence[Result], parts: Parts) -> list[Split]:
    """Build what is shown of each split, its results in the job's order."""
    numbers = {expert: n for n, expert in enumerate(dict.fromkeys(result.expert for result in results))}
    figures, seeds = shown_figures(results), summarise_seeds(results)
    splits = []
    for name in dict.fromkeys(result.split for result in results):
        own = [result for result in results if result.split == name]
        known = [(r.expert, numbers[r.expert], parts.statistics[r.place]) for r in own if r.place in parts.statistics]
        rows = [_row(result, numbers[result.expert], figures, parts) for result in own]
        more = split_figures(name, known, parts.ensembles.get(name), seeds, parts.head_threshold)
        splits.append(
            Split(name, rows, risk_coverage(name, known), _table(name, rows, figures, _note(own, parts)), more)
        )
    return splits


def _note(results: Sequence[Result], parts: Parts) -> str:
    """Say what the intervals are, and what was assumed of the networks."""
    known = [parts.statistics[r.place].intervals for r in results if r.place in parts.statistics]
    sentences = [f"In brackets: {percent(known[0].level)} intervals ({known[0].method})."] if known else []
    assumed = dict.fromkeys(
        check.message
        for result in results
        for check in result.report.checks
        if check.id == "assumptions" and check.verdict == "failed"
    )
    return " ".join([*sentences, *assumed])


def _table(split: str, rows: Sequence[Row], figures: Sequence[Figure], note: str) -> Table:
    """Write the results of a split as a table for a paper."""
    columns = ["Expert", "Rows", *(f"{figure.heading} {figure.unit}".strip() for figure in figures), "Checks"]
    cells = [
        [
            row.expert,
            row.samples,
            *(f"{cell.value} ({cell.interval})" if cell.interval else cell.value for cell in row.cells),
            row.verdict,
        ]
        for row in rows
    ]
    return Table(f"Results, {split}", columns, cells, note)


def _row(result: Result, number: int, figures: Sequence[Figure], parts: Parts) -> Row:
    metrics, title = result.report.metrics, f"{result.expert}, {result.split}"
    samples, recalls = metrics.number("samples"), metrics.numbers("class_recalls")
    statistics = parts.statistics.get(result.place)
    bins = None if statistics is None else statistics.reliability
    return Row(
        *result.place,
        swatch(number),
        result.verdict,
        "–" if samples is None else f"{samples:,}",
        cells(result, figures, statistics),
        parts.digests.get(result.place),
        None if bins is None else reliability(title, bins),
        recall_by_class(title, recalls, parts.groups) if recalls else None,
    )
