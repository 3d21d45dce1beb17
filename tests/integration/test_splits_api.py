"""Splits created by the real service and its worker, through the command line as well."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import relogit
from tests.integration.split_sets import SIZES, build_for_splits, create, read
from tests.integration.workspace import CLASSES, Service, Workspace, running


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return build_for_splits(tmp_path_factory.mktemp("splits"))


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service


def test_the_folder_holds_what_the_old_scripts_wrote(service: Service, workspace: Workspace) -> None:
    """Lists, weights and counts in class order; splits.json names bases, seed, counts, groups and digests."""
    answered = create(service, "lt", imbalance_factor=10, expert_share=0.9)
    folder = workspace.root / "data" / "lt"
    names = ("train", "test", "val", "tunev", "expert", "gating")
    expected = {f"{name}_indices.json" for name in names} | {
        "class_weights.json", "train_class_counts.json", "splits.json"
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == expected
    counts = read(workspace, "lt", "train_class_counts.json")
    assert counts == [max(1, int(100 * 10 ** (-c / 3))) for c in range(CLASSES)]
    assert read(workspace, "lt", "class_weights.json") == pytest.approx([n / sum(counts) for n in counts])
    lists = {name: read(workspace, "lt", f"{name}_indices.json") for name in names}
    labels = {base: workspace.images(base)[1] for base in SIZES}
    assert np.bincount(labels["train"][lists["train"]]).tolist() == counts
    assert sorted(lists["expert"] + lists["gating"]) == sorted(lists["train"])
    assert sorted(lists["test"] + lists["val"] + lists["tunev"]) == list(range(200))
    assert np.bincount(labels["test"][lists["val"]]).tolist() == [5] * CLASSES
    described = read(workspace, "lt", "splits.json")
    assert described == answered
    assert (described["seed"], described["imbalance_factor"], described["profile"]) == (42, 10, "exponential")
    for name in names:
        path = folder / f"{name}_indices.json"
        assert described["lists"][name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert described["lists"][name]["base"] == ("test" if name in ("test", "val", "tunev") else "train")
    assert described["groups"]["head"] == [c for c in range(CLASSES) if counts[c] > 20]
    assert not list((workspace.root / "data").glob(".*"))


def test_a_set_is_there_once_it_is_answered(service: Service, workspace: Workspace) -> None:
    """201 with its description, and where the set is; no job is queued for it."""
    answer = httpx.post(f"{service.url}/splits", json={"dataset": "tiny", "name": "at once", "imbalance_factor": 10})
    assert (answer.status_code, answer.headers["Location"]) == (201, "/splits/at%20once?dataset=tiny")
    assert answer.json() == read(workspace, "at once", "splits.json")
    listed = service.get(answer.headers["Location"]).json()["splits"]
    assert {item["name"] for item in listed} == {"train", "test", "val", "tunev"}
    assert service.get("/jobs?kind=splits").json()["jobs"] == []


def test_a_job_takes_the_lists_with_their_bases(service: Service, workspace: Workspace) -> None:
    """`expert` points into train because splits.json says so; datasets.toml knows nothing of it."""
    create(service, "used", expert_share=0.5, overwrite=True)
    with relogit.Client(service.url) as client:
        job = client.submit(dataset="tiny", splits=["expert", "val"], splits_dir="used", output_dir="used")
        assert job.wait(timeout=60).state == "succeeded", job.data
        targets = job.logits("alpha", "expert").targets
        listed = {item["name"]: item["base"] for item in client.split_set("used", dataset="tiny")["splits"]}
    np.testing.assert_array_equal(
        targets, workspace.images("train")[1][read(workspace, "used", "expert_indices.json")]
    )
    assert (listed["expert"], listed["gating"], listed["val"]) == ("train", "train", "test")


def test_a_set_is_overwritten_only_if_asked(service: Service, workspace: Workspace) -> None:
    """Else it is refused and stays; asked, it is the new one whole. What is no set of splits is never replaced."""
    create(service, "kept", seed=1)
    before = read(workspace, "kept", "test_indices.json")
    with relogit.Client(service.url) as client:
        with pytest.raises(relogit.Problem) as refused:
            client.create_splits("kept", dataset="tiny", seed=2)
        assert (refused.value.code, refused.value.status) == ("splits-exist", 409)
        assert read(workspace, "kept", "test_indices.json") == before
        with pytest.raises(relogit.Problem) as foreign:
            client.create_splits("tiny", dataset="tiny", overwrite=True)
        assert foreign.value.code == "not-splits"
    create(service, "kept", seed=2, overwrite=True)
    assert read(workspace, "kept", "test_indices.json") != before
    assert read(workspace, "kept", "splits.json")["seed"] == 2
    assert not list((workspace.root / "data").glob(".*"))


@pytest.mark.parametrize(
    ("request_", "fragment"),
    [
        ({"name": "../x"}, "plain name"),
        ({"name": "new", "imbalance_factor": 0.5}, "imbalance_factor"),
        ({"name": "new", "profile": "linear"}, "exponential"),
        ({"name": "new", "test_shares": [8, 1]}, "test_shares"),
        ({"name": "new", "expert_share": 1.0}, "expert_share"),
        ({"name": "new", "seed": -1}, "seed"),
        ({"name": "new", "dataset": "none"}, "tiny"),
        ({}, "name"),
    ],
)
def test_a_wrong_request_is_refused(service: Service, request_: dict[str, Any], fragment: str) -> None:
    """Nothing is queued, and the problem says what would have been right."""
    answer = httpx.post(f"{service.url}/splits", json={"dataset": "tiny", **request_})
    assert answer.status_code == 422
    assert fragment in answer.json()["detail"]


def test_a_description_that_cannot_be_read_is_a_problem(service: Service, workspace: Workspace) -> None:
    """To go on without it might take another base."""
    create(service, "broken", seed=1)
    (workspace.root / "data" / "broken" / "splits.json").write_text("{")
    answer = httpx.post(f"{service.url}/jobs", json={"dataset": "tiny", "splits": ["val"], "splits_dir": "broken"})
    assert (answer.status_code, answer.json()["code"]) == (422, "splits-file-invalid")
    listed = service.get("/splits/broken?dataset=tiny").json()["splits"]
    assert {item["state"] for item in listed} == {"bad"}


def _audit(service: Service, name: str) -> dict[str, Any]:
    found: dict[str, Any] = service.get(f"/splits/{name}/audit?dataset=tiny&wait=30").json()
    assert found["state"] == "ready", found
    return found


def _failed(found: dict[str, Any]) -> set[tuple[str, str]]:
    of_lists = {(name, check["id"]) for name, checks in found["lists"].items() for check in checks
                if check["verdict"] == "failed"}  # fmt: skip
    return of_lists | {("", check["id"]) for check in found["checks"] if check["verdict"] == "failed"}


def test_a_set_that_was_created_passes_its_audit(service: Service, workspace: Workspace) -> None:
    """Its lists are what its description says; that expert and gating are parts of train is no leakage."""
    create(service, "sound", imbalance_factor=10, expert_share=0.5)
    found = _audit(service, "sound")
    assert (found["verdict"], found["described"], _failed(found)) == ("passed", True, set())
    lists = read(workspace, "sound", "splits.json")["lists"]
    assert (lists["train"]["balance"], lists["val"]["balance"]) == ("long-tailed", "balanced")
    create(service, "short", imbalance_factor=10, expert_share=0.95)  # gating: some five rows of a class, and none
    assert _failed(_audit(service, "short")) <= {("gating", "missing-classes")}
    assert set(found["lists"]) == {"train", "test", "val", "tunev", "expert", "gating"}


def test_an_audit_finds_what_was_done_to_a_set(service: Service, workspace: Workspace) -> None:
    """Repeats, leakage, wrong weights, a list that no job could use; after a change it looks again."""
    create(service, "spoilt", imbalance_factor=10)
    folder = workspace.root / "data" / "spoilt"
    test = read(workspace, "spoilt", "test_indices.json")
    val = read(workspace, "spoilt", "val_indices.json")
    (folder / "val_indices.json").write_text(json.dumps([*val, test[0], val[0]]))
    (folder / "class_weights.json").write_text("[0.25, 0.25, 0.25, 0.25]")
    (folder / "tunev_indices.json").write_text("[1000000]")
    found = _audit(service, "spoilt")
    assert found["verdict"] == "failed"
    expected = {("val", "repeats"), ("", "overlap"), ("", "class-weights"), ("tunev", "range")}
    assert expected <= _failed(found)
    [overlap] = [check for check in found["checks"] if check["id"] == "overlap" and check["verdict"] == "failed"]
    assert overlap["evidence"] == [{"index": test[0]}]
    (folder / "tunev_indices.json").write_text(json.dumps(val[:1]))
    assert _audit(service, "spoilt")["verdict"] == "passed"


def test_the_same_picture_at_two_indices_is_found(service: Service, workspace: Workspace) -> None:
    """By its pixels, across bases too."""
    path = workspace.root / "data" / "tiny" / "test.npz"
    before = path.read_bytes()
    try:
        images, labels = workspace.images("test")
        images[0] = workspace.images("train")[0][5]
        np.savez(path, images=images, labels=labels)
        workspace.splits.with_name("twice").mkdir()
        (workspace.splits.with_name("twice") / "test_indices.json").write_text("[0, 1, 2]")
        (workspace.splits.with_name("twice") / "train_indices.json").write_text("[4, 5, 6]")
        found = _audit(service, "twice")
        [same] = [check for check in found["checks"] if check["id"] == "same-picture"]
        assert (same["verdict"], same["measured"]["pictures"]) == ("failed", 1)
        places = same["evidence"][0]["places"]
        assert {(place["list"], place["base"], place["index"]) for place in places} == {
            ("test", "test", 0), ("train", "train", 5)
        }  # fmt: skip
    finally:
        path.write_bytes(before)


def test_old_lists_are_taken_over(service: Service, workspace: Workspace, tmp_path: Path) -> None:
    """From every format, under new names and bases; what is assumed or missing is said; a job takes them."""
    np.save(tmp_path / "val_lt_indices.npy", np.array([5, 3, 8]))
    (tmp_path / "tuneV_indices.txt").write_text("1\n2\n")
    (tmp_path / "test_indices.csv").write_text("index,label\n7,0\n9,1\n")
    (tmp_path / "train_indices.json").write_text("[0, 399]")
    (tmp_path / "notes.txt").write_text("nothing to do with it")
    command = [str(Path(sys.executable).with_name("relogit")), "splits", "import"]

    def take_over(name: str, *more: str) -> subprocess.CompletedProcess[str]:
        given = [*command, name, *more, "--dataset", "tiny", "--server", service.url]
        return subprocess.run(given, capture_output=True, text=True, timeout=60, check=False)

    done = take_over("old", str(tmp_path), "--map", "val_lt=val:test", "--map", "tuneV=tunev")
    assert done.returncode == 0, done.stderr
    assert "There is no class_weights.json." in done.stdout
    assert "tunev points into test" in done.stdout
    assert "val points into" not in done.stdout
    lists = {name: read(workspace, "old", f"{name}_indices.json") for name in ("val", "tunev", "test", "train")}
    assert lists == {"val": [5, 3, 8], "tunev": [1, 2], "test": [7, 9], "train": [0, 399]}
    assert read(workspace, "old", "splits.json")["lists"]["train"]["base"] == "train"
    assert ("", "class-counts") in _failed(_audit(service, "old"))
    assert take_over("old", str(tmp_path)).returncode == 2  # it is there
    (tmp_path / "train_indices.json").write_text("[0, 400]")
    refused = take_over("far", str(tmp_path))
    assert (refused.returncode, "0 to 399" in refused.stderr) == (2, True)
    assert not (workspace.root / "data" / "far").exists()
    (tmp_path / "train_indices.json").write_text("[0.5]")
    assert "no flat list of whole numbers" in take_over("half", str(tmp_path)).stderr
    assert take_over("none", str(tmp_path), "--map", "nope=x").returncode == 2


def test_sets_and_their_lists_are_resources(service: Service, workspace: Workspace) -> None:
    """GET /splits lists sets with what they hold; those of another data set are none of this one's."""
    create(service, "listed", imbalance_factor=10, seed=7)
    data = workspace.root / "data"
    for name in ("foreign", "deep/er"):
        (data / name).mkdir(parents=True)
        (data / name / "val_indices.json").write_text("[3, 1]")
    (data / "foreign" / "splits.json").write_text('{"dataset": {"name": "other"}}')
    sets = {one["name"]: one for one in service.get("/splits?dataset=tiny").json()["sets"]}
    assert [name for name, one in sets.items() if one["own"]] == ["tiny_splits"]
    assert {"listed", "tiny_splits"} <= sets.keys()
    assert not {"foreign", "deep", "tiny"} & sets.keys()
    assert sets["listed"]["description"]["seed"] == 7
    brief = {one["name"]: (one["base"], one["size"], one["problem"]) for one in sets["listed"]["splits"]}
    assert brief["val"] == ("test", len(read(workspace, "listed", "val_indices.json")), None)
    one = service.get("/splits/listed?dataset=tiny").json()
    counts = read(workspace, "listed", "train_class_counts.json")
    assert (one["groups"]["train_counts"], one["groups"]["source"]) == (counts, "train_class_counts.json")
    assert one["groups"]["head"] == [c for c, count in enumerate(counts) if count > 20]
    assert {item["name"]: item["class_counts"] for item in one["splits"]}["train"] == counts
    nested = service.get("/splits/deep/er?dataset=tiny").json()
    assert [item["name"] for item in nested["splits"]] == ["val"]
    assert service.get("/splits/deep/er/val?dataset=tiny").json()["indices"] == [3, 1]
    assert service.get("/splits/tiny?dataset=tiny").json()["code"] == "no-splits"
    assert service.get("/splits/nowhere?dataset=tiny").json()["code"] == "splits-dir-missing"
    command = [str(Path(sys.executable).with_name("relogit")), "splits"]
    more = ["--dataset", "tiny", "--server", service.url]
    shown = subprocess.run([*command, *more], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "tiny_splits *" in shown
    assert "exponential, factor 10, seed 7" in shown
    own = subprocess.run([*command, "show", *more], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "again" in own


def test_what_an_audit_warns_of_is_shown_with_the_job(service: Service, workspace: Workspace) -> None:
    """Beside the job's own checks, and without failing it: counts that do not fit, leakage into other lists."""
    create(service, "doubtful", imbalance_factor=10)
    folder = workspace.root / "data" / "doubtful"
    counts = read(workspace, "doubtful", "train_class_counts.json")
    (folder / "train_class_counts.json").write_text(json.dumps([counts[0] + 1, *counts[1:]]))
    val, test = (read(workspace, "doubtful", f"{name}_indices.json") for name in ("val", "test"))
    (folder / "val_indices.json").write_text(json.dumps([*val, *test[:15]]))
    with relogit.Client(service.url) as client:
        job = client.submit(dataset="tiny", splits=["val"], splits_dir="doubtful", output_dir="doubtful")
        found = job.wait(timeout=60).verification(wait_s=30)
        assert (job.state, found["verdict"]) == ("succeeded", "passed")
    warned = [check for check in found["checks"] if check["verdict"] == "failed"]
    assert {"class-counts", "overlap", "balance"} <= {check["id"] for check in warned}
    assert {check["level"] for check in warned} == {"warning"}
    [overlap] = [check for check in warned if check["id"] == "overlap"]
    assert (overlap["measured"]["shared"], len(overlap["evidence"])) == (15, 15)
    found = _audit(service, "doubtful")
    [whole] = [check for check in found["checks"] if check["id"] == "overlap" and check["verdict"] == "failed"]
    assert sorted(item["index"] for item in whole["evidence"]) == sorted(test[:15])
    page = service.get(f"/jobs/{job.id}/report").text
    assert "class-counts" in page
    assert "Changed since" not in page
    (folder / "val_indices.json").write_text(json.dumps(val[::-1]))
    assert "Changed since this job took them: val." in service.get(f"/jobs/{job.id}/report").text
    (folder / "val_indices.json").write_text("[1")
    again = service.get(f"/jobs/{job.id}/verification?wait=30").json()
    assert again["verdict"] == "passed"
