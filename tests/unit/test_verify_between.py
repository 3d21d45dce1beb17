"""Checks between the units of a job."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from app.domain.checks import MAX_EVIDENCE, Check
from app.domain.jobs import Unit, UnitState
from tests.fakes import artifact
from worker.tasks.verify import compare
from worker.verify.similarity import check_data_between_units, check_targets_between_experts

BOTH = pytest.mark.parametrize("check", [check_targets_between_experts, check_data_between_units])


@BOTH
def test_equal_digests_pass(check: Callable[[str, Mapping[str, str]], Check]) -> None:
    """All the same: passed, with how many were compared."""
    found = check("val", {"a": "11", "b": "11"})
    assert (found.verdict, found.level, found.measured["compared"]) == ("passed", "error", 2)


@BOTH
def test_different_digests_fail_with_who_has_which(check: Callable[[str, Mapping[str, str]], Check]) -> None:
    """One that differs fails the check, and the evidence groups them."""
    found = check("val", {"a": "11", "b": "99", "c": "11"})
    assert (found.verdict, found.measured["distinct"]) == ("failed", 2)
    assert found.evidence == ({"sha256": "11", "of": ["a", "c"]}, {"sha256": "99", "of": ["b"]})
    assert "'val'" in found.message
    json.dumps(found.to_dict(), allow_nan=False)


@BOTH
def test_evidence_is_bounded(check: Callable[[str, Mapping[str, str]], Check]) -> None:
    """However many differ, ten groups are shown and all are counted."""
    found = check("val", {f"expert{n}": str(n) for n in range(30)})
    assert (len(found.evidence), found.measured["distinct"]) == (MAX_EVIDENCE, 30)


@BOTH
def test_one_alone_has_nothing_to_be_compared_with(check: Callable[[str, Mapping[str, str]], Check]) -> None:
    """Skipped, with the reason."""
    found = check("val", {"a": "11"})
    assert found.verdict == "skipped"
    assert "two are needed" in found.message


def _unit(expert: str, split: str, targets: str, data: str, base: str = "test") -> Unit:
    made = replace(artifact(), targets_sha256=targets, data_sha256=data, base=base)
    return Unit(expert, split, UnitState.SUCCEEDED, total=1, split_sha256="s", artifact=made)


def test_splits_are_compared_by_targets_and_bases_by_data() -> None:
    """An expert that was computed on other images fails the job, though its targets are the same."""
    units = [
        _unit("a", "val", "1", "old"),
        _unit("b", "val", "1", "new"),
        _unit("a", "train", "2", "old", base="train"),
        _unit("b", "train", "2", "old", base="train"),
    ]
    done = [(unit, unit.artifact) for unit in units if unit.artifact is not None]
    assert [(check.id, check.verdict) for check in compare(done)] == [
        ("targets-between-experts", "passed"),
        ("targets-between-experts", "passed"),
        ("data-between-units", "failed"),
        ("data-between-units", "passed"),
    ]
