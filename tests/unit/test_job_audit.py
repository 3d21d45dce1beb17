"""What an audit of a job's splits adds to the job's own checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.catalog.datasets import Dataset
from app.domain.checks import Check, CheckVerdict, Result, ResultReport, Source
from app.domain.jobs import Job
from app.report.current_checks import audit_warnings, changed_lists
from app.store.inspection_requests.splits import AuditRequest
from app.store.inspections import Inspection
from app.store.jobs import JobStore
from tests.fakes import submit

DATASET = Dataset(kind="npz", root="d", splits="s", experts="e", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
REQUEST = AuditRequest(DATASET, ["d"], "s", {}, [], {}, pictures=True, code="code")
TODAY = {name: f"sha-of-{name}" for name in ("val", "test", "train")}
"""As the units of `submit` have it."""


def _check(check_id: str, verdict: CheckVerdict = "failed", **more: Any) -> Check:
    empty = {"level": "warning", "measured": {}, "expected": {}, "message": f"{check_id} is so."}
    return Check(id=check_id, verdict=verdict, **(empty | more))


def _audit(
    whole: Sequence[Check], lists: Mapping[str, Sequence[Check]], digests: Mapping[str, str] = TODAY
) -> Inspection:
    of_lists = {name: [check.to_dict() for check in checks] for name, checks in lists.items()}
    answer = {"checks": [check.to_dict() for check in whole], "lists": of_lists, "sha256": digests}
    return Inspection(REQUEST, answer)


def _result(split: str, checks: Sequence[Check] = (), source: Source | None = None) -> Result:
    return Result("a", split, ResultReport("passed", tuple(checks)), source=source)


def _warned(job: Job, whole: list[Check], lists: dict[str, list[Check]], own: Sequence[Check] = ()) -> list[str]:
    return [check.message for check in audit_warnings(job, _audit(whole, lists), [_result("val", own)])]


@pytest.fixture
def job(store: JobStore) -> Job:
    return submit(store, ("a",), ("val",))


def test_only_what_failed_is_a_warning_of_the_job(job: Job) -> None:
    """What an audit passed or could not do is the audit's own business."""
    passed = _check("same-picture", "passed", measured={"pictures": 0})
    assert _warned(job, [_check("class-counts"), passed, _check("x", "skipped")], {}) == ["class-counts is so."]


def test_what_the_job_checks_itself_is_not_said_twice(job: Job) -> None:
    """Overlaps among its own splits, repeats in them, and weights that it looked at."""
    both = replace(job, units=(*job.units, replace(job.units[0], split="test", split_sha256="sha-of-test")))
    inside = _check("overlap", measured={"splits": ["val", "test"]})
    outside = _check("overlap", measured={"splits": ["val", "train"]}, message="outside")
    elsewhere = _check("overlap", measured={"splits": ["train", "gating"]})
    assert _warned(both, [inside, outside, elsewhere], {}) == ["outside"]
    assert _warned(job, [inside], {}) == ["overlap is so."]
    weights = _check("class-weights")
    assert _warned(job, [weights], {}, own=[_check("class-weights", "passed")]) == []
    assert _warned(job, [weights], {}, own=[_check("class-weights", "skipped")]) == ["class-weights is so."]
    assert _warned(job, [], {"val": [_check("repeats"), _check("balance")]}) == ["'val': balance is so."]


def test_lists_that_the_job_does_not_take_are_not_its_business(job: Job) -> None:
    """And a message that names its list already is left as it is."""
    lists = {"test": [_check("balance")], "val": [_check("row-order", message="'val' is shuffled.")]}
    assert _warned(job, [], lists) == ["'val' is shuffled."]


def test_pictures_that_lists_share_are_the_business_of_jobs_that_take_one_of_them(job: Job) -> None:
    """Also of one that takes both, for its own checks look at indices alone."""
    both = replace(job, units=(*job.units, replace(job.units[0], split="test", split_sha256="sha-of-test")))
    one = _check("same-picture", measured={"splits": ["train", "test"], "pictures": 1})
    other = _check("same-picture", measured={"splits": ["val", "test"], "pictures": 1}, message="of val")
    assert _warned(job, [one, other], {}) == ["of val"]
    assert _warned(both, [one, other], {}) == ["same-picture is so.", "of val"]


def test_a_list_that_is_not_what_is_described_is_a_warning(job: Job) -> None:
    """If the job takes it."""
    lists = {"val": [_check("as-described")], "test": [_check("as-described")]}
    assert _warned(job, [], lists) == ["'val': as-described is so."]


@pytest.mark.parametrize("today", [{}, {"val": "another"}])
def test_a_set_that_was_changed_since_says_nothing_of_the_job(job: Job, today: dict[str, str]) -> None:
    """Its lists were others: what an audit finds now, they never had."""
    audit = _audit([_check("class-counts")], {"val": [_check("balance")]}, today)
    [check] = audit_warnings(job, audit, [])
    assert check.verdict == "skipped"
    assert "'val' was changed since" in check.message


def test_a_verification_of_files_has_its_lists_in_its_results(job: Job) -> None:
    """It has no units; a file whose list could not be read has no list to compare."""
    results = [_result("val", source=Source(split_sha256="sha-of-val")), _result("test", source=Source())]
    files = replace(job, units=())
    assert changed_lists(files, results, TODAY) == []
    assert changed_lists(files, results, TODAY | {"val": "another"}) == ["val"]


def test_nothing_that_an_audit_finds_fails_the_job(job: Job) -> None:
    """An error of the audit is a warning here, with all of its evidence."""
    long = _check("class-counts", level="error", evidence=tuple(range(1309)))
    [shown] = audit_warnings(job, _audit([long], {}), [])
    assert (shown.evidence, shown.level) == (tuple(range(1309)), "warning")


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (Inspection(REQUEST), "still looking"),
        (Inspection(REQUEST, None, {"code": "x", "message": "It is a mess.", "details": {}}), "It is a mess."),
    ],
)
def test_an_audit_that_is_not_there_is_a_skipped_check(job: Job, fact: Inspection, said: str) -> None:
    """Not silence: silence would mean that nothing is wrong."""
    [check] = audit_warnings(job, fact, [])
    assert (check.verdict, said in check.message) == ("skipped", True)
