"""A store that an earlier relogit wrote is taken over in place, with everything in it.

The stores were dumped as SQL: `store_schema_5.sql` as relogit wrote it, with something of everything, and
`store_schema_2.sql` of the first release, with a job and a worker.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.checks import JobReport
from app.domain.combine_requests import RejectorRequest
from app.domain.combining import Rule, Rules
from app.domain.jobs import JobState, UnitState
from app.domain.outcomes import RejectorOutcome
from app.domain.requests import VerificationRequest
from app.store.database import Database
from app.store.inspection_requests.analysis import AnalysisSubject, analysis_request
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest
from app.store.inspection_requests.splits import AuditRequest, GroupsRequest, PoolRequest, SplitCountsRequest
from app.store.inspections import INSPECTION_REQUESTS, InspectionStore
from app.store.jobs import JobStore
from app.store.rates import Rate, RateStore, rate_key
from app.store.schema import MIGRATIONS, SCHEMA_VERSION
from app.store.statistics import queue_statistics
from tests.fakes import ARITHMETIC, ERROR, REPORT, Home, artifact

FIXTURES = Path(__file__).parents[1] / "fixtures"


def _restore(version: int, path: Path) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript((FIXTURES / f"store_schema_{version}.sql").read_text())
    connection.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of schema 5."""
    return _restore(5, tmp_path / "jobs.sqlite3")


@pytest.fixture
def migrated(path: Path) -> Iterator[Database]:
    database = Database(path)
    yield database
    database.close()


def test_jobs_units_and_reports_stay(migrated: Database) -> None:
    """Requests, counts, artifacts, reports, errors and notes are read as they were recorded."""
    jobs = {job.id: job for job in JobStore(migrated).jobs()}
    assert migrated.connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    assert {name: str(job.state) for name, job in jobs.items() if job.request.kind != "splits"} == {
        "recomputed": "succeeded",
        "half-done": "running",
        "cancelled": "cancelled",
        "verified": "succeeded",
        "queued": "queued",
    }
    unit = jobs["recomputed"].unit("ce", "val")
    assert unit is not None
    assert (unit.state, unit.total, unit.reused, unit.computed) == (UnitState.SUCCEEDED, 8, 3, 5)
    assert unit.artifact == artifact()
    assert unit.accuracy == REPORT.metrics.number("accuracy")
    assert [(u.expert, u.state, u.error, u.notes) for u in jobs["half-done"].units] == [
        ("ce", UnitState.FAILED, ERROR, ()),
        ("bal", UnitState.RUNNING, None, ("took a smaller batch",)),
    ]
    request = jobs["verified"].request
    assert isinstance(request, VerificationRequest)
    assert [file.name for file in request.files] == ["ce/val.npz"]
    assert jobs["queued"].deadline_at is not None
    assert str(jobs["queued"].traceparent).startswith("00-1111")


def test_the_queue_goes_on(migrated: Database) -> None:
    """The dead worker's task is freed, and the tasks come in their order."""
    store = JobStore(migrated)
    assert store.reap("w-live") == ["half-done"]
    claims = [store.claim("next"), store.claim("next")]
    assert [claim and (claim.job.id, claim.expert) for claim in claims] == [("half-done", "bal"), ("queued", "bal")]


def test_open_jobs_that_were_to_create_splits_fail_with_a_remedy(migrated: Database) -> None:
    """No worker takes them any more; one that had ended stays as it is, and the counters say what happened."""
    store = JobStore(migrated)
    for job_id in ("drawing", "to-draw"):
        job = store.get(job_id)
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error["code"] == "splits-job-ended"
        assert "relogit splits create" in job.error["message"]
        assert job.finished_at is not None
        assert job.finished_at > job.created_at
    assert store.get("drawn").state is JobState.SUCCEEDED
    totals = queue_statistics(migrated).totals
    assert totals["jobs", "failed"] == 2
    assert totals["jobs", "succeeded"] == 3
    open_tasks = "SELECT count(*) FROM tasks WHERE task = 'draw' AND state != 'ended'"
    assert migrated.connection.execute(open_tasks).fetchone()[0] == 0


def test_a_splits_job_that_was_being_cancelled_is_cancelled(path: Path) -> None:
    """Its user asked for that, and needs no remedy."""
    connection = sqlite3.connect(path)
    connection.execute("UPDATE jobs SET cancel_requested = 1, state = 'cancelling' WHERE id = 'drawing'")
    connection.commit()
    connection.close()
    database = Database(path)
    job = JobStore(database).get("drawing")
    assert (job.state, job.error) == (JobState.CANCELLED, None)
    assert queue_statistics(database).totals["jobs", "cancelled"] == 2
    database.close()


def test_inspections_are_found_under_their_keys(migrated: Database) -> None:
    """The key of each stored request is what this version computes, so that no answer is asked for again."""
    rows = migrated.connection.execute("SELECT * FROM inspections").fetchall()
    kinds = set()
    for row in rows:
        request = INSPECTION_REQUESTS[row["kind"]].from_dict(json.loads(row["request"]))
        kinds.add(row["kind"])
        assert request.key == row["key"], row["kind"]
        [inspection] = InspectionStore(migrated).look_up([request])
        assert inspection.answer == (json.loads(row["answer"]) if row["answer"] else None)
        assert inspection.error == (json.loads(row["error"]) if row["error"] else None)
    assert kinds == INSPECTION_REQUESTS.keys() - {"ensemble"}  # a newer kind
    assert sum(row["answer"] is None and row["error"] is None for row in rows) == 1
    JobStore(migrated).reap("w-live")
    claimed = InspectionStore(migrated).claim("next")
    assert isinstance(claimed, PassportRequest)
    assert claimed.file[0].endswith("best_bal.pt")


