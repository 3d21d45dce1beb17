"""What dies, is stopped or is replaced while it computes: nothing is lost, nothing is half-written."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.slow_jobs import SLOW, build_slow, digests_of, in_the_middle, job_of, post, wait_for
from tests.integration.workspace import Service, Workspace, end, environment, fork, running, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return build_slow(tmp_path)


@pytest.fixture
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service


@pytest.fixture
def supervised(workspace: Workspace) -> Iterator[Service]:
    """`python -m app`, which starts `python -m worker`, as users have it."""
    with running(workspace, supervised=True) as service:
        service.wait_ready()
        yield service


def test_a_killed_worker_is_replaced_and_the_job_succeeds(supervised: Service, workspace: Workspace) -> None:
    """SIGKILL in the middle: restarted, succeeded, and the bytes are those of an undisturbed run."""
    job = post(supervised, splits=["short", "long"], output_dir="struck")
    wait_until(lambda: in_the_middle(supervised, job), 60, supervised.log.read_text)
    [victim] = supervised.worker_pids()
    os.kill(victim, signal.SIGKILL)
    assert wait_for(supervised, job)["state"] == "succeeded"
    assert supervised.worker_pids() != [victim]
    assert any("worker died" in note for unit in job_of(supervised, job)["units"] for note in unit["notes"])
    calm = post(supervised, splits=["short", "long"], output_dir="calm", reuse=False)
    assert wait_for(supervised, calm)["state"] == "succeeded"
    assert digests_of(supervised, job) == digests_of(supervised, calm)
    leftovers = [p for p in (workspace.root / "outputs").rglob("*.part") if ".relogit" not in p.parts]
    assert leftovers == []


def test_dead_workers_free_their_work_without_a_supervisor(workspace: Workspace) -> None:
    """With WORKERS=0, a worker started by hand takes up what the one before it held when it was killed."""
    with running(workspace, RELOGIT_WORKERS="0") as service:
        assert service.get("/readyz").status_code == 503
        job = post(service, experts=["first"], splits=["long"])
        with (workspace.root / "workers.log").open("wb") as log:
            first = fork("worker", environment(workspace), log.fileno())
            wait_until(lambda: in_the_middle(service, job), 60)
            first.kill()
            first.wait()
            assert service.get("/readyz").status_code == 503
            second = fork("worker", environment(workspace), log.fileno())
            try:
                assert wait_for(service, job)["state"] == "succeeded"
            finally:
                end(second)
        assert second.returncode == 0


def test_a_unit_that_kills_its_workers_fails_at_the_fifth(service: Service) -> None:
    """Four deaths are no failure of the job; the fifth is one of the unit that ran, and names the cause."""
    job = post(service, experts=["first"], splits=["long"])
    struck: set[int] = set()
    for _ in range(5):
        wait_until(lambda: bool(set(service.worker_pids()) - struck) and in_the_middle(service, job), 60)
        [victim] = set(service.worker_pids()) - struck
        struck.add(victim)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not in_the_middle(service, job), 60)
    done = wait_for(service, job)
    assert done["state"] == "failed"
    assert done["units"][0]["error"]["code"] == "worker-died"


def test_a_stopping_service_hands_its_work_back(workspace: Workspace) -> None:
    """SIGTERM ends service and worker at a batch's edge; the next start goes on with the job."""
    with running(workspace, supervised=True) as service:
        service.wait_ready()
        job = post(service, splits=["long"])
        wait_until(lambda: in_the_middle(service, job), 60)
        [worker] = service.worker_pids()
    assert service.process.returncode == 0
    assert not Path(f"/proc/{worker}").exists()
    with running(workspace) as again:
        done = wait_for(again, job)
    assert done["state"] == "succeeded"
    assert all(unit["notes"] == [] for unit in done["units"])  # handed back: no death was counted


def test_a_worker_ends_with_its_killed_service(supervised: Service) -> None:
    """SIGKILL of the API leaves no orphan behind that would hold the GPU."""
    [worker] = supervised.worker_pids()
    supervised.process.kill()
    supervised.process.wait()
    wait_until(lambda: not Path(f"/proc/{worker}").exists() or _is_zombie(worker), 30)


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_running_work_can_be_cancelled(service: Service, workspace: Workspace) -> None:
    """A cancelled job ends, shows its units as cancelled, keeps what was done, and the worker lives on."""
    job = post(service, experts=["first", "second"], splits=["short", "long"])
    wait_until(lambda: in_the_middle(service, job), 60)
    assert httpx.post(f"{service.url}/jobs/{job}/cancel").status_code == 202
    done = wait_for(service, job)
    assert done["state"] == "cancelled"
    assert [unit["state"] for unit in done["units"]] == ["succeeded", "cancelled", "cancelled", "cancelled"]
    assert (workspace.root / "outputs" / "logits_fixed" / "first" / "short_logits.npz").exists()
    assert wait_for(service, post(service, splits=["short"]))["state"] == "succeeded"


def test_two_workers_share_a_job(workspace: Workspace) -> None:
    """Each takes an expert of its own, and the files are those of one worker."""
    with running(workspace, RELOGIT_WORKERS="2") as service:
        wait_until(lambda: len(service.worker_pids()) == 2, 60, service.log.read_text)
        job = post(service, splits=["long"])
        wait_until(lambda: [u["state"] for u in job_of(service, job)["units"]] == ["running"] * 2, 60)
        assert wait_for(service, job)["state"] == "succeeded"
        shared = digests_of(service, job)
    with running(workspace) as service:
        alone = post(service, splits=["long"])
        assert wait_for(service, alone)["state"] == "succeeded"
        assert digests_of(service, alone) == shared


@pytest.mark.parametrize("what", ["data", "checkpoint"])
def test_a_file_replaced_in_mid_job_fails_the_rest(service: Service, workspace: Workspace, what: str) -> None:
    """After a worker's death the job is taken up with other images or weights: its parts would not fit together."""
    job = post(service, experts=["first"], splits=["short", "long"])
    wait_until(lambda: job_of(service, job)["units"][0]["state"] == "succeeded", 60, service.log.read_text)
    if what == "data":
        workspace.save_images("test", 2500, size=24)
    else:
        workspace.save_expert("slow_first", 77, SLOW)
    os.kill(service.worker_pids()[0], signal.SIGKILL)
    done = wait_for(service, job)
    assert [unit["state"] for unit in done["units"]] == ["succeeded", "failed"]
    assert done["units"][1]["error"]["code"] == f"{what}-changed"
