"""The parts of a page about a combination and about rules of rejection, out of their outcomes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest

from app.domain.checks import JobReport, skipped
from app.domain.combining import LogLinearParameters, NetParameters, Rules
from app.domain.jobs import JobState
from app.report.combination import combination, reason
from app.report.fitted_rules import rule_section
from app.report.outcome_pages import rejector_page
from app.report.view import Sources
from tests.rendering import render, render_rejector
from tests.unit.combined_outcomes import (
    FEW_ROWS,
    GATING,
    REJECTOR,
    candidate,
    gating,
    job,
    rejector,
    report,
    role,
    rules,
)

ALL = (
    candidate("uniform", 0.9, (0.1, 0.3)),
    candidate("linear", 0.8, (-0.05, 0.2)),
    candidate("log-linear", 0.7, None),
    candidate("net", 0.75, (-0.01, 0.1)),
)


def gating_html(outcome: Any, **more: Any) -> str:
    return render(Sources(job(GATING, outcome, **more), report(outcome) if outcome else JobReport("skipped")))


def test_the_simplest_method_that_is_not_told_apart_was_taken_for_that() -> None:
    """The reason names the best method, and the interval that contains 0."""
    assert reason(gating(ALL, "linear", "simplest")) == (
        "linear was taken. log-linear has the lowest NLL on val, but val does not tell linear from it: the 95 % "
        "interval of the difference (−0.0500 to +0.2000 nats) contains 0, and linear is the simplest method of which "
        "that is so."
    )


def test_the_lowest_method_was_taken_because_simpler_ones_are_told_apart() -> None:
    """Where it is the simplest itself there is nothing to tell apart."""
    apart = (ALL[0], replace(ALL[1], nll_difference=(0.05, 0.2)), *ALL[2:])
    assert reason(gating(apart, "log-linear", "lowest")) == (
        "log-linear has the lowest NLL on val. Every simpler method is told apart from it: the interval of its "
        "difference lies above 0."
    )
    first = (candidate("uniform", 0.1, None), *apart[1:])
    assert reason(gating(first, "uniform", "lowest")) == "uniform has the lowest NLL on val."


def test_a_named_method_was_compared_with_nothing() -> None:
    """The request decided."""
    outcome = gating([candidate("net", 0.7, None)], "net", "named")
    assert reason(outcome) == "net was taken because the request named it; no other method was compared."


def test_candidates_have_their_figures_and_one_is_marked() -> None:
    """Accuracies are percent; a group without rows has a dash; the lowest has no interval."""
    shown = combination(gating(ALL, "linear", "simplest"))
    assert [row.method for row in shown.candidates if row.chosen] == ["linear"]
    texts = [{cell.figure.name: cell.value for cell in row.cells} for row in shown.candidates]
    assert texts[1] == {
        "fit_nll": "0.4000",
        "nll": "0.8000",
        "difference": "−0.0500 to +0.2000",
        "accuracy": "50.00",
        "balanced_accuracy": "40.00",
        "head": "60.00",
        "tail": "–",
    }
    assert texts[2]["difference"] == "lowest"


def test_parameters_stand_by_expert() -> None:
    """In the order of the outcome; temperatures of 1 are not shown."""
    shown = combination(gating(ALL, "linear", "simplest"))
    headings = [heading for heading, _ in shown.parameters]
    assert headings == ["uniform q", "linear q", "linear T", "log-linear a", "net T"]
    assert shown.experts == [
        ("ce", ["0.5000", "0.2500", "1.5000", "0.2000", "1.5000"]),
        ("la", ["0.5000", "0.7500", "0.8000", "0.4000", "0.8000"]),
    ]


@pytest.mark.parametrize(
    ("exponent", "words"),
    [
        (-0.62, "is −0.6200; it is below 0, which favours classes with few train samples."),
        (0.25, "is 0.2500; it is above 0, which favours classes with many train samples."),
        (0.0, "is 0.0000; the prior plays no part."),
    ],
)
def test_the_exponent_of_the_prior_is_explained(exponent: float, words: str) -> None:
    """Below 0 it favours the tail."""
    fitted = candidate("log-linear", 0.7, None, LogLinearParameters((1.0, 1.0), exponent))
    (note,) = combination(gating([fitted], "log-linear", "named")).notes
    assert note == f"log-linear: the exponent b of the class prior {words}"


def test_an_imported_network_was_not_fitted() -> None:
    """It has no best epoch."""
    fitted = candidate("net", 0.7, None, NetParameters((1.0, 1.0), (), (), ""))
    assert combination(gating([fitted], "net", "named")).notes == ["net: imported weights; nothing was fitted."]


def test_rows_and_assumptions_are_shown() -> None:
    """Rows that are worth fewer say so; files that were declared to be divided are named."""
    outcome = gating(ALL, "linear", "simplest", prior="train", divided_by={"ce": 1.5}, fit=role("tunev", 1000, 999.9))
    shown = combination(outcome)
    facts = dict(shown.facts)
    assert facts["Fitted on"] == "tunev: 1,000 rows"
    assert facts["Compared on"] == "val: 1,000 rows, worth 420 of equal weight"
    assert facts["Prior"].startswith("train: ")
    assert shown.assumed == [
        "The files of ce were declared to be divided by 1.5; their logits were multiplied by it."
    ]


def test_the_page_of_a_gating_has_the_combination_beside_its_checks() -> None:
    """Failed checks stand above it and skipped ones below; selective gatings have their rules and caveats."""
    checks = (FEW_ROWS, skipped("fit-rows", "warning", "The base has no train rows."))
    html = gating_html(gating(ALL, "linear", "simplest", checks=checks, rules=rules(objective="balanced")))
    order = ["relogit gating", "There are only 60 rows.", "Combination", "Rules of rejection", "Rules are not nested"]
    places = [html.index(words) for words in [*order, "The base has no train rows."]]
    assert places == sorted(places)
    assert "Rules of rejection" not in gating_html(gating(ALL, "linear", "simplest"))
    assert html.count("b" * 64) == 4  # two experts on two splits


def test_a_gating_that_is_not_fitted_yet_has_no_combination() -> None:
    """Its page is that of any job with units."""
    html = gating_html(None, state=JobState.RUNNING)
    assert "relogit gating" in html
    assert "Not finished" in html
    assert "<h2>Combination</h2>" not in html


def test_rules_show_parameters_errors_and_acceptance_by_group() -> None:
    """Shares are percent; the least threshold accepts all rows."""
    section = rule_section(rules(), ("head", "tail"))
    assert section.headings == [
        *("Target", "Accepted", "Threshold", "u head", "u tail", "v head", "v tail", "Worst error"),
        *("Error head", "Error tail", "Accepted head", "Accepted tail"),
    ]
    assert section.rows[0] == [
        *("20", "20.00", "0.5", "0.5", "1", "1", "0.25", "12.50", "6.25", "12.50", "30.00", "10.00"),
    ]
    assert section.rows[-1][2] == "all"
    assert ("u head, u tail", "factor of the group's largest probability") in section.meanings


@pytest.mark.parametrize(
    ("fitted", "words"),
    [
        (rules(), "minimises the largest of the groups' errors"),
        (rules(objective="balanced"), "minimises the mean of the groups' errors"),
        (rules(), "a rule may accept hardly any row of one"),
        (rules(min_group_coverage=0.5), "accept less than 0.5 times the coverage of a group were left out"),
        (rules("margin"), "looks at no class group"),
    ],
)
def test_what_was_minimised_is_said_in_words(fitted: Rules, words: str) -> None:
    """Objective and least acceptance of the score `group`; other scores have neither."""
    assert words in rule_section(fitted, ("head", "tail")).sentence


def test_a_score_without_groups_has_no_group_parameters() -> None:
    """Its threshold, errors and acceptance are shown."""
    section = rule_section(rules("msp"), ("head", "tail"))
    assert section.headings[:4] == ["Target", "Accepted", "Threshold", "Error head"]


def test_acceptance_by_group_is_drawn_against_coverage() -> None:
    """A line for each group, at the rules' coverages, and the diagonal."""
    acceptance, errors = rule_section(rules(), ("head", "tail")).charts
    root = ET.fromstring(acceptance)
    assert [path.get("class") for path in root.findall("path")][-3:] == ["diagonal", "line c0 d0", "line c1 d1"]
    assert "head 0.300 to 1.000; tail 0.100 to 1.000" in str(root.findtext("desc"))
    assert "tail 0.125 to 0.125" in str(ET.fromstring(errors).findtext("desc"))


