"""Requests to a running service whose answers are awaited."""

from __future__ import annotations

import time
from typing import Any

import httpx

from tests.integration.workspace import Service

PATIENCE_S = 300.0


def post(service: Service, resource: str, **body: Any) -> str:
    """Submit a job that has to be accepted; return its id."""
    answer = httpx.post(f"{service.url}/{resource}", json=body, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def await_end(service: Service, resource: str, job_id: str) -> dict[str, Any]:
    """Wait until a job has succeeded; return it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        job: dict[str, Any] = httpx.get(f"{service.url}/{resource}/{job_id}?wait=30", timeout=60).json()
        if job["finished_at"] is not None:
            assert job["state"] == "succeeded", job["error"] or job
            return job
    raise AssertionError(f"{resource}/{job_id} has not ended")
