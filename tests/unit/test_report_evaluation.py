"""The page of an evaluation: its words, tables and charts, out of the outcome."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest

from app.domain.checks import JobReport
from app.domain.evaluations import Difference, MethodEvaluation
from app.domain.jobs import JobState
from app.report.comparisons import CRITERIA, comparison, comparisons
from app.report.method_charts import acceptance_charts, error_charts, gap_chart
from app.report.method_tables import difference_rows, figure_rows, threshold_tables, weight_rows
from app.report.outcome_pages import evaluation_page
from app.report.shown_methods import shown_methods
from tests.rendering import render_evaluation
from tests.unit.combined_outcomes import (
    COVERAGES,
    EVALUATION,
    EXPERTS,
    METHODS,
    REFERENCE,
    evaluated,
    evaluation,
    evaluation_outcome,
    job,
    report,
)

AURC = next(criterion for criterion in CRITERIA if criterion.figure.name == "aurc_grid")
ACCURACY = next(criterion for criterion in CRITERIA if criterion.figure.name == "accuracy")


def compared(name: str, value: float | None, difference: Difference | None) -> MethodEvaluation:
    return evaluated(name, {"aurc_grid": value, "accuracy": value}, {"aurc_grid": difference, "accuracy": difference})


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Difference(-0.05, -0.07, -0.03), "0.0500 below uniform + msp (95 % interval 0.0300 to 0.0700)."),
        (
            Difference(-0.05, -0.11, 0.01),
            "not told apart from uniform + msp (95 % interval of the difference −0.1100 to 0.0100).",
        ),
        (
            Difference(-0.05, -0.11, 0.0),
            "not told apart from uniform + msp (95 % interval of the difference −0.1100 to 0.0000).",
        ),
        (None, "uniform + msp has no such figure to compare with."),
    ],
)
def test_the_best_method_is_told_from_the_reference_only_if_the_interval_excludes_0(
    difference: Difference | None, words: str
) -> None:
    """An interval that ends at 0 contains it."""
    methods = [compared(REFERENCE, 0.25, Difference(0.0, 0.0, 0.0)), compared("linear + msp", 0.2, difference)]
    sentence = comparison(evaluation(methods), AURC)
    assert sentence == f"linear + msp has the lowest AURC, 0.2000: {words}"


def test_a_higher_accuracy_is_above_in_percentage_points() -> None:
    """Of accuracies the largest is best; of areas the smallest."""
    better = compared("linear + msp", 0.52, Difference(0.27, 0.25, 0.29))
    shown = evaluation([compared(REFERENCE, 0.25, None), better])
    words = "27.00 points above uniform + msp (95 % interval 25.00 to 29.00)."
    assert comparison(shown, ACCURACY) == f"linear + msp has the highest accuracy, 52.00 %: {words}"
    assert comparison(shown, AURC) == "uniform + msp, the reference, has the lowest AURC, 0.2500."


def test_equal_best_methods_are_named_together() -> None:
    """With the reference among them, nothing is better than it."""
    difference = Difference(-0.05, -0.07, -0.03)
    two = [compared(name, 0.2, difference) for name in ("linear + msp", "net + msp")]
    sentence = comparison(evaluation([compared(REFERENCE, 0.25, None), *two]), AURC)
    assert sentence is not None
    assert sentence.startswith("linear + msp and net + msp have the lowest AURC, 0.2000: ")
    tied = comparison(evaluation([compared(REFERENCE, 0.2, None), *two]), AURC)
    assert tied == "uniform + msp, the reference, has the lowest AURC, 0.2000; 2 other methods have the same."


def test_a_figure_that_no_method_has_is_not_compared() -> None:
    """Neither are figures that are undefined on the rows."""
    assert len(comparisons(evaluation([compared(REFERENCE, 0.25, None)]))) == 2
    assert comparisons(evaluation([compared(REFERENCE, None, None)])) == []


def test_charts_show_the_reference_and_rules_first_and_leave_other_scores_out() -> None:
    """Experts are grey; three methods have bands; other scores than msp stand in the tables."""
    shown = shown_methods(evaluation(METHODS), EXPERTS)
    names = [REFERENCE, "linear + msp", "linear + group-worst", "other: net + msp"]
    assert [method.name for method in shown.main] == names
    assert [method.name for method in shown.main if method.band] == names[:3]
    assert [method.style for method in shown.experts] == ["line thin d0", "line thin d1"]
    assert shown.left_out == ["uniform + entropy"]
    assert [method.name for method in shown.rules] == names[:3]


def test_an_expert_with_the_name_of_a_combination_is_not_taken_for_it() -> None:
    """Its method has `expert` before the name; a later gating's expert has that gating's name there."""
    names = ["expert linear + msp", "ce + msp", REFERENCE, "linear + msp", "other: ce + msp", "other: linear + msp"]
    shown = shown_methods(
        evaluation([evaluated(name, error=n / 10) for n, name in enumerate(names)]), ("linear", "ce")
    )
    assert [method.name for method in shown.main] == [REFERENCE, "linear + msp", "other: linear + msp"]
    assert [method.name for method in shown.experts] == ["expert linear + msp", "ce + msp", "other: ce + msp"]


def test_no_two_main_methods_look_alike() -> None:
    """Each has a colour of its own, and at most seven are shown; the others are named."""
    many = [evaluated(REFERENCE), *(evaluated(f"gating {n}: linear + msp", error=n / 100) for n in range(1, 10))]
    shown = shown_methods(evaluation(many), EXPERTS)
    assert len({method.style for method in shown.main}) == len(shown.main) == 7
    assert shown.left_out == ["gating 7: linear + msp", "gating 8: linear + msp", "gating 9: linear + msp"]


def test_a_method_that_coincides_with_an_earlier_one_is_named_and_has_no_band() -> None:
    """Lines on top of each other could not be told apart."""
    methods = [evaluated(REFERENCE), evaluated("uniform + group-worst", rule=True), evaluated("net + msp", error=0.2)]
    shown = shown_methods(evaluation(methods), EXPERTS)
    assert shown.same == [("uniform + group-worst", REFERENCE)]
    assert [method.name for method in shown.main if method.band] == [REFERENCE, "net + msp"]
    content = evaluation_page(job(EVALUATION, evaluation_outcome(methods)), JobReport("passed")).content
    assert content is not None
    assert content.same == f"uniform + group-worst as {REFERENCE}"


def test_figures_stand_with_their_intervals() -> None:
    """A figure that is undefined for a method is a dash without an interval."""
    row = figure_rows(evaluation([evaluated(REFERENCE, {"nll": None})]))[0]
    cells = {cell.figure.name: (cell.value, cell.interval) for cell in row.cells}
    assert cells["accuracy"] == ("50.00", "49.00–51.00")
    assert cells["aurc_grid"] == ("0.2500", "0.2400–0.2600")
    assert cells["nll"] == ("–", None)
    columns = ["accuracy", "balanced_accuracy", "head_accuracy", "tail_accuracy", "nll", "ece"]
    assert list(cells) == [*columns, "aurc_grid", "balanced_aurc_grid", "worst_aurc_grid"]


def test_differences_have_a_sign_and_are_marked_where_the_interval_excludes_0() -> None:
    """The reference itself has no row; a difference of nothing has no sign."""
    differences = {
        "accuracy": Difference(0.02, 0.01, 0.03),
        "nll": Difference(-0.5, -1.0, 0.25),
        "aurc_grid": Difference(-0.00001, -0.00001, -0.00001),
    }
    (row,) = difference_rows(evaluation([evaluated(REFERENCE), evaluated("linear + msp", {}, differences)]))
    shown = dict(
        zip([cell.figure.name for cell in row.cells], zip(row.cells, row.told_apart, strict=True), strict=True)
    )
    values = {name: (cell.value, cell.interval, apart) for name, (cell, apart) in shown.items()}
    assert values["accuracy"] == ("+2.00", "+1.00 to +3.00", True)
    assert values["nll"] == ("−0.500", "−1.000 to +0.250", False)
    assert values["aurc_grid"] == ("0.0000", "0.0000 to 0.0000", True)
    assert values["tail_accuracy"] == ("–", None, False)


def test_stored_thresholds_have_a_table_for_each_rejector() -> None:
    """Target and realised coverage, errors and acceptance, in percent."""
    (table,) = threshold_tables(evaluation(METHODS))
    assert table.name == "linear + group-worst"
    assert table.rows[1] == ["60", "60.00", "5.00", "7.50", "10.00", "5.00", "10.00", "60.00", "36.00"]


def test_weights_are_of_methods_that_choose_them() -> None:
    """Uniform and single experts have none to show; experts of another gating are numbered."""
    rows = weight_rows(evaluation(METHODS), EXPERTS)
    assert [(row.method, row.group) for row in rows] == [
        ("linear", "head"),
        ("other: net", "head"),
        ("", "tail"),
    ]
    assert rows[0].weights == [("ce", "0.750", 75.0), ("la", "0.250", 25.0)]
    assert rows[1].weights == [("expert 1", "0.125", 12.5), ("expert 2", "0.875", 87.5)]


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]


def drawn(chart: str, style: str) -> list[list[tuple[float, float]]]:
    return [points(str(path.get("d"))) for path in ET.fromstring(chart).findall(f"path[@class='{style}']")]


def test_the_acceptance_diagonal_is_where_acceptance_equals_coverage() -> None:
    """The axis begins at the least coverage, not at 0; the head, accepted as often as all, lies on the diagonal."""
    shown = evaluation(METHODS)
    head, tail = acceptance_charts(shown, shown_methods(shown, EXPERTS))
    (diagonal,), (reference,) = drawn(head, "diagonal"), drawn(head, "line c0 d0")
    assert (diagonal[0], diagonal[-1]) == (reference[0], reference[-1])
    (below,) = drawn(tail, "line c0 d0")
    assert below[1][1] > reference[1][1]  # further down the picture
    assert "uniform + msp 0.040 and 1.000" in tail


def test_bands_lie_around_their_line() -> None:
    """Each point of the line is between the band's edges at the same coverage."""
    shown = evaluation(METHODS)
    for chart in error_charts(shown, shown_methods(shown, EXPERTS)):
        (line,), (band,) = drawn(chart, "line c0 d0"), drawn(chart, "band f0")
        lower, upper = band[: len(COVERAGES)], band[len(COVERAGES) :][::-1]
        for (x, y), low, high in zip(line, lower, upper, strict=True):
            assert low[0] == x == high[0]
            assert low[1] > y > high[1]


