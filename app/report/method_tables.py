"""The tables of an evaluation: figures, differences, stored thresholds and expert weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.evaluations import CoveragePoint, Difference, Evaluation, MethodEvaluation
from app.report.figures import Cell, Figure, in_percent
from app.report.paper_tables import Table
from app.report.shown_methods import MSP, UNIFORM
from app.report.words import signed

COMPARED = ("accuracy", "balanced_accuracy", "nll", "aurc_grid", "balanced_aurc_grid", "worst_aurc_grid")
"""Figures in the table of differences, with the last group's accuracy."""


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method in a table."""

    name: str
    cells: Sequence[Cell]
    told_apart: Sequence[bool] = ()
    """Of differences, by cell: whether the interval excludes 0."""


@dataclass(frozen=True, slots=True)
class ThresholdTable:
    """What a rejector does with its stored thresholds."""

    name: str
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class WeightRow:
    """Mean weights of the experts in one class group."""

    method: str
    """Empty in all rows of a method but its first."""
    group: str
    weights: Sequence[tuple[str, str, float]]
    """Expert, weight as text, and in percent."""


def figures_of(evaluation: Evaluation) -> list[Figure]:
    """List the columns of the table of figures."""
    groups = [
        Figure(f"{name}_accuracy", name.capitalize(), "%", f"right rows of the {name} classes", 2)
        for name in evaluation.group_names
    ]
    return [
        Figure("accuracy", "Accuracy", "%", "right rows among all rows", 2),
        Figure("balanced_accuracy", "Balanced", "%", "mean recall of the classes present", 2),
        *groups,
        Figure("nll", "NLL", "nats", "mean negative log-likelihood of the label", 3),
        Figure("ece", "ECE", "", "expected calibration error over 15 bins of equal width", 4),
        Figure("aurc_grid", "AURC", "", "mean error over the target coverages; smaller is better", 4),
        Figure("balanced_aurc_grid", "Bal. AURC", "", "its like for the mean of the groups' errors", 4),
        Figure("worst_aurc_grid", "Worst AURC", "", "its like for the largest of the groups' errors", 4),
    ]


def figure_rows(evaluation: Evaluation) -> list[MethodRow]:
    """Build the table of figures, one row a method."""
    figures = figures_of(evaluation)
    return [MethodRow(method.name, [_cell(method, figure) for figure in figures]) for method in evaluation.methods]


def compared_figures(evaluation: Evaluation) -> list[Figure]:
    """List the columns of the table of differences."""
    names = {*COMPARED, f"{evaluation.group_names[-1]}_accuracy"}
    return [figure for figure in figures_of(evaluation) if figure.name in names]


def difference_rows(evaluation: Evaluation) -> list[MethodRow]:
    """Build the table of differences from the reference."""
    figures = compared_figures(evaluation)
    rows = []
    for method in evaluation.methods:
        if method.name != evaluation.reference:
            differences = [method.differences.get(figure.name) for figure in figures]
            cells = [
                difference_cell(figure, difference) for figure, difference in zip(figures, differences, strict=True)
            ]
            apart = [d is not None and not d.low <= 0 <= d.high for d in differences]
            rows.append(MethodRow(method.name, cells, apart))
    return rows


def paper_table(
    caption: str, figures: Sequence[Figure], rows: Sequence[MethodRow], note: str, first: str = "Method"
) -> Table:
    """Write rows of figures as a table for a paper, with intervals in brackets."""
    columns = [first, *(f"{figure.heading} {figure.unit}".strip() for figure in figures)]
    cells = [
        [row.name, *(f"{cell.value} ({cell.interval})" if cell.interval else cell.value for cell in row.cells)]
        for row in rows
    ]
    return Table(caption, columns, cells, note)


def threshold_headings(evaluation: Evaluation) -> list[str]:
    """List the columns of the tables of stored thresholds."""
    errors = [f"Error {name}" for name in evaluation.group_names]
    accepted = [f"Accepted {name}" for name in evaluation.group_names]
    return ["Target", "Accepted", "Error", "Balanced", "Worst", *errors, *accepted]


def threshold_tables(evaluation: Evaluation) -> list[ThresholdTable]:
    """Build a table for each method with stored thresholds, in percent."""
    return [
        ThresholdTable(method.name, [_threshold_row(point) for point in method.at_threshold])
        for method in evaluation.methods
        if method.at_threshold
    ]


def weight_rows(evaluation: Evaluation, experts: Sequence[str]) -> list[WeightRow]:
    """Build the table of mean expert weights, of methods that weigh several experts differently.

    `experts` are those of the first gating, in order; another gating's are numbered.
    """
    rows = []
    for method in evaluation.methods:
        by_group = method.expert_weights
        if by_group is None or not method.name.endswith(MSP) or method.name.split(": ")[-1] == UNIFORM:
            continue
        name, own = method.name.removesuffix(MSP), method.name.split(": ")[0] == method.name
        for group, weights in by_group.items():
            if weights is None or len(weights) < 2:
                continue
            names = (
                experts if own and len(experts) == len(weights) else [f"expert {n + 1}" for n in range(len(weights))]
            )
            shares = [(e, f"{weight:.3f}", 100 * weight) for e, weight in zip(names, weights, strict=True)]
            rows.append(WeightRow(name, group, shares))
            name = ""
    return rows


def _cell(method: MethodEvaluation, figure: Figure) -> Cell:
    ends = method.intervals.get(figure.name)
    interval = None if ends is None else f"{figure.text(ends[0])}–{figure.text(ends[1])}"
    return Cell(figure, figure.text(method.figures.get(figure.name)), interval)


def difference_cell(figure: Figure, difference: Difference | None) -> Cell:
    """Write a difference in a figure's unit, with its interval."""
    if difference is None:
        return Cell(figure, "–", None)
    value, low, high = (signed(figure.text(number)) for number in (difference.value, difference.low, difference.high))
    return Cell(figure, value, f"{low} to {high}")


def _threshold_row(point: CoveragePoint) -> list[str]:
    values = (
        point.coverage,
        point.overall,
        point.balanced,
        point.worst,
        *point.group_errors,
        *point.group_acceptance,
    )
    return [f"{point.kappa * 100:.4g}", *("–" if value is None else f"{in_percent(value):.2f}" for value in values)]
