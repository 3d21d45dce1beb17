"""Manifests held against each other, and results of which nothing tells where they come from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.checks import Check
from worker.verify.provenance import check_preparations, check_provenance, preparation

MANIFEST: dict[str, Any] = {
    "transform": {"scale": "1/255", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]},
    "calibration": {"mode": "none", "divided_by": None},
    "compute": {"precision": "fp32", "device": "cpu"},
    "checkpoint": {"tensors_sha256": "c" * 64, "file": "best_ce.pth"},
}


def _with(part: str, **changes: Any) -> dict[str, Any]:
    return MANIFEST | {part: MANIFEST[part] | changes}


def _checks(*manifests: tuple[str, str, dict[str, Any]]) -> list[Check]:
    checks = check_preparations({(expert, split): preparation(manifest) for expert, split, manifest in manifests})
    json.dumps([check.to_dict() for check in checks], allow_nan=False, ensure_ascii=False).encode()
    assert all(check.id == "manifest-transform" for check in checks)
    assert all(check.message.endswith(".") for check in checks)
    return checks


def test_manifests_that_agree_pass() -> None:
    """One check of level error for the expert's splits, one warning for each split's experts."""
    checks = _checks(("ce", "val", MANIFEST), ("ce", "test", MANIFEST), ("ls", "val", MANIFEST))
    assert [(check.level, check.verdict) for check in checks] == [("error", "passed"), ("warning", "passed")]
    assert checks[0].measured == {"expert": "ce", "manifests": 2, "differing": {}}
    assert checks[1].measured == {"split": "val", "manifests": 2, "differing": {}}


@pytest.mark.parametrize(
    ("name", "other", "values"),
    [
        ("transform", _with("transform", mean=[0.5, 0.4, 0.31]), ([0.5, 0.4, 0.3], [0.5, 0.4, 0.31])),
        ("transform", _with("transform", std=[0.2, 0.2, 0.21]), None),
        ("transform", _with("transform", scale="1"), None),
        ("calibration", _with("calibration", mode="checkpoint", divided_by=1.5), None),
        ("precision", _with("compute", precision="bf16"), ("fp32", "bf16")),
        ("tensors_sha256", _with("checkpoint", tensors_sha256="d" * 64), ("c" * 64, "d" * 64)),
    ],
)
def test_an_expert_whose_splits_were_made_differently_fails(name: str, other: dict[str, Any], values: Any) -> None:
    """An error, with the distinct values and the splits that have each."""
    checks = _checks(("ce", "val", MANIFEST), ("ce", "test", other), ("ce", "tunev", MANIFEST))
    [check] = [check for check in checks if check.level == "error"]
    assert (check.verdict, check.fatal) == ("failed", True)
    assert name in check.message
    assert check.measured["differing"].keys() == {name}
    groups = check.measured["differing"][name]
    assert [group["splits"] for group in groups] == [["val", "tunev"], ["test"]]
    if name != "transform":
        shown = preparation(MANIFEST)[name], preparation(other)[name]
        assert tuple(group["value"] for group in groups) == shown
        assert values is None or values == shown
    elif values:
        assert tuple(group["value"]["mean"] for group in groups) == values


def test_two_temperatures_are_two_calibrations() -> None:
    """An expert's splits were then divided by different numbers, under one mode."""
    one, other = (_with("calibration", mode="checkpoint", divided_by=t) for t in (1.5, 1.25))
    assert _checks(("ce", "val", one), ("ce", "test", other))[0].verdict == "failed"


def test_experts_may_have_their_own_mean_and_std_and_checkpoint() -> None:
    """They were trained so; it is no finding between the experts of a split."""
    other = _with("transform", mean=[0.1, 0.1, 0.1]) | {"checkpoint": {"tensors_sha256": "d" * 64}}
    [check] = _checks(("ce", "val", MANIFEST), ("ls", "val", other))
    assert (check.level, check.verdict) == ("warning", "passed")


@pytest.mark.parametrize(
    "other", [_with("calibration", mode="checkpoint", divided_by=1.5), _with("compute", precision="tf32")]
)
def test_experts_of_a_split_in_another_calibration_or_precision_warn(other: dict[str, Any]) -> None:
    """What compares them compares that as well; a warning, with the experts of each value."""
    [check] = _checks(("ce", "val", MANIFEST), ("ls", "val", other), ("ce2", "val", MANIFEST))
    assert (check.level, check.verdict) == ("warning", "failed")
    [groups] = check.measured["differing"].values()
    assert [group["experts"] for group in groups] == [["ce", "ce2"], ["ls"]]


def test_one_manifest_alone_cannot_disagree() -> None:
    """It is skipped, and without any manifest there is nothing to say."""
    [check] = _checks(("ce", "val", MANIFEST))
    assert (check.verdict, check.level) == ("skipped", "error")
    assert _checks() == []


def test_what_a_manifest_does_not_state_is_not_compared() -> None:
    """Manifests of other programs hold less: they are compared in what they state, and the rest is counted."""
    bare = {"expert": "ce", "calibration": MANIFEST["calibration"]}
    check = _checks(("ce", "val", MANIFEST), ("ce", "test", bare))[0]
    assert check.verdict == "passed"
    assert check.measured["unstated"] == {"transform": 1, "precision": 1, "tensors_sha256": 1}
    assert "precision in 1" in check.message
    assert _checks(("ce", "val", bare), ("ce", "test", {}))[0].measured["unstated"] == {"calibration": 1}


@pytest.mark.parametrize(
    "value", [None, "x", 5, [], [None], [float("nan")], [10**400], [True], [1.0] * 99, {"a": 1}, "\ud800", [[[]]]]
)
def test_odd_values_are_taken_for_none(value: Any) -> None:
    """Whatever JSON can hold is read without an error, and only what can be stored again is repeated."""
    odd = {
        "transform": {"mean": value, "std": value, "scale": value},
        "calibration": {"mode": value, "divided_by": value},
        "compute": value,
        "checkpoint": {"tensors_sha256": value},
    }
    assert "transform" not in preparation(odd)
    _checks(("ce", "val", odd), ("ce", "test", MANIFEST), ("ls", "val", MANIFEST))


def test_results_of_unknown_origin_are_named() -> None:
    """Never a failure: one skipped warning, which says what could be wrong and what would show it."""
    check = check_provenance(3, [("ce", "val"), ("ls", "val")])
    assert (check.id, check.level, check.verdict, check.measured) == ("provenance", "warning", "skipped", None)
    assert "ce / val, ls / val" in check.message
    assert all(word in check.message for word in ("within a class", "a tenth", "`--recompute N`", "manifest"))
    assert check.evidence == ({"expert": "ce", "split": "val"}, {"expert": "ls", "split": "val"})
    assert check.message.count(".") == 1


def test_many_results_of_unknown_origin_are_counted() -> None:
    """Five are named, and ten are evidence."""
    check = check_provenance(30, [("ce", f"s{n}") for n in range(30)])
    assert "s4 and 25 more" in check.message
    assert len(check.evidence) == 10


def test_results_of_known_origin_pass() -> None:
    """With the number of them."""
    check = check_provenance(3, [])
    assert (check.verdict, check.measured) == ("passed", {"results": 3, "unknown": 0})
