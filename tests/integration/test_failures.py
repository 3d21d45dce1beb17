"""What happens when a file is wrong or is replaced: its units fail by name, and the others stand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from tests.integration.slow_jobs import build_short, digests_of, post, wait_for
from tests.integration.workspace import REPOSITORY, Service, Workspace, end, environment, fork, running
from worker.experts.architectures import CifarResNetSpec


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return build_short(tmp_path)


@pytest.fixture
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service


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
        del tensors["backbone.layer2.0.bn1.weight"]
        torch.save(tensors, path)
    else:
        path.write_bytes(content)
    job = post(service, experts=["bad", "first"], splits=["short", "val"])
    done = wait_for(service, job)
    assert done["state"] == "failed"
    assert [u["state"] for u in done["units"]] == ["failed", "failed", "succeeded", "succeeded"]
    error = done["units"][0]["error"]
    assert error["code"] == code
    assert set(digests_of(service, job)) == {("first", "short"), ("first", "val")}
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
    workspace.save_expert("slow_first", 99)
    second = post(service, experts=["first"], splits=["short"])
    wait_for(service, second)
    assert digests_of(service, first) != digests_of(service, second)


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
    workspace.save_expert("slow_third", 5)
    for name in ("first", "third"):
        target = workspace.experts / f"slow_{name}.pth"
        os.utime(target, times)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        job = post(service, experts=["link"], splits=["short"])
        wait_for(service, job)
        digests.append(digests_of(service, job))
    sizes = {(workspace.experts / f"slow_{name}.pth").stat().st_size for name in ("first", "third")}
    assert len(sizes) == 1
    assert digests[0] != digests[1]
