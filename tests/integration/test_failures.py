"""What happens when something dies, stops or is wrong half-way: nothing is lost, nothing is half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from tests.integration.slow import SLOW, build_slow, in_the_middle, job_of, post, wait_for
from tests.integration.workspace import (
    REPOSITORY,
    Service,
    Workspace,
    end,
    environment,
    fork,
    running,
    wait_until,
)
from worker.experts.architectures import CifarResNetSpec


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


def _digests(service: Service, job: str) -> dict[tuple[str, str], str]:
    artifacts = service.get(f"/jobs/{job}/artifacts").json()["artifacts"]
    return {(entry["expert"], entry["split"]): entry["sha256"] for entry in artifacts}


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
    assert _digests(supervised, job) == _digests(supervised, calm)
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


def test_a_second_service_on_the_same_store_refuses(service: Service, workspace: Workspace) -> None:
    """Two APIs on one outputs directory would both own its jobs: the second says so and ends."""
    variables = environment(workspace, RELOGIT_PORT="0")
    done = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=REPOSITORY,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "already uses" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "checkpoint-empty"),
        (b"this is no checkpoint", "checkpoint-unreadable"),
        (None, "tensors-mismatch"),
    ],
)
def test_one_bad_checkpoint_leaves_the_other_expert_standing(
    service: Service, workspace: Workspace, content: bytes | None, code: str
) -> None:
    """Its units fail with a named problem; the others' files are there; asked again, it is refused at once."""
    path = workspace.experts / "slow_bad.pth"
    if content is None:
        tensors = torch.load(workspace.experts / "slow_first.pth", weights_only=True)
        del tensors["backbone.layer2.1.bn1.weight"]
        torch.save(tensors, path)
    else:
        path.write_bytes(content)
    job = post(service, experts=["bad", "first"], splits=["short", "val"])
    done = wait_for(service, job)
    assert done["state"] == "failed"
    assert [u["state"] for u in done["units"]] == ["failed", "failed", "succeeded", "succeeded"]
    error = done["units"][0]["error"]
    assert error["code"] == code
    assert set(_digests(service, job)) == {("first", "short"), ("first", "val")}
    refused = httpx.post(service.url + "/jobs", json={"dataset": "tiny", "prefix": "slow_", "splits": ["short"]})
    assert refused.status_code == 422
    [problem] = refused.json()["errors"]
    assert (problem["code"], problem["detail"]) == (code, error["message"])


def test_an_expert_that_gives_nan_fails_its_units(service: Service, workspace: Workspace) -> None:
    """Finite weights whose logits overflow: the unit names the image, and no file is shown."""
    tensors = torch.load(workspace.experts / "slow_first.pth", weights_only=True)
    tensors["fc.weight"] = torch.full_like(tensors["fc.weight"], 3e38)
    torch.save(tensors, workspace.experts / "slow_wild.pth")
    done = wait_for(service, post(service, experts=["wild"], splits=["short"], output_dir="wild"))
    assert done["state"] == "failed"
    assert done["units"][0]["error"]["code"] == "non-finite-logits"
    assert not (workspace.root / "outputs" / "wild").exists()


def test_a_split_that_changed_after_the_job_was_accepted_fails(workspace: Workspace) -> None:
    """The rows would belong to another list than the one that was checked."""
    with running(workspace, RELOGIT_WORKERS="0") as service:
        job = post(service, experts=["first"], splits=["short", "val"])
        workspace.save_split("short", list(range(19)))
        with (workspace.root / "worker.log").open("wb") as log:
            worker = fork("worker", environment(workspace), log.fileno())
            try:
                done = wait_for(service, job)
            finally:
                end(worker)
    assert [u["state"] for u in done["units"]] == ["failed", "succeeded"]
    assert done["units"][0]["error"]["code"] == "split-changed"


