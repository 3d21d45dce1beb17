"""Verifying files that are there already, through the real service and its worker."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from app.domain.analyses import Statistics
from tests.integration.verifying import (
    analysis,
    checks_of,
    failed,
    good,
    indices,
    logits_for,
    npz,
    torch_bytes,
    upload,
    verify,
)
from tests.integration.workspace import CLASSES, Service, Workspace, build, running, wait_until
from worker.experts.architectures import CifarResNetSpec

ROWS = 400


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two bases with random labels, and splits of 400 of their images, sorted by class as people sort them."""
    workspace = build(tmp_path_factory.mktemp("verifications"))
    rng = np.random.default_rng(0)
    for base in ("test", "train"):
        images = rng.integers(0, 256, (1000, 8, 8, 3), dtype=np.uint8)
        np.savez(
            workspace.root / "data" / "tiny" / f"{base}.npz", images=images, labels=rng.integers(0, CLASSES, 1000)
        )
    chosen = rng.permutation(1000)[:ROWS]
    workspace.save_split("many", chosen.tolist())
    workspace.save_split("val", rng.permutation(1000)[:ROWS].tolist())
    (workspace.splits / "train_class_counts.json").write_text("[100, 50, 10, 5]")
    return workspace


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service


@pytest.fixture(scope="module")
def job(service: Service) -> dict[str, Any]:
    """A recompute job that succeeded."""
    submitted = httpx.post(f"{service.url}/jobs", json={"dataset": "tiny", "splits": ["tunev"], "output_dir": "own"})
    seen: dict[str, Any] = submitted.json()
    while seen["state"] in ("queued", "running"):
        seen = service.get(f"/jobs/{seen['id']}?wait=20").json()
    assert seen["state"] == "succeeded", seen
    return seen


def test_a_folder_of_the_outputs_is_verified_in_place(service: Service, job: dict[str, Any]) -> None:
    """202 with its Location; every check of every file, the manifest's too, and the figures as fractions."""
    found = verify(service, path="own")
    assert (found["state"], found["verdict"], found["request"]["path"]) == ("succeeded", "passed", "own")
    assert [(r["expert"], r["split"], r["verdict"]) for r in found["results"]] == [
        ("alpha", "tunev", "passed"), ("beta", "tunev", "passed")
    ]  # fmt: skip
    checks = checks_of(found, "alpha", "tunev")
    for name in (
        "shapes",
        "finite",
        "predictions",
        "targets",
        "manifest-file",
        "manifest-split",
        "manifest-checkpoint",
    ):
        assert checks[name]["verdict"] == "passed"
    assert 0 <= found["results"][0]["metrics"]["accuracy"] <= 1
    assert {check["id"] for check in found["checks"]} >= {"targets-between-experts", "duplicate-outputs", "overlap"}
    listed = service.get("/verifications").json()["verifications"]
    assert found["id"] in {item["id"] for item in listed}
    assert service.get(f"/jobs/{found['id']}/verification").json()["results"] == found["results"]


