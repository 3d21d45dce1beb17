"""What a running service tells of itself: figures for Prometheus, and a log that a trace leads through."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from app.api.metrics import PHASES
from tests.integration.workspace import Service, Workspace, build, running, wait_until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HTTP = "relogit_http_request_duration_seconds"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """An installation of its own: the sums of a store that others use would be anybody's."""
    return build(tmp_path_factory.mktemp("observed"))


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace, RELOGIT_LOG_FORMAT="json") as service:
        service.wait_ready()
        yield service


def _done(service: Service, **request: Any) -> str:
    body = {"dataset": "tiny", "experts": ["alpha"], **request}
    job: str = httpx.post(service.url + "/jobs", json=body, headers={"traceparent": TRACE}).json()["id"]
    ended = ("succeeded", "failed", "cancelled")
    wait_until(lambda: service.get(f"/jobs/{job}").json()["state"] in ended, 60, service.log.read_text)
    assert service.get(f"/jobs/{job}").json()["state"] == "succeeded", service.log.read_text()
    return job


def _samples(service: Service) -> dict[tuple[str, str], float]:
    """Every sample by name and its labels' values, in the order of the labels' names."""
    return {
        (sample.name, ",".join(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in parse_text(service.get("/metrics").text)
        for sample in family.samples
    }


def test_every_line_of_the_log_is_an_object_and_a_trace_leads_through(service: Service) -> None:
    """Of the API, its server and the worker; the trace that came with a job is in all that was done for it."""
    job = _done(service, splits=["test", "again"])
    whole = service.log.read_text()
    lines = [json.loads(line) for line in whole[: whole.rindex("\n")].splitlines()]
    assert all({"ts", "level", "logger", "message"} <= line.keys() for line in lines)
    traced = [line for line in lines if line.get("traceparent") == TRACE]
    [posted] = [line for line in traced if line["logger"] == "uvicorn.access"]
    assert (posted["method"], posted["path"], posted["status"]) == ("POST", "/jobs", 202)
    worked = [line for line in traced if line["logger"] == "worker.loop"]
    assert {line["job"] for line in worked} == {job}
    assert {line.get("expert") for line in worked} == {"alpha", None}  # the last of them verifies
    ended = {line["split"]: line for line in worked if "seconds" in line}
    assert list(ended) == ["test", "again"]
    assert (ended["test"]["reused"], ended["test"]["computed"]) == (0, 40)
    assert (ended["again"]["reused"], ended["again"]["computed"]) == (6, 5)
    assert tuple(ended["test"]["seconds"]) == PHASES
    others = [line for line in lines if line not in traced]
    assert all("job" not in line and "traceparent" not in line for line in others)
    assert {line["logger"].partition(".")[0] for line in lines} >= {"app", "worker", "uvicorn"}


def test_metrics_show_the_work_that_was_done(service: Service) -> None:
    """Rows, seconds, units and jobs, as the job itself says; memory of the API and the worker; the room taken."""
    before = _samples(service)
    units = service.get(f"/jobs/{_done(service, splits=['val', 'tunev'])}").json()["units"]
    after = _samples(service)

    def more(name: str, labels: str) -> float:
        return after[name, labels] - before[name, labels]

    assert more("relogit_jobs_ended_total", "succeeded") == 1
    assert more("relogit_jobs", "recompute,succeeded") == 1
    assert more("relogit_units_ended_total", "succeeded") == 2
    for source in ("reused", "computed"):
        assert more("relogit_rows_total", source) == sum(unit[source] for unit in units)
    phases = {labels for name, labels in after if name == "relogit_phase_seconds_total"}
    assert phases == set(PHASES)
    assert all(0 < more("relogit_phase_seconds_total", phase) < 60 for phase in phases)
    assert (after["relogit_queue_age_seconds", ""], after["relogit_workers", "alive"]) == (0, 1)
    [worker] = service.worker_pids()
    for pid, process in ((service.process.pid, "api"), (worker, "worker")):
        assert after["relogit_process_resident_bytes", f"{pid},{process}"] > 10_000_000
        assert after["relogit_process_open_fds", f"{pid},{process}"] > 3


def test_metrics_come_in_the_format_that_is_asked_for(service: Service) -> None:
    """Prometheus's text, or OpenMetrics for whoever accepts that; nonsense is answered as well."""
    url = service.url + "/metrics"
    plain = httpx.get(url)
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    for version in ("abc", "1..0", '"'):
        odd = httpx.get(url, headers={"Accept": f"application/openmetrics-text; version={version}"})
        assert (odd.status_code, odd.headers["Content-Type"]) == (200, plain.headers["Content-Type"])
    asked = httpx.get(url, headers={"Accept": "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"})
    assert asked.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    read = parse_openmetrics(asked.text)  # type: ignore[no-untyped-call]  # of the library's own
    families = {family.name for family in read}
    assert {"relogit_jobs", "relogit_phase_seconds", "relogit_disk_free_bytes", HTTP} <= families
    assert httpx.head(url).status_code == 200
    assert httpx.get(url, params={"name[]": "up"}).status_code == 422


def test_requests_are_counted_by_the_templates_of_the_api(service: Service) -> None:
    """Every part of the API under its route as it is documented; never a name that somebody sent."""
    for path in ("/jobs/nobody", "/rows/" + "0" * 64, "/splits/no/such/audit", "/no/such/thing", "/jobs?limit=1"):
        service.get(path)
    documented = set(service.get("/openapi.json").json()["paths"])
    found = {labels for name, labels in _samples(service) if name == f"{HTTP}_count"}
    routes = {labels.split(",")[1] for labels in found}
    assert {"/jobs/{job_id}", "/rows/{key}", "/jobs", "unmatched"} <= routes
    assert {route.replace(":path", "") for route in routes} <= documented | {"unmatched", "/openapi.json"}


def test_a_worker_that_was_killed_is_counted(service: Service) -> None:
    """It has ended, and another lives; the one that is gone is shown no more."""
    before = _samples(service)["relogit_workers_ended_total", ""]
    [victim] = service.worker_pids()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: service.worker_pids() not in ([], [victim]), 60, service.log.read_text)
    after = _samples(service)
    assert after["relogit_workers_ended_total", ""] == before + 1
    assert after["relogit_workers", "alive"] == 1
    assert not any(str(victim) in labels for _, labels in after)
