"""Combining through the real service: struck, stopped, cancelled, late and at once, with equal bytes in the end."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.integration.workspace import Service, Workspace, build, running, wait_until

pytestmark = pytest.mark.slow

LONG: dict[str, Any] = {"method": "net", "epochs": 150, "output_dir": "struck"}
"""Trains for some seconds, so that there is a middle to strike in."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Lists of 200, 200 and 400 distinct images, and train counts."""
    workspace = build(tmp_path_factory.mktemp("combinations"))
    workspace.save_images("test", 800)
    order = np.random.default_rng(0).permutation(800).tolist()
    for name, part in (("tunev", order[:200]), ("val", order[200:400]), ("test", order[400:])):
        workspace.save_split(name, part)
    (workspace.splits / "train_class_counts.json").write_text("[100, 50, 10, 5]")
    return workspace


@pytest.fixture
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service


@pytest.fixture
def logits(service: Service) -> str:
    """Id of a recompute job that succeeded; the second has its rows from the first."""
    job = httpx.post(f"{service.url}/jobs", json={"dataset": "tiny", "splits": ["tunev", "val", "test"]}).json()
    return str(end_of(service, "jobs", job["id"])["id"])


def post(service: Service, resource: str, **body: Any) -> str:
    answer = httpx.post(f"{service.url}/{resource}", json=body, timeout=30)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def end_of(service: Service, resource: str, job: str, state: str = "succeeded") -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def ended() -> bool:
        seen.update(service.get(f"/{resource}/{job}?wait=10").json())
        return seen["finished_at"] is not None

    wait_until(ended, 90, service.log.read_text)
    assert seen["state"] == state, seen
    return seen


def digests(workspace: Workspace, folder: str) -> dict[str, str]:
    """By name, of all files but manifests."""
    root = workspace.root / "outputs" / folder
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.endswith("_logits.json")]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def in_training(service: Service, job: str) -> bool:
    """Whether a worker has taken it up and has no result yet."""
    seen = service.get(f"/gatings/{job}").json()
    return seen["state"] == "running" and seen["result"] is None


def test_the_whole_way_from_experts_to_an_evaluation(service: Service, workspace: Workspace, logits: str) -> None:
    """A selective gating, a rejector and an evaluation, each with its files and digests."""
    gating = end_of(service, "gatings", post(service, "gatings", mode="selective", epochs=2))
    assert gating["result"]["rules"]["score"] == "group"
    end_of(service, "rejectors", post(service, "rejectors", objective="worst"))
    evaluation = end_of(service, "evaluations", post(service, "evaluations"))
    for path, digest in evaluation["result"]["files"].items():
        assert hashlib.sha256((workspace.root / "outputs" / path).read_bytes()).hexdigest() == digest
    assert (workspace.root / "checkpoints" / "argse" / "tiny" / "argse.json").exists()
    metrics = service.get("/metrics").text
    for kind in ("gating", "rejector", "evaluation"):
        assert re.search(rf'^relogit_jobs{{(?=.*kind="{kind}")(?=.*state="succeeded").*}} 1.0$', metrics, re.M)
    verified = httpx.post(f"{service.url}/verifications", json={"dataset": "tiny", "path": "gating"}).json()
    report = end_of(service, "verifications", verified["id"])
    assert report["verdict"] == "passed"
    analysed = service.get(f"/jobs/{gating['id']}/analysis?part=statistics&wait=30").json()
    assert analysed["complete"]


def test_a_worker_killed_in_training_costs_no_bit(service: Service, workspace: Workspace, logits: str) -> None:
    """Another takes the job up; files are those of an undisturbed run."""
    job = post(service, "gatings", **LONG)
    wait_until(lambda: in_training(service, job), 60, service.log.read_text)
    [victim] = service.worker_pids()
    os.kill(victim, signal.SIGKILL)
    end_of(service, "gatings", job)
    calm = post(service, "gatings", **(LONG | {"output_dir": "calm"}))
    end_of(service, "gatings", calm)
    assert digests(workspace, "struck") == digests(workspace, "calm")
    assert len(digests(workspace, "calm")) == 8


def test_training_can_be_cancelled_and_ends_by_its_deadline(
    service: Service, workspace: Workspace, logits: str
) -> None:
    """It has no result then and no file, and the worker goes on."""
    job = post(service, "gatings", method="net", epochs=10_000, output_dir="never")
    wait_until(lambda: in_training(service, job), 60, service.log.read_text)
    assert httpx.post(f"{service.url}/jobs/{job}/cancel").status_code == 202
    cancelled = end_of(service, "gatings", job, "cancelled")
    assert cancelled["result"] is None
    late = post(service, "gatings", method="net", epochs=10_000, output_dir="never", deadline_s=1)
    failed = end_of(service, "gatings", late, "failed")
    assert failed["error"]["code"] == "deadline-exceeded"
    assert not (workspace.root / "outputs" / "never").exists()
    end_of(service, "gatings", post(service, "gatings", method="uniform"))


def test_a_stopping_service_hands_training_back(workspace: Workspace) -> None:
    """SIGTERM in its middle; the next start carries the job out, and counts no death."""
    with running(workspace) as service:
        service.wait_ready()
        source = post(service, "jobs", dataset="tiny", splits=["tunev", "val", "test"])
        end_of(service, "jobs", source)
        job = post(service, "gatings", method="net", epochs=300, output_dir="handed")
        wait_until(lambda: in_training(service, job), 60, service.log.read_text)
    with running(workspace) as again:
        ended = end_of(again, "gatings", job)
    assert all(unit["notes"] == [] for unit in ended["units"])


def test_combinations_of_one_name_at_once_leave_whole_sets(
    service: Service, workspace: Workspace, logits: str
) -> None:
    """Whichever was last: each mixture is that of the logits beside it, and each job has its own artifacts."""
    methods = ["uniform", "net", "linear", "net"]
    jobs = [post(service, "gatings", method=m, epochs=20, output_dir="same", seed=n) for n, m in enumerate(methods)]
    for job in jobs:
        ended = end_of(service, "gatings", job)
        assert {unit["state"] for unit in ended["units"]} == {"succeeded"}
        for unit in service.get(f"/jobs/{job}/artifacts").json()["artifacts"]:
            assert service.get(unit["href"]).status_code == 200
    folder = workspace.root / "outputs" / "same" / "pretrained"
    for split in ("tunev", "val", "test"):
        manifest = httpx.Response(200, content=(folder / f"{split}_logits.json").read_bytes()).json()
        mixture = manifest["mixture"]
        for name, digest in (
            (f"{split}_logits.npz", manifest["file"]["sha256"]),
            (mixture["file"], mixture["sha256"]),
        ):
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    parameters = httpx.Response(200, content=(folder / "gating_pretrained.json").read_bytes()).json()
    for candidate in parameters["candidates"]:
        if candidate["method"] == "net":
            tensors = candidate["parameters"]["tensors"]
            assert hashlib.sha256((folder / tensors["file"]).read_bytes()).hexdigest() == tensors["sha256"]
