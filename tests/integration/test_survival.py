"""Hangs, deadlines, full and forbidden disks: each ends in a clear state, and work goes on after it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.slow_jobs import build_short, build_slow, in_the_middle, job_of, post, wait_for
from tests.integration.workspace import (
    REPOSITORY,
    Service,
    Workspace,
    environment,
    fork,
    running,
    wait_until,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return build_slow(tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> Workspace:
    """For what needs no long computation."""
    return build_short(tmp_path)


def _checks(service: Service) -> tuple[int, dict[str, Any]]:
    answer = service.get("/readyz")
    checks: dict[str, Any] = answer.json()["checks"]
    return answer.status_code, checks


# --- hangs and deadlines ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced_and_its_job_goes_on(workspace: Workspace) -> None:
    """While it hangs the service is not ready, and says so; then it is killed, and another one takes over."""
    with running(workspace, RELOGIT_HANG_TIMEOUT_S="6") as service:
        service.wait_ready()
        job = post(service, experts=["first"], splits=["long"])
        wait_until(lambda: in_the_middle(service, job), 60, service.log.read_text)
        [victim] = service.worker_pids()
        os.kill(victim, signal.SIGSTOP)
        assert wait_for(service, job)["state"] == "succeeded"
        assert service.worker_pids() != [victim]
        assert "no sign of life" in service.log.read_text()
        [unit] = job_of(service, job)["units"]
        assert unit["attempts"] == 2
        assert any("worker died" in note for note in unit["notes"])


@pytest.mark.slow
def test_a_hanging_worker_that_is_not_the_services_own_loses_its_work(workspace: Workspace) -> None:
    """Nobody kills what somebody else has started: its work is freed for others, and when it wakes up it ends."""
    with running(workspace, RELOGIT_WORKERS="0", RELOGIT_HANG_TIMEOUT_S="4") as service:
        with (workspace.root / "worker.log").open("wb") as log:
            worker = fork("worker", environment(workspace), log.fileno())
        try:
            service.wait_ready()
            job = post(service, experts=["first"], splits=["long"])
            wait_until(lambda: in_the_middle(service, job), 60, service.log.read_text)
            worker.send_signal(signal.SIGSTOP)
            wait_until(lambda: _checks(service)[0] == 503, 60)
            wait_until(lambda: job_of(service, job)["units"][0]["state"] == "queued", 30)
            assert str(worker.pid) in service.log.read_text()
            worker.send_signal(signal.SIGCONT)
            assert worker.wait(60) == 1
            with (workspace.root / "worker.log").open("ab") as log:
                worker = fork("worker", environment(workspace), log.fileno())
            assert wait_for(service, job)["state"] == "succeeded"
        finally:
            worker.kill()
            worker.wait()


@pytest.mark.slow
def test_a_job_that_computes_past_its_deadline_is_stopped(workspace: Workspace) -> None:
    """It has failed, with the reason; units that were done by then stand."""
    with running(workspace) as service:
        service.wait_ready()
        known = post(service, experts=["first"], splits=["short"])
        assert wait_for(service, known)["state"] == "succeeded"
        [worker] = service.worker_pids()
        job = post(service, experts=["first"], splits=["short", "long"], deadline_s=30, reuse=False)
        wait_until(lambda: in_the_middle(service, job), 60, service.log.read_text)
        os.kill(worker, signal.SIGSTOP)  # so that its deadline passes in the middle, however fast the machine
        with sqlite3.connect(workspace.settings.store_path) as store:
            store.execute("UPDATE jobs SET deadline_at = 1 WHERE id = ?", (job,))
        store.close()
        wait_until(lambda: job_of(service, job)["state"] == "cancelling", 30)
        os.kill(worker, signal.SIGCONT)
        ended = wait_for(service, job)
        assert (ended["state"], ended["error"]["code"]) == ("failed", "deadline-exceeded")
        assert {unit["split"]: unit["state"] for unit in ended["units"]} == {
            "short": "succeeded",
            "long": "cancelled",
        }
        assert ended["units"][1]["error"]["code"] == "deadline-exceeded"
        assert wait_for(service, post(service, experts=["first"], splits=["short"]))["state"] == "succeeded"


def test_a_deadline_passes_in_the_queue_as_well(small: Workspace) -> None:
    """Without any worker the API sees to it; wrong deadlines are refused."""
    with running(small, RELOGIT_WORKERS="0") as service:
        job = post(service, splits=["short"], deadline_s=0.5)
        ended = wait_for(service, job)
        assert (ended["state"], ended["error"]["code"]) == ("failed", "deadline-exceeded")
        assert ended["deadline_at"] > ended["created_at"]
        assert {unit["attempts"] for unit in ended["units"]} == {0}
        for wrong in (0, -1, "soon", 1e12):
            refused = httpx.post(service.url + "/jobs", json={"dataset": "tiny", "deadline_s": wrong})
            assert (refused.status_code, "deadline_s" in refused.text) == (422, True)


# --- what readyz knows --------------------------------------------------------------------------------


def test_readiness_waits_for_experts_that_are_to_be_warm(small: Workspace) -> None:
    """One that cannot be loaded is named with the reason; the worker works without it."""
    (small.experts / "best_broken.pth").write_bytes(b"no checkpoint")
    asked = "tiny/alpha, tiny/slow_/first, tiny/broken, tiny/best_/nope, nonsense"
    with running(small, RELOGIT_WARM_START=asked) as service:
        wait_until(lambda: len(_checks(service)[1]["warm_start"].get("experts", [])) == 5, 60, service.log.read_text)
        wait_until(lambda: "loading" not in str(_checks(service)[1]["warm_start"]["experts"]), 60)
        status, checks = _checks(service)
        states = {entry["expert"]: entry["state"] for entry in checks["warm_start"]["experts"]}
        assert (status, checks["warm_start"]["ok"]) == (503, False)
        assert list(states.values()) == ["ready", "ready", "failed", "failed", "failed"]
        for named in ("tiny/broken", "tiny/best_/nope", "nonsense"):
            assert named in checks["warm_start"]["detail"]
        assert wait_for(service, post(service, experts=["first"], splits=["short"]))["state"] == "succeeded"
    with running(small, RELOGIT_WARM_START="tiny/alpha") as service:
        service.wait_ready()


def test_a_disk_that_is_nearly_full_is_not_ready(small: Workspace) -> None:
    """How nearly, a setting says."""
    with running(small, RELOGIT_MIN_FREE_BYTES=str(10**18)) as service:
        wait_until(lambda: _checks(service)[1]["worker"]["ok"], 60, service.log.read_text)
        status, checks = _checks(service)
        assert (status, checks["disk"]["ok"]) == (503, False)
        assert "RELOGIT_MIN_FREE_BYTES" in checks["disk"]["detail"]


# --- disks --------------------------------------------------------------------------------------------


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_fails_what_cannot_be_written_and_nothing_else(workspace: Workspace) -> None:
    """A request is refused as a passing error, a unit fails as `disk-error`; with room again, all goes on."""
    outputs = workspace.settings.outputs_dir
    with _small_disk(outputs, "8m"), running(workspace, RELOGIT_MIN_FREE_BYTES="200000") as service:
        service.wait_ready()
        before = post(service, experts=["first"], splits=["short"])
        assert wait_for(service, before)["state"] == "succeeded"
        job = post(service, experts=["first", "second"], splits=["long"])
        wait_until(lambda: in_the_middle(service, job), 60, service.log.read_text)
        filler = outputs / "filler"
        with filler.open("wb", buffering=0) as stream:
            try:
                while stream.write(b"\0" * 4096):
                    pass
            except OSError:
                pass
        wait_until(lambda: _checks(service)[0] == 503, 60)
        refused = httpx.post(service.url + "/jobs", json={"dataset": "tiny", "splits": ["test"]}, timeout=60)
        assert refused.status_code == 503, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        shown = service.get(f"/jobs/{before}/verification").json()
        assert shown["verdict"] == "passed"
        time.sleep(1)  # the job meets the full disk
        filler.unlink()
        service.wait_ready()
        ended = wait_for(service, job)
        failed = [unit["error"]["code"] for unit in ended["units"] if unit["state"] == "failed"]
        assert set(failed) <= {"disk-error", "store-unusable", "worker-died"}
        again = post(service, experts=["first", "second"], splits=["long"])
        assert wait_for(service, again)["state"] == "succeeded"
        assert service.get(f"/jobs/{again}/verification").json()["verdict"] == "passed"
        leftovers = [path for path in outputs.rglob("*.part") if ".relogit" not in path.parts]
        assert leftovers == []


def _without_privileges() -> list[str]:
    """A command to put before another one, so that permissions mean something to it, root or not."""
    if os.getuid() != 0:
        return []
    drop = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    if shutil.which(drop[0]) is None or subprocess.run([*drop, "true"], check=False).returncode != 0:
        pytest.skip("root cannot lay down its rights here: there is no setpriv")
    return drop


@contextmanager
def _closed(folder: Path) -> Iterator[None]:
    """Nothing can be made in the folder; what is open or deeper down goes on."""
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(0o755)


def test_outputs_that_cannot_be_written_are_refused_at_the_start(small: Workspace) -> None:
    """By who has not the right: one sentence that names the setting, and an exit status, no traceback."""
    small.settings.outputs_dir.mkdir()
    command = [*_without_privileges(), sys.executable, "-m", "app"]
    with _closed(small.settings.outputs_dir):
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment(small, RELOGIT_PORT="0"), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "RELOGIT_OUTPUTS_DIR" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_outputs_that_can_be_written_no_longer_fail_the_job_and_not_the_service(workspace: Workspace) -> None:
    """The right to make a folder is taken away in mid-job: a disk error that names it; given back, all goes on."""
    outputs = workspace.settings.outputs_dir
    with running(workspace, before=_without_privileges()) as service:
        service.wait_ready()
        job = post(service, experts=["first"], splits=["long"])
        wait_until(lambda: in_the_middle(service, job), 60, service.log.read_text)
        with _closed(outputs):
            ended = wait_for(service, job)
        [unit] = ended["units"]
        assert (ended["state"], unit["error"]["code"]) == ("failed", "disk-error")
        assert str(outputs / "logits_fixed") in unit["error"]["message"]
        again = wait_for(service, post(service, experts=["first"], splits=["long"]))
        assert (again["state"], again["units"][0]["computed"]) == ("succeeded", 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "code"), [("checkpoint", "unknown-expert"), ("data", "data-missing"), ("split", "unknown-split")]
)
def test_what_vanishes_in_mid_job_fails_the_rest_of_it(workspace: Workspace, what: str, code: str) -> None:
    """A file that is gone when a new worker takes the job up is named; back in its place, all goes on."""
    place = {
        "checkpoint": workspace.experts / "slow_first.pth",
        "data": workspace.root / "data" / "tiny" / "test.npz",
        "split": workspace.splits / "long_indices.json",
    }[what]
    with running(workspace) as service:
        service.wait_ready()
        job = post(service, experts=["first"], splits=["short", "long"])
        wait_until(lambda: in_the_middle(service, job), 60, service.log.read_text)
        aside = place.rename(place.with_suffix(".aside"))
        os.kill(service.worker_pids()[0], signal.SIGKILL)
        ended = wait_for(service, job)
        assert [unit["state"] for unit in ended["units"]] == ["succeeded", "failed"]
        assert ended["units"][1]["error"]["code"] == code
        aside.rename(place)
        assert wait_for(service, post(service, experts=["first"], splits=["long"]))["state"] == "succeeded"


@pytest.mark.slow
def test_a_store_that_is_locked_for_a_while_only_delays(workspace: Workspace) -> None:
    """SQLITE_BUSY: somebody holds the store for some seconds; requests and units wait, and nothing fails."""
    with running(workspace) as service:
        service.wait_ready()
        job = post(service, experts=["first"], splits=["long"])
        wait_until(lambda: in_the_middle(service, job), 60, service.log.read_text)
        other = sqlite3.connect(workspace.settings.store_path, isolation_level=None, timeout=30)
        other.execute("BEGIN IMMEDIATE")
        answers: list[int] = []
        asking = threading.Thread(
            target=lambda: answers.append(
                httpx.post(service.url + "/jobs", json={"dataset": "tiny", "splits": ["val"]}, timeout=60).status_code
            )
        )
        asking.start()
        time.sleep(3)
        assert answers == []
        other.execute("ROLLBACK")
        other.close()
        asking.join(60)
        assert answers == [202]
        assert wait_for(service, job)["state"] == "succeeded"
        assert [unit["attempts"] for unit in job_of(service, job)["units"]] == [1]
