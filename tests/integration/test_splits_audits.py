"""Audits by the real service and its worker: of sets that are not what they say, and with the jobs over them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relogit
from tests.integration.workspace import Service, Workspace, build, running


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = build(tmp_path_factory.mktemp("audits"))
    for base, size in {"test": 200, "train": 400}.items():
        workspace.save_images(base, size)
    return workspace


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service


def _create(service: Service, workspace: Workspace, name: str, **request: Any) -> Path:
    with relogit.Client(service.url) as client:
        client.create_splits(name, dataset="tiny", **request)
    return workspace.root / "data" / name


def _audit(service: Service, name: str) -> dict[str, Any]:
    found: dict[str, Any] = service.get(f"/splits/{name}/audit?dataset=tiny&wait=30").json()
    assert found["state"] == "ready", found
    return found


def _failed(found: dict[str, Any]) -> set[tuple[str, str]]:
    every = {**found["lists"], "": found["checks"]}
    return {(name, check["id"]) for name, checks in every.items() for check in checks if check["verdict"] == "failed"}


def test_lists_that_are_not_what_splits_json_says_are_warned_of(service: Service, workspace: Workspace) -> None:
    """Sorted within its classes, deleted, no part of train any more: each is named, and none fails the audit."""
    folder = _create(service, workspace, "said", imbalance_factor=10, expert_share=0.9)
    found = _audit(service, "said")
    assert (found["verdict"], _failed(found) - {("gating", "missing-classes")}) == ("passed", set())
    labels = workspace.images("test")[1]
    test = json.loads((folder / "test_indices.json").read_text())
    (folder / "test_indices.json").write_text(json.dumps(sorted(test, key=lambda index: (labels[index], index))))
    (folder / "tunev_indices.json").unlink()
    train = json.loads((folder / "train_indices.json").read_text())
    stranger = next(index for index in range(400) if index not in train)
    (folder / "expert_indices.json").write_text(json.dumps([stranger, *train[:5]]))
    found = _audit(service, "said")
    assert found["verdict"] == "passed"
    assert {name for name, check in _failed(found) if check == "as-described"} == {"test", "tunev", "expert"}
    overlaps = [check for check in found["checks"] if check["id"] == "overlap" and check["measured"]]
    [leak] = [check for check in overlaps if set(check["measured"]["splits"]) == {"expert", "train"}]
    assert (leak["verdict"], leak["measured"]["shared"]) == ("failed", 5)


def test_a_twin_in_train_is_no_leakage_into_its_own_part(service: Service, workspace: Workspace) -> None:
    """Every set with an expert list would be warned of it, and every job over it."""
    path = workspace.root / "data" / "tiny" / "train.npz"
    before = path.read_bytes()
    folder = _create(service, workspace, "twin", imbalance_factor=1, expert_share=0.5)
    one, other = json.loads((folder / "expert_indices.json").read_text())[:2]
    try:
        images, labels = workspace.images("train")
        images[one] = images[other]
        np.savez(path, images=images, labels=labels)
        found = _audit(service, "twin")
        assert {check for check in _failed(found) if check[1] == "same-picture"} == {
            ("train", "same-picture"), ("expert", "same-picture")
        }  # fmt: skip
    finally:
        path.write_bytes(before)


def test_a_job_is_not_shown_what_its_lists_never_had(service: Service, workspace: Workspace) -> None:
    """The set was changed after it: that is said, in place of leakage that came with the change."""
    folder = _create(service, workspace, "old", imbalance_factor=10)
    with relogit.Client(service.url) as client:
        job = client.submit(dataset="tiny", splits=["val"], splits_dir="old", output_dir="old")
        assert job.wait(timeout=60).state == "succeeded", job.data
        test = json.loads((folder / "test_indices.json").read_text())
        (folder / "val_indices.json").write_text(json.dumps(test[:20]))
        found = job.verification(wait_s=30)
    of_set = [
        check for check in found["checks"] if check["id"] in ("splits", "overlap") and "old" in check["message"]
    ]
    assert [(check["verdict"], "'val' was changed since" in check["message"]) for check in of_set] == [
        ("skipped", True)
    ]
    assert not [check for check in found["checks"] if check["verdict"] == "failed"]


def test_a_description_that_no_one_can_use_is_an_answer(service: Service, workspace: Workspace) -> None:
    """At once, and of this set alone: whoever lists the sets sees the others, and what is wrong with this one."""
    folder = _create(service, workspace, "odd", imbalance_factor=10)
    described = json.loads((folder / "splits.json").read_text())
    described["lists"]["test"]["part_of"] = ["val"]
    described["imbalance_factor"] = None
    (folder / "splits.json").write_text(json.dumps(described))
    answer = service.get("/splits/odd/audit?dataset=tiny&wait=30")
    assert (answer.status_code, answer.json()["code"]) == (422, "splits-file-invalid")
    assert "lists.test.part_of" in answer.json()["detail"]
    sets = {one["name"]: one for one in service.get("/splits?dataset=tiny").json()["sets"]}
    assert (sets["odd"]["description"], sets["odd"]["problem"]["code"]) == (None, "splits-file-invalid")
    assert sets["tiny_splits"]["problem"] is None
