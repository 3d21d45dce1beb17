"""The tables of a comparison, for papers."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.comparisons import ComparisonOutcome, PairComparison
from app.domain.evaluations import Difference
from app.report.comparison_words import cause_word, p_text
from app.report.figures import Figure
from app.report.method_tables import difference_cell
from app.report.paper_tables import Table
from app.report.words import percent

FIGURES = (
    "Accuracy A %",
    "B %",
    "B − A",
    "Only A right",
    "Only B right",
    "p (Holm)",
    "Flips",
    "Largest gap",
    "Cause",
)


def comparison_papers(
    pairs: Sequence[PairComparison], figures: Sequence[Figure], outcome: ComparisonOutcome
) -> list[Table]:
    """Write the pairs of one split, and the differences of all figures.

    `figures` begin with the accuracy.
    """
    level, split = percent(outcome.level), pairs[0].split
    rows = [_row(pair, figures[0]) for pair in pairs]
    note = (
        f"Accuracies and their differences in %, with {level} intervals; p of the exact McNemar test, corrected over "
        "the pairs of a split and base."
    )
    columns = ["A", "B", *(f"{figure.heading} {figure.unit}".strip() for figure in figures)]
    differences = [
        [p.a, p.b, *(_cell(figure, p.figure(figure.name).difference) for figure in figures)] for p in pairs
    ]
    drawn = f"Paired bootstrap, stratified by class; in brackets: {level} intervals."
    return [
        Table(f"Pairs, {split}", ["A", "B", *FIGURES], rows, note, words=2),
        Table(f"Differences B − A, {split}", columns, differences, drawn, words=2),
    ]


def _row(pair: PairComparison, accuracy: Figure) -> list[str]:
    known, test = pair.figure("accuracy"), pair.mcnemar
    return [
        pair.a,
        pair.b,
        accuracy.text(known.a),
        accuracy.text(known.b),
        _cell(accuracy, known.difference),
        f"{test.only_a:,}",
        f"{test.only_b:,}",
        p_text(test.p_holm),
        f"{pair.flips[0].flips:,}",
        "–" if pair.logits is None else f"{pair.logits.largest:.3g}",
        cause_word(pair),
    ]


def _cell(figure: Figure, difference: Difference | None) -> str:
    cell = difference_cell(figure, difference)
    return f"{cell.value} ({cell.interval})" if cell.interval else cell.value
