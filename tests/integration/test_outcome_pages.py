"""The pages of gatings, rejectors, evaluations and comparisons in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.checks import JobReport
from app.domain.outcomes import EvaluationOutcome, GatingOutcome, RejectorOutcome
from app.report.comparison_page import Pictures
from app.report.view import Sources
from tests.integration.browser import CHROMIUM, Browser, chromium
from tests.rendering import render, render_comparison, render_evaluation, render_rejector
from tests.unit.combined_outcomes import (
    EVALUATION,
    EXPERTS,
    FEW_ROWS,
    GATING,
    METHODS,
    REJECTOR,
    candidate,
    evaluation_outcome,
    files,
    gating,
    job,
    rejector,
    report,
    rules,
)
from tests.unit.compared_outcomes import job as comparison_job
from tests.unit.compared_outcomes import outcome as comparison_outcome
from tests.unit.compared_outcomes import pair, request, side

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look at the pages with")

LONG = "an_expert_with_a_name_that_is_much_too_long_for_a_phone"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
OUTSIDE = (
    "[...document.querySelectorAll('body *:not(thead *):not(.scroll *)')]"
    ".filter(e => e.getBoundingClientRect().right > {}).length"
)
"""Elements that leave the window; tables of numbers scroll within their own frame."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


def _pages() -> dict[str, str]:
    """Render a page of each kind, with a long name."""
    experts = (LONG, EXPERTS[1])
    candidates = [candidate("linear", 0.8, (-0.05, 0.2)), candidate("log-linear", 0.7, None)]
    fitted: GatingOutcome = gating(
        candidates, "linear", "simplest", experts=experts, rules=rules(), checks=(FEW_ROWS,)
    )
    rejected: RejectorOutcome = rejector(checks=[FEW_ROWS])
    methods = [replace(method, name=method.name.replace("ce +", f"{LONG} +")) for method in METHODS]
    evaluated: EvaluationOutcome = evaluation_outcome(methods, inputs=files(("test",), experts))
    compared = comparison_outcome(pair(LONG, "bal"), pair(LONG, "adj"))
    comparison = comparison_job(request(side(LONG), side("bal"), side("adj")), compared)
    pictures = Pictures({"test/107": PIXEL}, (LONG,) * 3)
    return {
        "comparison": render_comparison(comparison, JobReport("passed"), pictures),
        "gating": render(Sources(job(replace(GATING, experts=experts), fitted), report(fitted))),
        "rejector": render_rejector(job(replace(REJECTOR, name=LONG), rejected), report(rejected)),
        "evaluation": render_evaluation(job(replace(EVALUATION, name=LONG), evaluated), report(evaluated)),
    }


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("kind", ["comparison", "gating", "rejector", "evaluation"])
def test_a_page_fits_the_window_and_needs_nothing_else(
    browser: Browser, tmp_path: Path, kind: str, width: int
) -> None:
    """On a phone as on a desk: nothing overflows, nothing is fetched, and the console stays empty."""
    path = tmp_path / "page.html"
    path.write_text(_pages()[kind], encoding="utf-8")
    browser.open(path.as_uri(), width=width)
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.value(OUTSIDE.format(width)) == 0
    sent = [event["request"]["url"] for event in browser.seen("Network.requestWillBeSent")]
    assert [url for url in sent if not url.startswith("data:")] == [path.as_uri()]
    for trouble in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
        assert browser.seen(trouble) == []
