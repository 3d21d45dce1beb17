"""The report page: what it says, out of what the API says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest

from app.domain.analyses import AnalysedResult, AnalysisState, JobAnalysis
from app.domain.checks import JobReport, Result
from app.domain.jobs import JobState, Unit, UnitState
from app.domain.requests import VerificationRequest
from app.report.findings import failures, plain, skipped
from app.report.view import Page, Sources, page
from tests.rendering import render
from tests.unit.report_inputs import analysed, check, metrics, result, sources, statistics, verification_job

CHANCE = check(
    "accuracy",
    "failed",
    measured={"accuracy": 0.004840940525587829},
    expected={"above": 0.0196},
    message="The logits do not belong to these samples.",
    evidence=tuple({"row": number, "predicted": 70, "label": 0} for number in range(9)),
)
REPEATS = check("repeats", "failed", level="warning", message="156 of 1446 rows repeat a sample.")


def test_the_same_finding_on_several_results_is_said_once() -> None:
    """It names all of them; one that was measured otherwise stands by itself."""
    other = replace(REPEATS, measured=7)
    found = sources([result("a", checks=[REPEATS]), result("b", checks=[REPEATS]), result("c", checks=[other])])
    assert [finding.where for finding in page(found).failures] == ["val: a, b", "val: c"]


def test_a_finding_shows_what_was_measured_and_the_first_evidence() -> None:
    """Five pieces of evidence are shown and the others counted."""
    (finding,) = page(sources([result("a", checks=[CHANCE])])).failures
    assert (finding.measured, finding.expected) == ("accuracy 0.004841", "above 0.0196")
    assert finding.evidence[0] == "row 0, predicted 70, label 0"
    assert (len(finding.evidence), finding.more) == (5, 4)


@pytest.mark.parametrize(
    ("state", "more", "said"),
    [
        ("ready", {"analysis": {"message": "They are those of 'train'."}}, "They are those of 'train'."),
        ("pending", {}, "Causes are being looked for; reload in a moment."),
        ("failed", {"error": {"message": "The list was changed."}}, "The list was changed."),
    ],
)
def test_a_failed_accuracy_has_its_causes_beside_it(state: AnalysisState, more: dict[str, Any], said: str) -> None:
    """The search's sentence, or why there is none; a warning has no causes, and comes after the errors."""
    results = [result("a", checks=[REPEATS, CHANCE])]
    error, warning = page(sources(results, causes=analysed(results, state, **more))).failures
    assert (error.level, error.causes, warning.level, warning.causes) == ("error", [said], "warning", [])


def test_a_unit_that_could_not_be_computed_is_an_error() -> None:
    """Its message is shown, unless failed checks say it better."""
    error = {"code": "split-changed", "message": "The list was replaced.", "details": {}}
    lost = result("a", error=error, verdict="failed")
    checked = result("b", checks=[CHANCE], error=error | {"code": "verification-failed"})
    assert [finding.check for finding in page(sources([lost, checked])).failures] == ["split-changed", "accuracy"]


def test_a_reason_is_given_once_for_all_that_was_skipped_for_it() -> None:
    """Checks and results with the same reason share a line; passed ones are counted and named once."""
    why = "There is no manifest."
    checks = [check("manifest", "skipped", message=why), check("class-weights", "skipped", message=why)]
    checks += [check("shapes", "passed"), check("finite", "passed")]
    made = sources([result("a", checks=checks), result("b", checks=checks)])
    assert page(made).passed == (4, ["finite", "shapes"])
    (line,) = skipped(made.report)
    assert (line.check, line.message, line.where) == ("manifest, class-weights", why, "all 2 results")


def test_a_figure_that_no_result_has_is_no_column_but_a_reason() -> None:
    """The reason stands once, with all the figures that it keeps away."""
    shown = page(sources([result("a"), result("b")]))
    assert [figure.name for figure in shown.figures] == ["accuracy", "balanced_accuracy", "nll", "ece", "aurc"]
    assert shown.missing == [("Reweighted, Head, Tail", "There are no train counts.")]


