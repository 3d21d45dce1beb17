"""What a request was checked against is compared when a worker uses it: nothing is swapped while a job waits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.workspace import Workspace, build, end, environment, fork, running, wait_until

ENDED = ("succeeded", "failed", "cancelled")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return build(tmp_path)


def waiting_job(workspace: Workspace, change: Callable[[], None], splits: tuple[str, ...] = ("val",)) -> Any:
    """Submit a job for `alpha` while no worker lives, change something, start a worker, and return the ended job."""
    with running(workspace, RELOGIT_WORKERS="0") as service:
        body = {"dataset": "tiny", "experts": ["alpha"], "splits": list(splits)}
        answer = httpx.post(service.url + "/jobs", json=body)
        assert answer.status_code == 202, answer.text
        assert "grounds" not in answer.json()["request"]
        change()
        with (workspace.root / "worker.log").open("wb") as log:
            worker = fork("worker", environment(workspace), log.fileno())
            try:
                where = f"/jobs/{answer.json()['id']}"
                wait_until(lambda: service.get(where).json()["state"] in ENDED, 60, service.log.read_text)
                return service.get(where).json()
            finally:
                end(worker)


def codes(job: Any) -> list[str | None]:
    return [unit["error"] and unit["error"]["code"] for unit in job["units"]]


def describe(workspace: Workspace, base: str) -> None:
    (workspace.splits / "splits.json").write_text(json.dumps({"lists": {"val": {"base": base}}}))


def test_a_list_that_is_moved_to_another_base_fails(workspace: Workspace) -> None:
    """The same index list over other images would be the logits of other samples."""
    describe(workspace, "test")
    job = waiting_job(workspace, lambda: describe(workspace, "train"), ("val", "test"))
    assert codes(job) == ["split-changed", None]
    assert "'test'" in job["units"][0]["error"]["message"]
    assert "'train'" in job["units"][0]["error"]["message"]


def test_a_description_that_is_added_while_a_job_waits_fails(workspace: Workspace) -> None:
    """A list without splits.json was checked against the declared base, and stays there."""
    job = waiting_job(workspace, lambda: describe(workspace, "train"))
    assert codes(job) == ["split-changed"]


def test_a_checkpoint_that_is_replaced_before_it_is_claimed_fails(workspace: Workspace) -> None:
    """No worker had read it, so nothing says that the new file is the one that was meant."""
    job = waiting_job(workspace, lambda: workspace.save_expert("best_alpha", seed=9))
    assert codes(job) == ["checkpoint-changed"]


def test_images_that_are_replaced_before_they_are_used_fail(workspace: Workspace) -> None:
    """As many images of the same size as before are still other images."""

    def replace() -> None:
        with_others = workspace.root / "data" / "tiny"
        workspace.save_images("other", 60)
        workspace.save_images("test", 64)  # other noise
        shutil.move(with_others / "other.npz", with_others / "unused.npz")

    job = waiting_job(workspace, replace)
    assert codes(job) == ["data-changed"]


def test_a_checkpoint_that_is_copied_over_itself_is_taken_where_its_content_is_known(workspace: Workspace) -> None:
    """Times may change while the content stays: with a passport on record the content decides."""
    with running(workspace) as service:
        service.wait_ready()
        experts = service.get("/experts?dataset=tiny").json()["experts"]
        assert [expert["state"] for expert in experts] == ["ready", "ready"]
    path = workspace.experts / "best_alpha.pth"

    def copy() -> None:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)

    assert codes(waiting_job(workspace, copy)) == [None]


def test_nothing_changed_is_computed(workspace: Workspace) -> None:
    """A job that merely waits succeeds: the comparison has no false alarms."""
    job = waiting_job(workspace, lambda: None, ("val", "test", "train"))
    assert codes(job) == [None, None, None]
    assert job["state"] == "succeeded"
