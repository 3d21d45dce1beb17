"""What evidence about mean, std and channel order becomes: refusals, checks, and lines to declare."""

from __future__ import annotations

from typing import Any

import pytest

from app.catalog.normalisation import proposal, refusal
from worker.verify.manifest_checks import open_questions
from worker.verify.normalisation import check_channel_order, check_normalisation

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def evidence(verdict: str, severity: str | None = None, order: str = "rgb") -> dict[str, Any]:
    return {
        "verdict": verdict,
        "severity": severity,
        "message": "The statistics say so.",
        "declared": {"mean": [0.5] * 3, "std": [0.5] * 3},
        "declared_divergence": 0.02,
        "best": {"name": "ImageNet", "transform": IMAGENET},
        "best_divergence": 0.001,
        "hypothesis": "crop with zeros",
        "images": 10_000,
        "hint": None,
        "channel_order": {
            "order": order, "images": 200, "difference": 1.0, "standard_error": 0.1, "message": "Labels say so."
        },
    }  # fmt: skip


def judged(found: dict[str, Any], *, acknowledged: bool = False) -> tuple[str, str]:
    check = check_normalisation(found, "lt", "best_ce", acknowledged=acknowledged)
    return check.level, check.verdict


def test_supported_passes() -> None:
    """Whatever else fits less well is told in the measurement."""
    assert judged(evidence("supported")) == ("warning", "passed")
    check = check_normalisation(evidence("supported"), "lt", "best_ce", acknowledged=False)
    assert check.measured["best_other"] == "ImageNet"


def test_undecidable_is_skipped_with_its_reason() -> None:
    """Neither good nor bad: the message says why nothing was shown."""
    check = check_normalisation(evidence("undecidable"), "lt", "best_ce", acknowledged=False)
    assert (check.verdict, check.message) == ("skipped", "The statistics say so.")


def test_contradicted_is_an_error_unless_it_is_acknowledged_or_slight() -> None:
    """An owner who knows better gets a warning; so does everybody below the rule's cut."""
    assert judged(evidence("contradicted", "error")) == ("error", "failed")
    assert judged(evidence("contradicted", "error"), acknowledged=True) == ("warning", "failed")
    assert judged(evidence("contradicted", "warning")) == ("warning", "failed")
    known = check_normalisation(evidence("contradicted", "error"), "lt", "best_ce", acknowledged=True)
    assert "acknowledged" in known.message


def test_only_errors_are_refused_before_anything_is_computed() -> None:
    """The refusal has the lines that would fit, and the way to insist."""
    error = refusal(evidence("contradicted", "error"), "lt", "best_ce", acknowledged=False)
    assert error is not None
    assert error.code == "normalisation-contradicted"
    assert "[lt.overrides.best_ce]; mean = [0.485, 0.456, 0.406]" in error.message
    assert "normalisation_acknowledged = true" in error.message
    for found in (evidence("contradicted", "warning"), evidence("supported"), evidence("undecidable")):
        assert refusal(found, "lt", "best_ce", acknowledged=False) is None
    assert refusal(evidence("contradicted", "error"), "lt", "best_ce", acknowledged=True) is None


def test_swapped_channels_are_refused() -> None:
    """Labels that speak for BGR outweigh statistics, which cannot tell orders apart."""
    swapped = evidence("supported", order="bgr")
    error = refusal(swapped, "lt", "best_ce", acknowledged=False)
    assert error is not None
    assert error.code == "channels-swapped"
    check = check_channel_order(swapped, acknowledged=False)
    assert check.fatal
    assert not check_channel_order(swapped, acknowledged=True).fatal
    # An honest expert over images of nearly equal colours was refused once: nothing fitted its statistics.
    unfitted = evidence("undecidable", order="bgr")
    assert refusal(unfitted, "lt", "best_ce", acknowledged=False) is None
    doubtful = check_channel_order(unfitted, acknowledged=False)
    assert (doubtful.level, doubtful.verdict) == ("warning", "failed")
    assert check_channel_order(evidence("supported", order="undecidable"), acknowledged=False).verdict == "skipped"


@pytest.mark.parametrize(("stem", "table"), [("best_ce", "[lt.overrides.best_ce]"), ("a b", '[lt.overrides."a b"]')])
def test_lines_to_declare_are_toml(stem: str, table: str) -> None:
    """A name with spaces stands in quotes; without a contradiction there is nothing to declare."""
    assert proposal(evidence("contradicted", "warning"), "lt", stem)[0] == table
    assert proposal(evidence("supported"), "lt", stem) == []


def test_a_manifest_repeats_what_it_could_not_prove() -> None:
    """Whoever verifies a folder later is told of assumptions and doubtful normalisations as well."""
    entries = [
        {"id": "assumptions", "verdict": "failed", "message": "Strides were assumed."},
        {"id": "normalisation", "verdict": "skipped", "message": "No batch norm."},
        {"id": "finite", "verdict": "failed", "message": "not one of these"},
        {"id": "assumptions", "verdict": "failed"},
        "no entry at all",
    ]
    checks = open_questions({"open": entries})
    assert [(check.id, check.level, check.verdict) for check in checks] == [
        ("assumptions", "warning", "failed"),
        ("normalisation", "warning", "skipped"),
    ]
    assert checks[0].message.endswith("Strides were assumed.")
    assert open_questions({}) == open_questions({"open": 7}) == []