def test_the_page_of_a_rejector_says_that_its_figures_are_of_fitted_rows() -> None:
    """The caveats stand below the rules, the warnings above."""
    outcome = rejector(checks=[FEW_ROWS])
    html = render_rejector(job(REJECTOR, outcome), report(outcome))
    places = [html.index(w) for w in ("Fitted", "There are only 60 rows.", "Accepted tail", "they look better than")]
    assert places == sorted(places)
    assert dict(rejector_page(job(REJECTOR, outcome), report(outcome)).facts)["Fitted on"] == (
        "2,000 rows, worth 840 of equal weight"
    )


def test_hostile_names_are_text() -> None:
    """Names of experts, rejectors and groups cannot leave their place, and nothing is fetched."""
    hostile = '<img src="http://x" onerror=alert(1)>'
    outcome = replace(rejector(), group_names=(hostile, "tail"))
    fitted = gating(ALL, "linear", "simplest", experts=(hostile, "la"))
    pages = [
        render_rejector(job(replace(REJECTOR, name=hostile, gating=hostile), outcome), report(outcome)),
        render(Sources(job(replace(GATING, experts=(hostile, "la")), fitted), report(fitted))),
    ]
    for html in pages:
        assert hostile not in html
        assert "&lt;img" in html
        assert re.findall(r'<(?:script|img|iframe)|@import|url\(|(?:src|href)="(?!data:)', html) == []
