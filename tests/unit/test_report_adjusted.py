"""A warning about an adjusted expert's tail names the split that it is of."""

from __future__ import annotations

from app.domain.analyses import AnalysedResult, JobAnalysis
from app.domain.checks import Check
from app.domain.ensembles import Accuracies, Ensemble
from tests.rendering import render
from tests.unit.report_inputs import result, sources

MESSAGE = "bal is worse on the tail than ce."


def analysis(split: str) -> AnalysedResult:
    accuracies = Accuracies(0.5, 0.5, None, None)
    check = Check("adjusted-tail", "warning", "failed", None, None, MESSAGE)
    ensemble = Ensemble(
        ("ce", "bal"),
        {"overall": 10},
        {"ce": accuracies, "bal": accuracies},
        accuracies,
        {"overall": 0.6},
        (),
        (check,),
        {},
    )
    return AnalysedResult("", split, "ready", ensemble.to_dict(), None, ("ce", "bal"))


def test_an_adjusted_expert_with_a_worse_tail_is_a_warning_of_its_split() -> None:
    """A job may have several splits, and the figures are of one of them; nothing has failed."""
    results = [result(expert, split) for split in ("val", "test") for expert in ("ce", "bal")]
    ensembles = JobAnalysis("ensemble", (analysis("val"), analysis("test")))
    html = render(sources(results, ensembles=ensembles))
    assert f"On val: {MESSAGE}" in html
    assert f"On test: {MESSAGE}" in html
    assert "<h2>Warnings</h2>" in html
    assert "<h2>What failed</h2>" not in html