def test_a_job_is_no_verification(service: Service, job: dict[str, Any]) -> None:
    """Its id under /verifications is a problem that says where it is."""
    answer = service.get(f"/verifications/{job['id']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "verification-not-found")
    assert f"/jobs/{job['id']}" in answer.json()["detail"]


def test_stale_results_fail(service: Service, workspace: Workspace, job: dict[str, Any]) -> None:
    """A checkpoint, a split or a file that is another one now fails the check that names it; a missing one none."""
    path, checkpoint = workspace.splits / "tunev_indices.json", workspace.experts / "best_beta.pth"
    split, weights = path.read_text(), checkpoint.read_bytes()
    try:
        path.write_text(split + " ")
        torch.save({"other": torch.zeros(1)}, checkpoint)
        found = verify(service, path="own")
        assert failed(found, "alpha", "tunev") == {"manifest-split"}
        assert failed(found, "beta", "tunev") == {"manifest-split", "manifest-checkpoint"}
        assert "stale" in checks_of(found, "beta", "tunev")["manifest-checkpoint"]["message"]
        path.write_text(split)
        checkpoint.unlink()
        found = verify(service, path="own")
        assert found["verdict"] == "passed"
        assert checks_of(found, "beta", "tunev")["manifest-checkpoint"]["verdict"] == "skipped"
    finally:
        path.write_text(split)
        checkpoint.write_bytes(weights)


def test_bad_files_fail_each_by_its_name_and_the_others_are_verified(service: Service, workspace: Workspace) -> None:
    """Truncated, pickled, of another rank or length, of no split, claimed twice: never a traceback."""
    labels = workspace.images("test")[1][indices(workspace, "many")]
    logits = logits_for(labels)
    right, pickled = good(workspace), io.BytesIO()
    np.savez(pickled, logits=logits, targets=np.array([None] * ROWS, object), predictions=labels, allow_pickle=True)
    files = {
        "whole/many_logits.npz": right,
        "cut/many_logits.npz": right[: len(right) // 2],
        "empty/many_logits.npz": b"",
        "pickled/many_logits.npz": pickled.getvalue(),
        "flat/many_logits.npz": npz(logits[:, 0], labels),
        "short/many_logits.npz": npz(logits[:-7], labels[:-7]),
        "far/many_logits.npz": npz(logits, labels + 50),
        "whole/nowhere_logits.npz": right,
        "a/twice/many_logits.npz": right,
        "b/twice/many_logits.npz": right,
        "dict/many_logits.pt": torch_bytes({"logits": torch.from_numpy(logits)}),
    }
    found = verify(service, upload=upload(service, files))
    assert (found["state"], found["verdict"]) == ("succeeded", "failed")
    assert failed(found, "whole") == set()
    for expert in ("cut", "empty", "pickled", "dict"):
        assert failed(found, expert) == {"readable"}, expert
    assert "pickle" in checks_of(found, "pickled")["readable"]["message"]
    assert failed(found, "flat") == {"shapes"}
    assert failed(found, "short") == {"shapes"}
    assert str(ROWS) in checks_of(found, "short")["shapes"]["message"]
    assert str(ROWS - 7) in checks_of(found, "short")["shapes"]["message"]
    assert failed(found, "far") == {"targets"}
    assert failed(found, "whole", "nowhere") == {"split"}
    assert "many" in checks_of(found, "whole", "nowhere")["split"]["message"]
    assert failed(found, "twice") == {"one-file"}
    assert all(check["message"].endswith(".") for r in found["results"] for check in r["checks"])
    json.dumps(found, allow_nan=False)


def test_bare_tensors_take_their_targets_from_the_split(service: Service, workspace: Workspace) -> None:
    """Float16 or float32 without targets give the figures of the same logits with them."""
    labels = workspace.images("test")[1][indices(workspace, "many")]
    logits = logits_for(labels)
    half = torch.from_numpy(logits).half()
    files = {
        "npz/many_logits.npz": npz(logits, labels),
        "float/many_logits.pt": torch_bytes(torch.from_numpy(logits)),
        "half/many_logits.pt": torch_bytes(half),
        "double/many_logits.pt": torch_bytes(half.double()),
    }
    found = verify(service, upload=upload(service, files))
    metrics = {result["expert"]: result["metrics"] for result in found["results"]}
    assert metrics["float"] == metrics["npz"]
    assert metrics["half"]["nll"] == pytest.approx(metrics["npz"]["nll"], abs=1e-3)
    assert failed(found, "half") == failed(found, "float") == set()
    assert failed(found, "double") == {"dtypes"}
    copies = [check for check in found["checks"] if check["id"] == "duplicate-outputs"]
    assert (copies[0]["verdict"], copies[0]["level"]) == ("failed", "warning")


def test_logits_of_other_samples_fail_and_their_cause_is_found(service: Service, workspace: Workspace) -> None:
    """Computed on the same indices of another base, in reversed order, or of another list: each is named."""
    rows = indices(workspace, "many")
    test, train = (workspace.images(base)[1] for base in ("test", "train"))
    files = {
        "right/many_logits.npz": good(workspace),
        "base/many_logits.npz": npz(logits_for(train[rows]), test[rows]),
        "order/many_logits.npz": npz(logits_for(test[rows][::-1]), test[rows]),
        "list/many_logits.npz": npz(logits_for(test[indices(workspace, "val")]), test[rows]),
        "targets/many_logits.npz": npz(logits_for(train[rows]), train[rows]),
    }
    found = verify(service, upload=upload(service, files))
    assert failed(found, "right") == set()
    for expert in ("base", "order", "list"):
        assert failed(found, expert) == {"accuracy"}
        assert "do not belong to these samples" in checks_of(found, expert)["accuracy"]["message"]
    assert failed(found, "targets") == {"targets"}
    causes = analysis(service, found["id"], "causes")
    assert causes["right", "many"]["state"] == "none"
    named = {expert: causes[expert, "many"]["analysis"]["found"] for expert in ("base", "order", "list", "targets")}
    assert (named["base"]["base"], named["base"]["order"]) == ("train", "as listed")
    assert (named["order"]["base"], named["order"]["order"]) == ("test", "reversed")
    assert (named["list"]["split"], named["list"]["order"]) == ("val", "as listed")
    assert (named["targets"]["base"], named["targets"]["accuracy"]) == ("train", 1.0)
    assert "'train'" in causes["base", "many"]["analysis"]["message"]


def test_statistics_are_computed_when_asked_for_and_kept(service: Service, workspace: Workspace) -> None:
    """Each interval holds its figure; curves end at the whole split; a file that is gone says so."""
    sent = upload(service, {"ce/many_logits.npz": good(workspace)})
    found = verify(service, upload=sent)
    first = analysis(service, found["id"], "statistics")["ce", "many"]
    metrics = found["results"][0]["metrics"]
    for name in ("accuracy", "balanced_accuracy", "head_accuracy", "tail_accuracy", "nll", "brier", "aurc"):
        low, high = first["analysis"]["intervals"]["figures"][name]
        assert low < metrics[name] < high, name
    curve = first["analysis"]["curves"]["risk_coverage"]
    assert (curve["coverage"][-1], curve["risk"][-1]) == (1.0, pytest.approx(1 - metrics["accuracy"]))
    assert first["analysis"]["areas"]["risk_coverage"] == pytest.approx(metrics["aurc"])
    statistics = Statistics.from_dict(first["analysis"])
    assert statistics.scores is not None
    assert statistics.scores.scores[0].aurc == statistics.areas["risk_coverage"]
    areas = {"balanced_aurc": "balanced_risk_coverage", "worst_group_aurc": "worst_group_risk_coverage"}
    for name, area in areas.items():
        ends, value = statistics.intervals.figures[name], statistics.areas[area]
        assert ends is not None
        assert value is not None
        assert ends[0] < value < ends[1]
    assert None not in (statistics.calibration, statistics.shifted_priors, statistics.confusion)
    assert analysis(service, found["id"], "statistics")["ce", "many"] == first
    assert httpx.delete(f"{service.url}/uploads/{sent}").status_code == 204
    gone = analysis(service, found["id"], "statistics")["ce", "many"]
    assert (gone["state"], gone["error"]["code"]) == ("failed", "file-gone")
    assert service.get(f"/jobs/{found['id']}/report").status_code == 200


def test_experts_of_a_split_are_analysed_together(service: Service, workspace: Workspace) -> None:
    """An ensemble over all files of the split, and mean and deviation over their seeds; one expert has neither."""
    files = {f"ce_seed{seed}/many_logits.npz": good(workspace, seed=seed) for seed in (1, 2)}
    found = verify(service, upload=upload(service, {**files, "ce_seed1/val_logits.npz": good(workspace, "val")}))
    answer = httpx.get(f"{service.url}/jobs/{found['id']}/analysis?part=ensemble&wait=30", timeout=60).json()
    many, val = sorted(answer["results"], key=lambda entry: entry["split"])
    assert answer["complete"]
    assert (val["split"], val["state"], val["experts"]) == ("val", "none", ["ce_seed1"])
    assert (many["state"], many["experts"]) == ("ready", ["ce_seed1", "ce_seed2"])
    metrics = {(item["expert"], item["split"]): item["metrics"] for item in found["results"]}
    accuracies = [metrics[expert, "many"]["accuracy"] for expert in many["experts"]]
    ensemble = many["analysis"]
    assert [ensemble["single"][expert]["accuracy"] for expert in many["experts"]] == accuracies
    assert ensemble["oracle"]["overall"] >= max(accuracies)
    assert ensemble["rows"].keys() == {"overall", "head", "tail"}
    [seeds] = analysis(service, found["id"], "seeds").values()
    assert (seeds["expert"], seeds["split"], seeds["experts"]) == ("ce", "many", many["experts"])
    figure = seeds["analysis"]["figures"]["accuracy"]
    assert figure == {"mean": np.mean(accuracies), "deviation": pytest.approx(np.std(accuracies, ddof=1)), "n": 2}


def test_floors_warn_and_name_their_accuracy(service: Service, workspace: Workspace) -> None:
    """One that is missed is a warning with both numbers; another threshold makes other groups."""
    sent = upload(service, {"ce/many_logits.npz": good(workspace)})
    floors = {"balanced_accuracy": 0.99, "accuracy": 0.5}
    found = verify(service, upload=sent, floors=floors, head_threshold=60)
    assert found["verdict"] == "passed"
    missed = [check for check in found["results"][0]["checks"] if check["id"] == "floor"]
    assert [(check["verdict"], check["level"]) for check in missed] == [("failed", "warning"), ("passed", "warning")]
    assert "balanced accuracy" in missed[0]["message"]
    assert missed[0]["expected"] == {"at_least": 0.99}
    usual = verify(service, upload=sent)["results"][0]["metrics"]
    assert usual["head_accuracy"] != found["results"][0]["metrics"]["head_accuracy"]


@pytest.mark.parametrize(
    ("request_", "code", "fragment"),
    [
        ({"path": "nowhere"}, "path-missing", "nowhere"),
        ({"path": "../data"}, "invalid-name", "below"),
        ({"path": "own", "dataset": "unknown"}, "unknown-dataset", "tiny"),
        ({"path": "own", "splits_dir": "none"}, "splits-dir-missing", "none"),
        ({"path": "own", "split": "val"}, "names-of-many", "single file"),
        ({"upload": "0" * 32}, "upload-not-found", "POST /uploads"),
        ({"path": "own", "upload": "x"}, "invalid-value", "one of them"),
        ({}, "invalid-value", "one of them"),
        ({"path": "own", "floors": {"accuracy": 35}}, "invalid-value", "floors"),
        ({"path": "own", "floors": {"ece": 0.1}}, "invalid-value", "floors"),
        ({"path": "own", "head_threshold": -1}, "invalid-value", "head_threshold"),
    ],
)
def test_a_wrong_request_is_refused(
    service: Service, job: dict[str, Any], request_: dict[str, Any], code: str, fragment: str
) -> None:
    """Nothing is queued, and the problem says what would have been right."""
    answer = httpx.post(f"{service.url}/verifications", json={"dataset": "tiny", **request_})
    assert answer.status_code in (404, 422)
    assert answer.json()["errors"][0]["code"] == code
    assert fragment in answer.json()["detail"]


def test_a_single_file_takes_its_names_from_the_request(service: Service, workspace: Workspace) -> None:
    """Whatever the file is called, expert and split may be said; otherwise its own name has to say them."""
    sent = upload(service, {"some/cifar_test.npz": good(workspace)})
    refused = httpx.post(f"{service.url}/verifications", json={"dataset": "tiny", "upload": sent})
    assert (refused.status_code, refused.json()["code"]) == (422, "split-unclear")
    found = verify(service, upload=sent, split="many", expert="ce")
    assert [(r["expert"], r["split"], r["verdict"]) for r in found["results"]] == [("ce", "many", "passed")]
    one = verify(service, path="own/alpha/tunev_logits.npz")
    assert [(r["expert"], r["split"], r["verdict"]) for r in one["results"]] == [("alpha", "tunev", "passed")]


def test_a_verification_does_not_wait_for_a_long_job(service: Service, workspace: Workspace) -> None:
    """While an expert computes for seconds, files are verified beside it."""
    spec = CifarResNetSpec((5, 5, 5), (16, 32, 64), CLASSES)
    for number in range(3):
        workspace.save_expert(f"slow_{number}", number, spec)
    request = {"dataset": "tiny", "prefix": "slow_", "splits": ["many"], "reuse": False, "output_dir": "slow"}
    slow = httpx.post(f"{service.url}/jobs", json=request).json()["id"]
    wait_until(lambda: service.get(f"/jobs/{slow}").json()["state"] == "running", 30)
    assert verify(service, path="own")["verdict"] == "passed"
    assert service.get(f"/jobs/{slow}").json()["state"] == "running"
    httpx.post(f"{service.url}/jobs/{slow}/cancel")
