"""The report's route, for jobs of which there is little to show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.domain.checks import JobReport, Result, ResultReport, Source, VerifiedFile, error_check
from app.domain.requests import Request
from app.main import create_app
from tests.fakes import Home, job_request, take
from tests.fakes import submit as submit_recompute
from tests.unit.test_requests import SPLITS, VERIFICATION

PARTS = ("report", "verification", "analysis", "analysis?part=causes")


@pytest.fixture
def services(home: Home) -> Iterator[Services]:
    home.settings.internal_dir.mkdir(parents=True)
    services = Services.build(home.settings)
    yield services
    services.database.close()


@pytest.fixture
def app(home: Home, services: Services) -> FastAPI:
    app = create_app(home.settings)
    app.state.services = services
    return app


def get(app: FastAPI, url: str) -> httpx.Response:
    """Send a request to the app without a server; an unexpected exception is raised here."""

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get(url)

    return asyncio.run(run())


def declared(home: Home) -> dict[str, Any]:
    return home.catalog().dataset("digits").model_dump(mode="json")


def test_an_old_job_that_created_splits_has_no_report(app: FastAPI, services: Services) -> None:
    """It has no logits, so there is no such page; an earlier version recorded it."""
    job = services.jobs.submit(VERIFICATION)
    services.jobs.finish_job(take(services.jobs), JobReport("passed", splits={"name": "lt"}))
    with services.database.transaction() as db:
        db.execute("UPDATE jobs SET kind = 'splits', request = ?", (json.dumps(SPLITS.to_dict()),))
    response = get(app, f"/jobs/{job.id}/report")
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
    source = Source(VerifiedFile("ce/val_logits.npz", "a" * 64, 12), None, "test", "b" * 64)
    result = Result("ce", "val", ResultReport("failed", (check,)), source=source)
    services.jobs.finish_job(take(services.jobs), JobReport("failed", (), (result,)))
    response = get(app, f"/jobs/{job.id}/{part}")
    assert response.status_code == 200
    assert part != "report" or "It guesses." in response.text


def _requests(home: Home) -> list[Request]:
    recompute = replace(job_request(["ce"], ["val"]), declaration=declared(home))
    return [recompute, replace(VERIFICATION, declaration=declared(home), path="here", upload=None)]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("part", PARTS)
def test_a_job_that_could_not_be_verified_is_shown(
    app: FastAPI, services: Services, home: Home, number: int, part: str
) -> None:
    """Its error is on the page, whether it has results or none."""
    if number == 0:
        job = submit_recompute(services.jobs, ["ce"], ["val"])
        claim = take(services.jobs)
        services.jobs.fail_unit(claim, "val", {"code": "x", "message": "It broke.", "details": {}})
        services.jobs.end_task(claim)
    else:
        job = services.jobs.submit(_requests(home)[1])
    services.jobs.finish_job(take(services.jobs), JobReport.failed({"code": "x", "message": "It broke."}))
    response = get(app, f"/jobs/{job.id}/{part}")
    assert response.status_code == 200
    assert part != "report" or "It broke." in response.text


@pytest.mark.parametrize("vanished", ["val_indices.json", ".", "datasets.toml"])
@pytest.mark.parametrize("part", PARTS)
def test_lists_that_are_gone_meanwhile_are_no_internal_error(
    app: FastAPI, services: Services, home: Home, vanished: str, part: str
) -> None:
    """A job outlives its lists, their folder, and the file that declares its data set."""
    job = services.jobs.submit(_requests(home)[1])
    source = Source(VerifiedFile("ce/val_logits.npz", "a" * 64, 12), None, "test", "b" * 64)
    result = Result("ce", "val", ResultReport("passed", ()), source=source)
    services.jobs.finish_job(take(services.jobs), JobReport("passed", (), (result,)))
    if vanished == "datasets.toml":
        (home.data / vanished).unlink()
    else:
        folder = home.data / "digits_splits"
        paths = [folder / vanished] if vanished != "." else list(folder.iterdir())
        for path in paths:
            path.unlink()
        if vanished == ".":
            folder.rmdir()
    assert get(app, f"/jobs/{job.id}/{part}").status_code == 200