@pytest.mark.parametrize("sign", [1, -1])
def test_an_expert_s_line_is_cut_where_it_leaves_the_scale(sign: int) -> None:
    """It ends on the edge, at the coverage where it crosses it, and never runs along the edge."""
    shown = evaluation([evaluated(REFERENCE, error=0.1), evaluated("ce + msp", error=sign * 0.3)])
    chart = gap_chart(shown, shown_methods(shown, EXPERTS))
    (line,) = drawn(chart, "line thin d0")
    root = ET.fromstring(chart)
    edges = [float(str(path.get("d")).split()[1].split("H")[0]) for path in root.findall("path[@class='grid']")]
    edge = min(edges) if sign > 0 else max(edges)
    assert sum(abs(y - edge) < 0.06 for _, y in line) <= 1
    assert all(min(edges) <= y <= max(edges) for _, y in line)


def test_warnings_stand_above_the_figures() -> None:
    """Without errors the heading does not say that anything failed."""
    outcome = evaluation_outcome()
    html = render_evaluation(job(EVALUATION, outcome), report(outcome))
    assert html.index("There are only 60 rows.") < html.index("In short") < html.index("All methods")
    assert "<h2>Warnings</h2>" in html
    assert "What failed" not in html


def test_the_page_says_what_its_figures_mean_and_do_not() -> None:
    """Nesting, groups with nothing accepted, acceptance, intervals, many methods and the prior."""
    html = render_evaluation(job(EVALUATION, evaluation_outcome(prior="train")), JobReport("passed"))
    for words in ("Rules are not nested", "counts as 1", "accepting hardly any row", "1,000 resamples, seed 0"):
        assert words in html
    assert "The best of many methods looks better than it is." in re.sub(r"\s+", " ", html)
    assert "train: rows are weighted" in html
    assert "argse/main/curves.csv" in html
    assert "d" * 64 in html


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "]]>&amp;{{ 1 }}"]
)
def test_hostile_names_are_text(hostile: str) -> None:
    """Names of experts, methods, folders and checks cannot leave their place."""
    methods = [
        replace(method, name=method.name.replace("ce", hostile).replace("worst", hostile)) for method in METHODS
    ]
    outcome = evaluation_outcome(methods, files={hostile: "d" * 64})
    request = replace(EVALUATION, dataset=hostile, name=hostile, rejectors=(hostile,))
    html = render_evaluation(job(request, outcome), report(outcome))
    assert hostile not in html
    for chart in re.findall(r"<svg.*?</svg>", html, re.S):
        ET.fromstring(chart)


def test_the_page_needs_nothing_else() -> None:
    """No script, no link, and no address that a browser would fetch."""
    html = render_evaluation(job(EVALUATION, evaluation_outcome()), JobReport("passed"))
    assert (
        re.findall(r'<(?:script|img|iframe|object|embed)|@import|url\(|https?://|(?:src|href)="(?!data:)', html) == []
    )


@pytest.mark.parametrize(
    ("state", "more", "headline", "words"),
    [
        (JobState.RUNNING, {}, "Not finished", "The job is running. This page looks again by itself."),
        (JobState.CANCELLED, {}, "Cancelled", "The job was cancelled before it had a result."),
        (JobState.FAILED, {"error": {"code": "late", "message": "Too late."}}, "Failed", "there is no result to use"),
    ],
)
def test_a_job_without_an_outcome_says_why(state: JobState, more: Any, headline: str, words: str) -> None:
    """The state and, of a failed job, its error."""
    shown = job(EVALUATION, None, state, **more)
    page = evaluation_page(shown, JobReport("failed" if more else "skipped"))
    assert (page.headline, page.content) == (headline, None)
    assert words in page.sentence
    html = render_evaluation(shown, JobReport("skipped"))
    assert ("Too late." in html) == bool(more)
