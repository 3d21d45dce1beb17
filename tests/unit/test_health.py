"""`GET /readyz` says which part of the service keeps jobs from being done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI

from app.api.dependencies import Services
from app.settings import Settings
from tests.unit.asgi import send


def change(app: FastAPI, **settings: object) -> Settings:
    """Give the API's services other settings."""
    services: Services = app.state.services
    changed = services.settings.model_copy(update=settings)
    app.state.services = replace(services, settings=changed)
    return changed


def test_a_service_without_workers_is_not_ready(app: FastAPI) -> None:
    """503, and the checks say that only the worker is missing."""
    store = str(app.state.services.settings.store_path)
    response = send(app, "GET", "/readyz")
    body = response.json()
    worker, disk = body["checks"].pop("worker"), body["checks"].pop("disk")
    warm_start = {"ok": True, "detail": "None was asked for", "experts": []}
    checks = {"store": {"ok": True, "detail": store}, "warm_start": warm_start}
    assert (response.status_code, body) == (503, {"ready": False, "checks": checks})
    assert (worker["ok"], worker["workers"]) == (False, [])
    assert set(disk) == {"ok", "detail", "free_bytes"}
    assert disk["ok"]


def test_a_nearly_full_disk_is_named_with_its_setting(app: FastAPI) -> None:
    """The bytes that are there are shown beside those that the setting requires."""
    change(app, min_free_bytes=10**18)
    disk = send(app, "GET", "/readyz").json()["checks"]["disk"]
    assert not disk["ok"]
    assert 0 < disk["free_bytes"] < 10**18
    assert "RELOGIT_MIN_FREE_BYTES" in disk["detail"]


def test_a_disk_that_cannot_be_measured_has_no_figure(app: FastAPI, tmp_path: Path) -> None:
    """`free_bytes` is left out rather than null or 0, as it always was."""
    change(app, outputs_dir=tmp_path / "unmounted")
    disk = send(app, "GET", "/readyz").json()["checks"]["disk"]
    assert not disk["ok"]
    assert set(disk) == {"ok", "detail"}
    head = send(app, "HEAD", "/readyz")
    assert head.headers["Content-Length"] == str(len(send(app, "GET", "/readyz").content))
