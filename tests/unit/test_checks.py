"""Reports as they are stored: what earlier versions wrote is read, and comes out as it went in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.verdict_schemas import AuditView, JobReportView, ResultView
from app.domain.checks import (
    NO_METRICS,
    Check,
    JobReport,
    Metrics,
    Result,
    ResultReport,
    error_check,
    skipped,
    verdict_of,
    warning_check,
)
from app.domain.jobs import Progress
from app.store.database import Database
from app.store.jobs import JobStore
from tests.fakes import artifact, submit, take
from tests.unit.test_requests import VERIFICATION

UNIT_REPORT = """
{"verdict": "passed",
 "checks": [
  {"id": "arrays", "level": "error", "verdict": "passed", "measured": ["logits", "predictions", "targets"],
   "expected": ["logits", "predictions", "targets"], "message": "The file holds exactly logits.", "evidence": []},
  {"id": "overlap", "level": "warning", "verdict": "failed",
   "measured": {"base": "test", "splits": ["val", "again"], "shared": 2}, "expected": {"shared": 0},
   "message": "2 samples are in both.", "evidence": [{"index": 9}, {"index": 38}]},
  {"id": "manifest", "level": "error", "verdict": "skipped", "measured": null, "expected": null,
   "message": "There is no manifest.", "evidence": []}],
 "metrics": {"samples": 40, "classes": 4, "accuracy": 0.65, "tail_accuracy": null,
  "class_recalls": [1.0, null, 0.25, 1.0], "reasons": {"tail_accuracy": "There are no train counts."}}}
"""
"""What version 0.1.0 stored of a unit."""

VERIFICATION_REPORT = """
{"verdict": "failed",
 "checks": [{"id": "names", "level": "warning", "verdict": "failed", "measured": 1, "expected": 0,
  "message": "1 files are not named so.", "evidence": ["right/else.npz"]}],
 "results": [
  {"expert": "bare", "split": "test", "error": null, "file": null, "targets_file": null, "verdict": "failed",
   "checks": [{"id": "one-file", "level": "error", "verdict": "failed", "measured": 2, "expected": 1,
    "message": "2 files claim to be that.", "evidence": ["bare/test_logits.npz", "bare/test_logits.pt"]}],
   "metrics": {"accuracy": null, "class_recalls": null, "reasons": {"accuracy": "Not done."}}},
  {"expert": "other", "split": "test", "error": null,
   "file": {"name": "other/test_logits.pt", "sha256": "a8", "bytes": 2245},
   "targets_file": {"name": "other/test_targets.pt", "sha256": "4d", "bytes": 1932},
   "base": "test", "split_sha256": "d6", "verdict": "passed",
   "checks": [{"id": "dtypes", "level": "error", "verdict": "passed", "measured": {"logits": "float32"},
    "expected": {"logits": "float32"}, "message": "All are right.", "evidence": []}],
   "metrics": {"samples": 40, "classes": 4, "accuracy": 1.0, "class_recalls": [1.0, 1.0, 1.0, 1.0],
    "reasons": {}}}]}
