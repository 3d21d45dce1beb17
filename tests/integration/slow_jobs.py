"""A service with work that takes long enough to strike in the middle of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.integration.workspace import Service, Workspace, build, wait_until
from worker.experts.architectures import CifarResNetSpec

SLOW = CifarResNetSpec((3, 3, 3), (16, 32, 64), 4)
"""A ResNet-20: a second or two for the images of `long`, so that there is a middle to strike in."""


def build_slow(root: Path) -> Workspace:
    """An installation with slow experts, and a split that keeps them busy."""
    workspace = build(root)
    workspace.save_images("test", 2500, size=32)
    workspace.save_split("long", list(range(2500)))
    workspace.save_split("short", list(range(20)))
    workspace.save_expert("slow_first", 3, SLOW)
    workspace.save_expert("slow_second", 4, SLOW)
    return workspace


def build_short(root: Path) -> Workspace:
    """An installation with experts of the same names that are no slower than others."""
    workspace = build(root)
    workspace.save_split("short", list(range(20)))
    workspace.save_expert("slow_first", 3)
    workspace.save_expert("slow_second", 4)
    return workspace


def post(service: Service, **request: Any) -> str:
    response = httpx.post(service.url + "/jobs", json={"dataset": "tiny", "prefix": "slow_", **request})
    assert response.status_code == 202, response.text
    job: str = response.json()["id"]
    return job


def digests_of(service: Service, job: str) -> dict[tuple[str, str], str]:
    """The sha256 of a job's files, by expert and split."""
    artifacts = service.get(f"/jobs/{job}/artifacts").json()["artifacts"]
    return {(entry["expert"], entry["split"]): entry["sha256"] for entry in artifacts}


def job_of(service: Service, job: str) -> dict[str, Any]:
    body: dict[str, Any] = service.get(f"/jobs/{job}").json()
    return body


def wait_for(service: Service, job: str) -> dict[str, Any]:
    wait_until(
        lambda: job_of(service, job)["state"] in ("succeeded", "failed", "cancelled"), 90, service.log.read_text
    )
    return job_of(service, job)


def in_the_middle(service: Service, job: str) -> bool:
    """Whether one of the job's units over `long` is: a short one may have been written by the time one strikes."""
    long = [unit for unit in job_of(service, job)["units"] if unit["split"] == "long"]
    return any(unit["state"] == "running" and 0 < unit["done"] < unit["total"] for unit in long)
