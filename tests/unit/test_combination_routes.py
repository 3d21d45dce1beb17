"""What the API answers about gatings, rejectors and evaluations, by their own routes and by those of all jobs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.domain.jobs import Job
from app.main import create_app
from tests.fakes import Home
from tests.unit.asgi import send
from tests.unit.expert_jobs import ExpertJobs


# One installation for all tests of this file, since each evaluation takes a second; those that change it stand last.
@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home.make(tmp_path_factory.mktemp("routes"))


@pytest.fixture(scope="module")
def services(home: Home) -> Iterator[Services]:
    home.settings.internal_dir.mkdir(parents=True)
    services = Services.build(home.settings)
    yield services
    services.database.close()


@pytest.fixture(scope="module")
def app(services: Services) -> FastAPI:
    app = create_app(services.settings)
    app.state.services = services
    return app


@pytest.fixture(scope="module")
def site(home: Home, services: Services) -> ExpertJobs:
    return ExpertJobs.make(home, services.database)


@pytest.fixture(scope="module")
def jobs(site: ExpertJobs) -> dict[str, Job]:
    """One of each kind that succeeded."""
    site.recomputed()
    return {
        "gatings": site.fitted(method="linear", mode="selective", coverages=[0.5, 1.0]),
        "rejectors": site.done(site.rejector(objective="worst", coverages=[0.5, 1.0])),
        "evaluations": site.done(site.evaluation(rejectors=[])),
    }


def get(app: FastAPI, url: str) -> Any:
    answer = send(app, "GET", url)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(app: FastAPI, url: str) -> tuple[int, str]:
    answer = send(app, "GET", url)
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_each_has_its_result_under_its_own_route(app: FastAPI, jobs: dict[str, Job]) -> None:
    """Parameters, rules and figures; the list shows the same."""
    gating, rejector, evaluation = (get(app, f"/{name}/{job.id}") for name, job in jobs.items())
    assert gating["result"]["method"] == "linear"
    assert len(gating["result"]["candidates"][0]["parameters"]["weights"]) == 3
    assert [rule["coverage"] for rule in gating["result"]["rules"]["rules"]] == [0.5, 1.0]
    assert [unit["state"] for unit in gating["units"]] == ["succeeded"] * 3
    assert [rule["coverage"] for rule in rejector["result"]["rules"]["rules"]] == [0.5, 1.0]
    names = [method["name"] for method in evaluation["result"]["evaluation"]["methods"]]
    assert "linear + selective" in names
    for name, job in jobs.items():
        [listed] = get(app, f"/{name}")[name]
        assert listed == get(app, f"/{name}/{job.id}")


def test_all_are_jobs(app: FastAPI, jobs: dict[str, Job]) -> None:
    """With state, verdict and kind, found by it, and their reports."""
    for name, job in jobs.items():
        kind = name.removesuffix("s")
        shown = get(app, f"/jobs/{job.id}")
        assert (shown["kind"], shown["state"]) == (kind, "succeeded")
        assert [item["id"] for item in get(app, f"/jobs?kind={kind}")["jobs"]] == [job.id]
        report = get(app, f"/jobs/{job.id}/verification")
        assert (report["verdict"], bool(report["checks"])) == ("passed", True)
        assert len(report["results"] or []) == (3 if kind == "gating" else 0)


def test_links_lead_somewhere(app: FastAPI, jobs: dict[str, Job]) -> None:
    """Every link of a view is answered, but that to cancel what has ended."""
    for name, job in jobs.items():
        links = get(app, f"/{name}/{job.id}")["links"]
        for link, url in links.items():
            if link not in ("cancel", "report", "analysis"):
                assert send(app, "GET", url).status_code == 200, url
        assert send(app, "POST", links["cancel"]).status_code == 409


def test_a_gatings_files_are_downloaded_like_an_experts(app: FastAPI, site: ExpertJobs, jobs: dict[str, Job]) -> None:
    """One by one, and all in an archive as they lie under outputs."""
    gating = jobs["gatings"]
    artifacts = get(app, f"/jobs/{gating.id}/artifacts")["artifacts"]
    assert [item["path"] for item in artifacts] == [
        f"gating/selective/{s}_logits.npz" for s in ("tunev", "val", "test")
    ]
    content = send(app, "GET", artifacts[0]["href"]).content
    assert content == (site.outputs / "gating" / "selective" / "tunev_logits.npz").read_bytes()
    archive = zipfile.ZipFile(io.BytesIO(send(app, "GET", f"/jobs/{gating.id}/archive").content))
    assert archive.testzip() is None
    assert set(archive.namelist()) == {
        f"gating/selective/{split}_logits.{suffix}"
        for split in ("tunev", "val", "test")
        for suffix in ("npz", "json")
    }


@pytest.mark.parametrize("name", ["rejectors", "evaluations"])
def test_what_has_no_logits_says_so(app: FastAPI, jobs: dict[str, Job], name: str) -> None:
    """No file and nothing to analyse: 404 with a reason, and an empty list."""
    job = jobs[name]
    assert get(app, f"/jobs/{job.id}/artifacts")["artifacts"] == []
    assert refusal(app, f"/jobs/{job.id}/archive") == (404, "artifact-not-found")
    assert refusal(app, f"/jobs/{job.id}/artifacts/ce/val") == (404, "artifact-not-found")
    assert refusal(app, f"/jobs/{job.id}/analysis?part=statistics") == (404, "nothing-to-analyse")


def test_an_id_under_another_kinds_route_is_not_found(app: FastAPI, jobs: dict[str, Job]) -> None:
    """The problem says where it is."""
    codes = {"gatings": "gating-not-found", "rejectors": "rejector-not-found", "evaluations": "evaluation-not-found"}
    for route, code in codes.items():
        for name, job in jobs.items():
            if name != route:
                assert refusal(app, f"/{route}/{job.id}") == (404, code)


@pytest.mark.parametrize(
    ("route", "body", "pointer"),
    [
        ("gatings", {"experts": []}, "#/experts"),
        ("gatings", {"coverages": [0.0]}, "#/coverages/0"),
        ("gatings", {"divided_by": {"ce": 0}}, "#/divided_by/ce"),
        ("gatings", {"method": "best"}, "#/method"),
        ("gatings", {"epochs": 0}, "#/epochs"),
        ("gatings", {"batch_size": 1}, "#/batch_size"),
        ("gatings", {"tests": "test"}, "#/tests"),
        ("rejectors", {"score": "best"}, "#/score"),
        ("rejectors", {"min_group_coverage": 1.5}, "#/min_group_coverage"),
        ("evaluations", {"gatings": "newest"}, "#/gatings"),
    ],
)
def test_malformed_bodies_are_refused_with_a_pointer(
    app: FastAPI, route: str, body: dict[str, Any], pointer: str
) -> None:
    """Before anything is looked up."""
    answer = send(app, "POST", f"/{route}", body)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def test_a_changed_copy_of_a_mixture_shows_in_the_report(
    app: FastAPI, site: ExpertJobs, jobs: dict[str, Job]
) -> None:
    """As that of an expert's logits does."""
    gating = jobs["gatings"]
    (site.outputs / "gating" / "selective" / "val_logits.npz").write_bytes(b"other")
    [result] = [r for r in get(app, f"/jobs/{gating.id}/verification")["results"] if r["split"] == "val"]
    assert "shown-file" in {check["id"] for check in result["checks"] if check["verdict"] == "failed"}


def test_waiting_jobs_can_be_cancelled_and_ended_ones_deleted(
    app: FastAPI, site: ExpertJobs, jobs: dict[str, Job]
) -> None:
    """By the routes of all jobs; what an open job builds on is kept."""
    accepted = send(app, "POST", "/evaluations", {"rejectors": []})
    assert accepted.status_code == 202
    waiting = accepted.json()["id"]
    refused = send(app, "DELETE", f"/jobs/{jobs['gatings'].id}")
    assert (refused.status_code, refused.json()["code"]) == (409, "job-in-use")
    assert send(app, "POST", f"/jobs/{waiting}/cancel").status_code == 202
    assert get(app, f"/evaluations/{waiting}")["state"] == "cancelled"
    for job in jobs.values():
        assert send(app, "DELETE", f"/jobs/{job.id}").status_code == 204
    assert send(app, "GET", f"/gatings/{jobs['gatings'].id}").status_code == 404