def test_requests_are_built_of_the_same_fields_as_before(migrated: Database, tmp_path: Path) -> None:
    """A field more or less would be another key, and an inspection that is repeated without need."""
    home = Home.make(tmp_path / "site")
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    folder = catalog.splits_folder(dataset, "digits_splits")
    split = catalog.read_split(dataset, folder, "val")
    identity = catalog.bases.identity(dataset, "test")
    subject = AnalysisSubject(tmp_path / "ce.npz", "a" * 64, dataset, folder, split, 20)
    beside = AnalysisSubject(subject.path, subject.sha256, dataset, folder, split, 20, (tmp_path / "t.pt", "b" * 64))
    path = home.experts / "best_ce.pth"
    built = [
        PassportRequest.of(path, dataset),
        NormalisationRequest.of(path, "digits", dataset, "test", catalog),
        PoolRequest.of(dataset, "test", catalog),
        SplitCountsRequest(dataset, identity, folder.name, "val", split.sha256),
        analysis_request("statistics", subject, catalog),
        analysis_request("causes", subject, catalog),
        analysis_request("causes", beside, catalog),
        AuditRequest.of(dataset, folder, catalog),
        GroupsRequest.of(dataset, folder, catalog, 20),
    ]
    rows = migrated.connection.execute("SELECT kind, request FROM inspections").fetchall()
    stored = {(row["kind"], *sorted(json.loads(row["request"]))) for row in rows}
    assert {(request.kind, *sorted(request.to_dict())) for request in built} == stored
    pool = next(json.loads(row["request"]) for row in rows if row["kind"] == "pool")
    assert PoolRequest.of(dataset, "test", catalog).to_dict()["dataset"] == pool["dataset"]


def test_rates_move_to_their_own_table(migrated: Database) -> None:
    """A plan finds what was measured; nothing of it is left among the inspections."""
    network = {"architecture": "resnet", "blocks": [1, 1]}
    key = rate_key(network, (2, 2, 3), ARITHMETIC.numerics("fp32", 128))
    assert RateStore(migrated).get(key) == Rate(123.5, 456789)
    count = "SELECT count(*) FROM inspections WHERE kind = 'rate'"
    assert migrated.connection.execute(count).fetchone()[0] == 0


def test_workers_keep_how_they_compute(migrated: Database) -> None:
    """A plan goes by it for as long as the worker lives."""
    [worker] = JobStore(migrated).workers()
    assert (worker["id"], worker["pid"], worker["device"]) == ("w-live", 4242, "cpu")
    assert json.loads(worker["environment"])["precisions"] == ["fp32", "bf16"]
    assert json.loads(worker["warm"])[0]["expert"] == "digits/ce"


def test_a_store_of_the_first_release_is_taken_over(tmp_path: Path) -> None:
    """What was done counts as computed, and old requests as exact and with reuse; once is enough."""
    path = _restore(2, tmp_path / "jobs.sqlite3")
    for _ in range(2):
        database = Database(path)
        assert database.connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
        job = JobStore(database).get("j")
        assert [(u.split, u.done, u.reused, u.computed) for u in job.units] == [("val", 8, 0, 8), ("test", 0, 0, 0)]
        assert (job.recompute.precision, job.recompute.reuse) == ("fp32", True)
        assert [(w["id"], w["environment"]) for w in JobStore(database).workers()] == [("w", "{}")]
        assert RateStore(database).get("k") == Rate(7.0, 8)
        database.close()


def test_a_store_of_schema_6_takes_combinations(path: Path) -> None:
    """Its jobs have no outcome and no steps, its queue goes on, and jobs of new kinds are recorded beside them."""
    connection = sqlite3.connect(path)
    for statement in MIGRATIONS[5]:
        connection.execute(statement)
    connection.execute("PRAGMA user_version = 6")
    connection.commit()
    connection.close()
    database = Database(path)
    store = JobStore(database)
    assert database.connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    before = store.jobs()
    assert len(before) == 8
    assert all(job.outcome is None and job.steps == () for job in before)
    job = store.submit(RejectorRequest("digits", "msp", "recomputed", "msp", "balanced", (0.5,), 0.0, "i"))
    claim = store.claim("next", tasks=("rejector",))
    assert claim is not None
    outcome = RejectorOutcome("uniform", Rules("msp", "balanced", 0.0, (Rule(0.5, 0.1),)), ("head",), 3, 3.0, "i", {})
    store.record_outcome(claim, outcome)
    store.finish_job(claim, JobReport("passed"))
    assert (store.get(job.id).outcome, store.get(job.id).state) == (outcome, JobState.SUCCEEDED)
    assert store.claim("next") is not None
    database.close()


@pytest.mark.parametrize("version", [2, 5])
def test_its_tables_are_those_of_a_new_store(version: int, tmp_path: Path) -> None:
    """The same columns and indexes, of the same kinds, with the same defaults."""
    migrated = Database(_restore(version, tmp_path / "jobs.sqlite3"))
    fresh = Database(tmp_path / "fresh.sqlite3")
    shapes = []
    for database in (migrated, fresh):
        run = database.connection.execute
        names = [row["name"] for row in run("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        columns = {name: sorted(tuple(row)[1:] for row in run(f"PRAGMA table_info({name})")) for name in names}
        indexes = sorted(row["name"] for row in run("SELECT name FROM sqlite_schema WHERE type = 'index'"))
        shapes.append((columns, indexes))
        database.close()
    assert shapes[0] == shapes[1]