"""
"""What version 0.1.0 stored of a verification of files."""

OTHER_REPORTS = (
    '{"verdict": "passed", "checks": []}',
    '{"verdict": "failed", "checks": [], "error": {"code": "worker-died", "message": "It died.", "details": {}}}',
    '{"verdict": "passed", "checks": [], "splits": {"name": "lt", "schema": 1}}',
)
"""What version 0.1.0 stored of other jobs."""


@pytest.mark.parametrize("text", [VERIFICATION_REPORT, *OTHER_REPORTS])
def test_what_a_job_recorded_is_read_and_comes_out_as_it_went_in(text: str) -> None:
    """Field for field, with nulls where there were nulls and no field more."""
    assert JobReport.from_dict(json.loads(text)).to_dict() == json.loads(text)


def test_what_a_unit_recorded_is_read_and_comes_out_as_it_went_in() -> None:
    """As for jobs; values keep their types."""
    report = ResultReport.from_dict(json.loads(UNIT_REPORT))
    assert json.dumps(report.to_dict()) == json.dumps(json.loads(UNIT_REPORT))
    assert (report.metrics.number("accuracy"), report.metrics.number("tail_accuracy")) == (0.65, None)
    assert report.metrics.numbers("class_recalls") == [1.0, None, 0.25, 1.0]
    assert (report.metrics.number("class_recalls"), report.metrics.numbers("accuracy")) == (None, None)


def test_rows_that_another_version_wrote_are_read_by_the_store(store: JobStore, database: Database) -> None:
    """A store is taken over with its reports in it."""
    job, files = submit(store, ["ce"], ["val"]), store.submit(VERIFICATION)
    claim = take(store)
    store.finish_unit(claim, "val", artifact(), ResultReport("passed", ()), Progress(8, 0), lambda: True)
    with database.transaction() as db:
        db.execute("UPDATE units SET report = ?", (UNIT_REPORT,))
        db.execute("UPDATE jobs SET verification = ? WHERE id = ?", (VERIFICATION_REPORT, files.id))
    [unit] = store.get(job.id).units
    assert unit.report == ResultReport.from_dict(json.loads(UNIT_REPORT))
    assert unit.accuracy == 0.65
    report = store.get(files.id).verification
    assert report is not None
    assert [result.verdict for result in report.results or ()] == ["failed", "passed"]


def test_fields_that_an_older_version_did_not_write_are_empty() -> None:
    """A verification once knew no files of targets, and a report of a damaged file no metrics."""
    data = json.loads(VERIFICATION_REPORT)
    for result in data["results"]:
        del result["targets_file"]
        result["metrics"] = None
    report = JobReport.from_dict(data)
    assert report.results is not None
    assert all(result.source is not None and result.source.targets_file is None for result in report.results)
    assert all(result.report.metrics == NO_METRICS for result in report.results)
    del data["checks"][0]["verdict"]  # no version left it out: nothing stands in for it
    with pytest.raises(KeyError, match="verdict"):
        JobReport.from_dict(data)


def test_the_api_shows_a_report_as_it_is_stored() -> None:
    """A field that is not stored of a result is not null in the answer: it is not there."""
    data = json.loads(VERIFICATION_REPORT)
    view = JobReportView.of("5944eeff", JobReport.from_dict(data))
    assert view.model_dump(mode="json", exclude_unset=True) == {"job": "5944eeff", **data}
    unit = Result("ce", "val", ResultReport.from_dict(json.loads(UNIT_REPORT)))
    expected = {"expert": "ce", "split": "val", "error": None, **json.loads(UNIT_REPORT)}
    assert ResultView.model_validate(unit.to_dict()).model_dump(mode="json", exclude_unset=True) == expected


GOOD, WARNS, FAILS = (
    error_check("a", True, 1, 1, "Good."),
    warning_check("b", False, 2, 1, "Doubtful."),
    error_check("c", False, 2, 1, "Bad."),
)


@pytest.mark.parametrize(
    ("checks", "complete", "verdict"),
    [
        ([], True, "passed"),
        ([GOOD, WARNS, skipped("d", "error", "Not done.")], True, "passed"),
        ([GOOD, FAILS], True, "failed"),
        ([GOOD], False, "failed"),
    ],
)
def test_a_verdict_fails_by_failed_errors_and_by_what_is_missing(
    checks: list[Check], complete: bool, verdict: str
) -> None:
    """Neither a warning nor a check that was skipped fails anything."""
    assert verdict_of(checks, complete=complete) == verdict


def test_a_result_without_metrics_shows_none() -> None:
    """An empty object, without reasons; so a job that runs has had nothing else to show."""
    view: dict[str, Any] = ResultReport("pending", ()).to_dict()
    assert view == {"verdict": "pending", "checks": [], "metrics": {}}
    assert Metrics({"accuracy": None}, {"accuracy": "Why."}).to_dict() == {
        "accuracy": None,
        "reasons": {"accuracy": "Why."},
    }


def test_an_audit_is_shown_with_what_a_worker_answered() -> None:
    """Nothing but the names while it is pending; then every field of the answer."""
    pending = AuditView.of("lt", "digits", None).model_dump(mode="json", exclude_unset=True)
    empty: dict[str, Any] = {"verdict": None, "checks": [], "lists": {}}
    assert pending == {"name": "lt", "dataset": "digits", "state": "pending", **empty}
    lists = {"val": [GOOD.to_dict()], "test": []}
    answer: dict[str, Any] = {"verdict": "failed", "checks": [FAILS.to_dict()], "lists": lists}
    answer |= {"described": False, "sha256": {"val": "a8"}}
    ready = AuditView.of("lt", "digits", answer).model_dump(mode="json", exclude_unset=True)
    assert ready == {"name": "lt", "dataset": "digits", "state": "ready", **answer}