def test_figures_stand_in_their_unit_with_the_interval_that_is_known() -> None:
    """Accuracies in percent, others as they are; without an interval only the figure."""
    mixed = result("b", metrics=metrics(head_accuracy=0.75))
    split = page(sources([result("a"), mixed])).splits[0]
    first, second = ({cell.figure.name: (cell.value, cell.interval) for cell in r.cells} for r in split.results)
    assert first["accuracy"] == ("50.00", "45.00–55.00")
    assert first["nll"] == ("1.250", "1.000–1.500")
    assert first["ece"] == ("0.1250", None)
    assert (first["head_accuracy"], second["head_accuracy"]) == (("–", None), ("75.00", None))


def test_a_result_without_any_figure_is_still_in_the_table() -> None:
    """An unreadable file has a line with its verdict, and no pictures."""
    broken = result("a", checks=[check("readable", "failed")], metrics=None)
    shown = page(sources([broken, result("b")], statistics=analysed([broken], "none")))
    row = shown.splits[0].results[0]
    assert (row.verdict, row.samples, row.reliability, row.recalls) == ("failed", "–", None, None)
    assert {cell.value for cell in row.cells} == {"–"}


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        ("pending", None, "still being computed for all 2 results"),
        ("failed", {"message": "The file is gone."}, "No intervals and curves for all 2 results: The file is gone."),
        ("ready", None, None),
    ],
)
def test_an_analysis_that_is_not_ready_has_a_note(state: AnalysisState, error: Any, said: str | None) -> None:
    """One for all results with the same reason; tables and recalls are there, curves are not."""
    results = [result("a"), result("b")]
    made = sources(results, statistics=analysed(results, state, statistics(), error))
    shown = page(made)
    assert made.pending == (state == "pending")
    assert [said in note for note in shown.notes if said] == ([True] if said else [])
    assert bool(shown.splits[0].curves) == (said is None)
    assert shown.splits[0].results[0].recalls is not None


@pytest.mark.parametrize(
    ("results", "beginning", "end"),
    [
        ([result("a")], "The result passed", "No warnings."),
        ([result("a", checks=[REPEATS])], "The result passed", "1 warning."),
        ([result("a"), result("b")], "All 2 results passed", "No warnings."),
        ([result("a", checks=[CHANCE])], "The result failed", "No warnings."),
        ([result("a", checks=[CHANCE]), result("b")], "1 of 2 results failed", "No warnings."),
    ],
)
def test_the_verdict_is_said_in_words(results: list[Result], beginning: str, end: str) -> None:
    """How many results, how many of them failed, and how many warnings there are."""
    sentence = page(sources(results)).sentence
    assert sentence.startswith(beginning)
    assert sentence.endswith(end)


def running(*units: Unit) -> Page:
    job = replace(verification_job(JobState.RUNNING), finished_at=None, units=units)
    return page(Sources(job, JobReport("pending", results=(result("a", verdict="pending"),))))


def test_a_running_job_says_how_far_it_is() -> None:
    """Rows done of all rows; no table and no pictures of what is not there."""
    shown = running(Unit("a", "val", UnitState.RUNNING, 2000, "0" * 64, done=500))
    assert shown.headline == "Not finished"
    assert shown.sentence.startswith("The job is running: 500 of 2,000 rows (25%), 0 of 1 result done.")
    assert (len(shown.units), shown.splits) == (1, [])
    assert running().sentence.startswith("The verification is running."), "it has no rows to count"


def test_a_cancelled_job_is_not_verified() -> None:
    """It says so, rather than that it failed or passed."""
    shown = page(Sources(verification_job(JobState.CANCELLED), JobReport("skipped", results=())))
    assert shown.headline == "Not verified"
    assert "was cancelled before" in shown.sentence