def test_a_checkpoint_that_is_replaced_is_loaded_again(service: Service, workspace: Workspace) -> None:
    """Experts stay resident, but never beyond their file."""
    first = post(service, experts=["first"], splits=["short"])
    wait_for(service, first)
    time.sleep(0.01)
    workspace.save_expert("slow_first", 99, SLOW)
    second = post(service, experts=["first"], splits=["short"])
    wait_for(service, second)
    assert _digests(service, first) != _digests(service, second)


def test_wrong_class_count_is_refused_or_fails_alike(service: Service, workspace: Workspace) -> None:
    """Ten outputs for four classes: the unit fails, and the next request is refused with the same words."""
    workspace.save_expert("ten_x", 5, CifarResNetSpec((1, 1, 1), (4, 8, 8), 10))
    done = wait_for(service, post(service, prefix="ten_", splits=["short"]))
    error = done["units"][0]["error"]
    assert error["code"] == "classes-mismatch"
    refused = httpx.post(service.url + "/jobs", json={"dataset": "tiny", "prefix": "ten_", "splits": ["short"]})
    assert refused.json()["errors"][0]["detail"] == error["message"]
    assert np.unique([u["state"] for u in done["units"]]).tolist() == ["failed"]


def test_a_job_keeps_the_declaration_it_was_accepted_with(workspace: Workspace) -> None:
    """Another mean in datasets.toml while a job waits or runs must not split it in two."""
    with running(workspace, RELOGIT_WORKERS="0") as service:
        accepted = post(service, experts=["first"], splits=["short"], output_dir="as_accepted")
        toml = workspace.root / "data" / "datasets.toml"
        declared = toml.read_text()
        toml.write_text(declared.replace("mean = [0.5, 0.4, 0.3]", "mean = [0.1, 0.1, 0.1]"))
        edited = post(service, experts=["first"], splits=["short"], output_dir="as_edited")
        toml.write_text(declared)
        with (workspace.root / "worker.log").open("wb") as log:
            worker = fork("worker", environment(workspace), log.fileno())
            try:
                manifests = []
                for job in (accepted, edited):
                    assert wait_for(service, job)["state"] == "succeeded"
                    manifests.append(service.get(f"/jobs/{job}/artifacts").json()["artifacts"][0]["manifest"])
            finally:
                end(worker)
    assert [m["transform"]["mean"] for m in manifests] == [[0.5, 0.4, 0.3], [0.1, 0.1, 0.1]]


def test_a_checkpoint_of_equal_size_and_time_is_still_another(service: Service, workspace: Workspace) -> None:
    """Size and modification time do not tell two trainings apart; the content does."""
    link = workspace.experts / "slow_link.pth"
    times = (1_700_000_000, 1_700_000_000)
    digests = []
    workspace.save_expert("slow_third", 5, SLOW)
    for name in ("first", "third"):
        target = workspace.experts / f"slow_{name}.pth"
        os.utime(target, times)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        job = post(service, experts=["link"], splits=["short"])
        wait_for(service, job)
        digests.append(_digests(service, job))
    sizes = {(workspace.experts / f"slow_{name}.pth").stat().st_size for name in ("first", "third")}
    assert len(sizes) == 1
    assert digests[0] != digests[1]


def test_two_workers_share_a_job(workspace: Workspace) -> None:
    """Each takes an expert of its own, and the files are those of one worker."""
    with running(workspace, RELOGIT_WORKERS="2") as service:
        wait_until(lambda: len(service.worker_pids()) == 2, 60, service.log.read_text)
        job = post(service, splits=["long"])
        wait_until(lambda: [u["state"] for u in job_of(service, job)["units"]] == ["running"] * 2, 60)
        assert wait_for(service, job)["state"] == "succeeded"
        shared = _digests(service, job)
    with running(workspace) as service:
        alone = post(service, splits=["long"])
        assert wait_for(service, alone)["state"] == "succeeded"
        assert _digests(service, alone) == shared


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
