"""The report's route, for jobs of which there is little to show."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.domain.checks import JobReport, Metrics, Result, ResultReport, Source, VerifiedFile, error_check
from app.domain.jobs import UnitPlan
from app.domain.outcomes import Outcome
from app.domain.requests import Request
from tests.fakes import Home, take
from tests.fakes import submit as submit_recompute
from tests.unit.asgi import send
from tests.unit.combined_outcomes import (
    EVALUATION,
    GATING,
    REJECTOR,
    candidate,
    evaluation_outcome,
    gating,
    rejector,
)
from tests.unit.test_requests import SPLITS, VERIFICATION

SOURCE = Source(VerifiedFile("ce/val_logits.npz", "a" * 64, 12), None, "test", "b" * 64)
PARTS = ("report", "verification", "analysis", "analysis?part=causes")


def declared(home: Home) -> dict[str, Any]:
    return home.catalog().dataset("digits").model_dump(mode="json")


def test_an_old_job_that_created_splits_has_no_report(app: FastAPI, services: Services) -> None:
    """It has no logits, so there is no such page; an earlier version recorded it."""
    job = services.jobs.submit(VERIFICATION)
    services.jobs.finish_job(take(services.jobs), JobReport("passed", splits={"name": "lt"}))
    with services.database.transaction() as db:
        db.execute("UPDATE jobs SET kind = 'splits', request = ?", (json.dumps(SPLITS.to_dict()),))
    response = send(app, "GET", f"/jobs/{job.id}/report")
    assert (response.status_code, response.json()["code"]) == (404, "nothing-to-report")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("declaration", [{}, {"kind": "of another version"}])
def test_a_declaration_of_another_version_is_no_internal_error(
    app: FastAPI, services: Services, declaration: dict[str, Any], part: str
) -> None:
    """What is on record of the job is shown; what needs the declaration says that it cannot be read."""
    request = replace(VERIFICATION, declaration=declaration, path="here", upload=None)
    job = services.jobs.submit(request)
    check = error_check("accuracy", False, 0.1, 0.5, "It guesses.")
    result = Result("ce", "val", ResultReport("failed", (check,)), source=SOURCE)
    services.jobs.finish_job(take(services.jobs), JobReport("failed", (), (result,)))
    response = send(app, "GET", f"/jobs/{job.id}/{part}")
    assert response.status_code == 200
    assert part != "report" or "It guesses." in response.text


def test_ensembles_and_seeds_of_an_older_job_are_no_internal_error(app: FastAPI, services: Services) -> None:
    """Files that cannot be found any more say so by split; what is on record is averaged all the same."""
    request = replace(VERIFICATION, declaration={"kind": "of another version"}, path="here", upload=None)
    job = services.jobs.submit(request)
    report = ResultReport("passed", (), Metrics({"accuracy": 0.5, "samples": 3}))
    places = [("ce_seed1", "val"), ("ce_seed2", "val"), ("ce_seed1", "test")]
    results = tuple(Result(expert, split, report, source=SOURCE) for expert, split in places)
    services.jobs.finish_job(take(services.jobs), JobReport("passed", (), results))
    ensemble, seeds = (
        send(app, "GET", f"/jobs/{job.id}/analysis?part={part}&wait=0").json() for part in ("ensemble", "seeds")
    )
    shown = [(entry["split"], entry["state"], entry["experts"]) for entry in ensemble["results"]]
    assert shown == [("val", "failed", ["ce_seed1", "ce_seed2"]), ("test", "none", ["ce_seed1"])]
    [entry] = seeds["results"]
    assert (entry["expert"], entry["split"], entry["experts"]) == ("ce", "val", ["ce_seed1", "ce_seed2"])
    assert entry["analysis"]["figures"] == {"accuracy": {"mean": 0.5, "deviation": 0.0, "n": 2}}


def _verification(home: Home) -> Request:
    return replace(VERIFICATION, declaration=declared(home), path="here", upload=None)


@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize("part", PARTS)
def test_a_job_that_could_not_be_verified_is_shown(
    app: FastAPI, services: Services, home: Home, recompute: bool, part: str
) -> None:
    """Its error is on the page, whether it has results or none."""
    if recompute:
        job = submit_recompute(services.jobs, ["ce"], ["val"])
        claim = take(services.jobs)
        services.jobs.fail_unit(claim, "val", {"code": "x", "message": "It broke.", "details": {}})
        services.jobs.end_task(claim)
    else:
        job = services.jobs.submit(_verification(home))
    services.jobs.finish_job(take(services.jobs), JobReport.failed({"code": "x", "message": "It broke."}))
    response = send(app, "GET", f"/jobs/{job.id}/{part}")
    assert response.status_code == 200
    assert part != "report" or "It broke." in response.text


@pytest.mark.parametrize("vanished", ["val_indices.json", ".", "datasets.toml"])
@pytest.mark.parametrize("part", PARTS)
def test_lists_that_are_gone_meanwhile_are_no_internal_error(
    app: FastAPI, services: Services, home: Home, vanished: str, part: str
) -> None:
    """A job outlives its lists, their folder, and the file that declares its data set."""
    job = services.jobs.submit(_verification(home))
    result = Result("ce", "val", ResultReport("passed", ()), source=SOURCE)
    services.jobs.finish_job(take(services.jobs), JobReport("passed", (), (result,)))
    if vanished == "datasets.toml":
        (home.data / vanished).unlink()
    elif vanished == ".":
        shutil.rmtree(home.data / "digits_splits")
    else:
        (home.data / "digits_splits" / vanished).unlink()
    assert send(app, "GET", f"/jobs/{job.id}/{part}").status_code == 200


FITTED = gating([candidate("linear", 0.7, None)], "linear", "named")
COMBINED: dict[str, tuple[Request, Outcome, str]] = {
    "gating": (GATING, FITTED, "linear was taken because the request named it"),
    "rejector": (REJECTOR, rejector(), "Rules are not nested"),
    "evaluation": (EVALUATION, evaluation_outcome(), "Differences from uniform + msp"),
}


@pytest.mark.parametrize("kind", COMBINED)
def test_a_combined_job_that_waits_is_looked_at_again(app: FastAPI, services: Services, kind: str) -> None:
    """Its page says so, and a header tells the browser when to come back."""
    request, _, words = COMBINED[kind]
    job = services.jobs.submit(request, _units(request))
    response = send(app, "GET", f"/jobs/{job.id}/report")
    assert (response.status_code, response.headers["Refresh"]) == (200, "3")
    assert "Not finished" in response.text
    assert "The job is queued" in response.text
    assert words not in response.text


@pytest.mark.parametrize("kind", COMBINED)
def test_a_combined_job_that_ended_shows_its_outcome(app: FastAPI, services: Services, kind: str) -> None:
    """The page stays as it is, and may load nothing."""
    request, outcome, words = COMBINED[kind]
    job = services.jobs.submit(request, _units(request))
    claim = take(services.jobs)
    services.jobs.record_outcome(claim, outcome)
    if kind == "gating":
        services.jobs.fail_unit(claim, "val", {"code": "x", "message": "It broke.", "details": {}})
        services.jobs.end_task(claim)
        claim = take(services.jobs)
    services.jobs.finish_job(claim, JobReport("passed", outcome.checks))
    response = send(app, "GET", f"/jobs/{job.id}/report")
    assert (response.status_code, response.headers.get("Refresh")) == (200, None)
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert words in response.text


@pytest.mark.parametrize("kind", ["rejector", "evaluation"])
def test_a_combined_job_that_failed_shows_its_error(app: FastAPI, services: Services, kind: str) -> None:
    """Why there is no result is on the page; so it is of a cancelled job."""
    request = COMBINED[kind][0]
    failed = services.jobs.submit(request)
    services.jobs.finish_job(take(services.jobs), JobReport.failed({"code": "gone", "message": "It is gone."}))
    page = send(app, "GET", f"/jobs/{failed.id}/report").text
    assert ">Failed</h1>" in page
    assert "It is gone." in page
    cancelled = services.jobs.submit(request)
    services.jobs.cancel(cancelled.id)
    assert ">Cancelled</h1>" in send(app, "GET", f"/jobs/{cancelled.id}/report").text


def _units(request: Request) -> list[UnitPlan]:
    return [UnitPlan("pretrained", "val", 8, "e" * 64)] if request is GATING else []