@pytest.mark.parametrize("count", [1, 50])
def test_a_page_has_all_results_and_parses(count: int) -> None:
    """Each has its line in the table, two charts, and its curve; no script, no address but an empty icon's."""
    html = render(sources([result(f"expert{number}", checks=[CHANCE]) for number in range(count)]))
    root = ET.fromstring(re.sub(r"<!DOCTYPE html>|<(meta|link)[^>]*>", "", html))
    assert len(root.findall(".//th[@scope='row']")) == count
    assert len(root.findall(".//figure[@class='pair']/svg")) == 2 * count
    (curves,) = root.findall(".//div[@class='curves']/svg")
    assert sum(path.get("class", "").startswith("line") for path in curves.findall("path")) == count
    assert root.get("lang") == "en"
    assert root.findtext("head/title") == "Failed: digits, old/logits – relogit"
    assert "<script" not in html
    assert re.findall(r"""(?:src|href)=["'][^"']*["']|url\(|@import|https?://""", html) == ['href="data:,"']


def test_whatever_a_name_holds_is_shown_as_text() -> None:
    """No name, path, message or piece of evidence can put an element on the page."""
    evil = '<img src=x onerror="alert(1)">'
    bad = check("accuracy", "failed", message=evil, measured={evil: evil}, evidence=({evil: evil},))
    left = check("manifest", "skipped", message=evil)
    results = [result(evil, evil, checks=[bad, left], metrics=metrics(reasons={"head_accuracy": evil}))]
    request = VerificationRequest(evil, evil, evil, None, (), ())
    job = replace(verification_job(), request=request)
    html = render(sources(results, job=job, causes=analysed(results, analysis={"message": evil})))
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=&#34;alert(1)&#34;&gt;") >= 12


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"logits": [1446, 100]}, "logits [1446, 100]"),
        ({"repeated_rows": 156, "same_logits": False}, "repeated rows 156, same logits no"),
        (0.00484094, "0.004841"),
        (None, "none"),
    ],
)
def test_values_are_shown_without_braces(value: object, said: str) -> None:
    """As a reader likes them."""
    assert plain(value) == said


def test_the_jobs_own_checks_and_error_belong_to_all_results() -> None:
    """They come first, and name no single result."""
    overlap = check("overlap", "failed", level="warning")
    made = sources([result("a")], checks=[overlap])
    broken = replace(made.report, error={"code": "store-unusable", "message": "The disk is full."})
    everywhere = "across the results"
    listed = [(finding.check, finding.where) for finding in failures(broken, {})]
    assert listed == [("store-unusable", everywhere), ("overlap", everywhere)]


def test_each_result_has_its_own_analysis() -> None:
    """Intervals are found by expert and split, in whatever order they come."""
    results = [result("a"), result("b"), result("a", "test")]
    entries = []
    for number, item in enumerate(results):
        intervals = statistics()["intervals"] | {"figures": {"nll": [number, 9]}}
        entries.append(AnalysedResult(*item.place, "ready", statistics() | {"intervals": intervals}))
    shown = page(sources(results, statistics=JobAnalysis("statistics", tuple(reversed(entries)))))
    rows = [row for split in shown.splits for row in split.results]
    ends = {(r.expert, r.split): cell.interval for r in rows for cell in r.cells if cell.figure.name == "nll"}
    assert ends == {("a", "val"): "0.000–9.000", ("b", "val"): "1.000–9.000", ("a", "test"): "2.000–9.000"}


def test_probabilities_have_no_curve_and_no_diagram() -> None:
    """The page of a result whose likelihood figures are None, and why, beside one that has all of them."""
    names = ("nll", "ece", "aurc")
    reason = "The file holds probabilities."
    softmaxed = result("a", metrics=metrics(**dict.fromkeys(names), reasons=dict.fromkeys(names, reason)))
    results = [softmaxed, result("b")]
    empty = dict.fromkeys(statistics()["curves"])
    none = statistics() | {"curves": empty, "areas": empty, "reliability": None}
    first, *others = analysed(results, analysis=statistics()).results
    analyses = JobAnalysis("statistics", (replace(first, analysis=none), *others))
    shown = page(sources(results, statistics=analyses))
    [split] = shown.splits
    assert [one.reliability is None for one in split.results] == [True, False]
    assert len(split.curves) == 1
    assert ("NLL, ECE, AURC", reason) in shown.missing
    assert reason in render(sources(results, statistics=analyses))
