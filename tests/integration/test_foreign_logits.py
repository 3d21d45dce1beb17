"""Other people's logits through the real service: rows computed anew, targets files, manifests, probabilities."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import relogit
from tests.integration.verifying import analysis, checks_of, failed, indices, npz, torch_bytes, upload, verify
from tests.integration.workspace import Service, Workspace, build, running

SPLIT = "many"
SAMPLE = "recomputed-sample"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two experts that know their classes, and a split of 200 images in the order of the classes."""
    workspace = build(tmp_path_factory.mktemp("foreign"))
    workspace.save_images("test", 400)
    chosen = np.random.default_rng(0).permutation(400)[:200]
    labels = workspace.images("test")[1]
    workspace.save_split(SPLIT, chosen[np.argsort(labels[chosen], kind="stable")].tolist())
    return workspace


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service


@pytest.fixture(scope="module")
def job(service: Service) -> dict[str, Any]:
    """Both experts' logits for two splits, in the outputs under `own`."""
    request = {"dataset": "tiny", "splits": [SPLIT, "val"], "output_dir": "own"}
    seen: dict[str, Any] = httpx.post(f"{service.url}/jobs", json=request).json()
    while seen["state"] in ("queued", "running"):
        seen = service.get(f"/jobs/{seen['id']}?wait=20").json()
    assert seen["state"] == "succeeded", seen
    return seen


@pytest.fixture(scope="module")
def logits(workspace: Workspace, job: dict[str, Any]) -> NDArray[np.float32]:
    """Those of `alpha` for the split, as the job wrote them."""
    with np.load(workspace.root / "outputs" / "own" / "alpha" / f"{SPLIT}_logits.npz") as arrays:
        raw: NDArray[np.float32] = arrays["logits"]
    return raw


def _labels(workspace: Workspace) -> NDArray[np.int64]:
    return workspace.images("test")[1][indices(workspace, SPLIT)]


def _moved(logits: NDArray[np.float32], labels: NDArray[np.int64], rows: int) -> NDArray[np.float32]:
    """With so many rows of one class in the place of each other."""
    own = np.flatnonzero(labels == 1)[:rows]
    moved = logits.copy()
    moved[own] = logits[np.roll(own, 1)]
    return moved


def _whole(found: dict[str, Any], check_id: str) -> list[dict[str, Any]]:
    return [check for check in found["checks"] if check["id"] == check_id]


def test_a_jobs_own_results_are_what_their_checkpoints_give(service: Service, job: dict[str, Any]) -> None:
    """By the manifests' checkpoints; the plainest forward pass agrees with the engine that computed them."""
    found = verify(service, path="own", recompute=40)
    assert found["verdict"] == "passed"
    for expert in ("alpha", "beta"):
        check = checks_of(found, expert, SPLIT)[SAMPLE]
        assert (check["verdict"], check["measured"]["rows"]) == ("passed", 40)
        assert check["measured"]["checkpoint"] == f"best_{expert}.pth"
    assert checks_of(found, "alpha", "val")[SAMPLE]["measured"]["rows"] == 10
    assert [check["verdict"] for check in _whole(found, "provenance")] == ["passed"]


def test_rows_moved_within_a_class_pass_unless_they_are_computed_anew(
    service: Service, workspace: Workspace, logits: NDArray[np.float32]
) -> None:
    """A tenth of the rows, in a bare file: the verdict says that it would not be noticed, and a sample notices it."""
    bad = _moved(logits, _labels(workspace), 20)
    files = {
        "alpha/many_logits.pt": torch_bytes(torch.from_numpy(logits)),
        "beta/many_logits.npz": npz(bad, _labels(workspace)),
    }
    sent = upload(service, files)
    blind = verify(service, upload=sent)
    assert blind["verdict"] == "passed"
    [provenance] = _whole(blind, "provenance")
    assert (provenance["verdict"], provenance["level"]) == ("skipped", "warning")
    assert "alpha / many, beta / many" in provenance["message"]
    assert SAMPLE not in checks_of(blind, "alpha")
    (workspace.experts / "best_beta.pth").rename(workspace.experts / "kept.pth")
    (workspace.experts / "best_beta.pth").write_bytes((workspace.experts / "best_alpha.pth").read_bytes())
    try:
        found = verify(service, upload=sent, recompute=200)
    finally:
        (workspace.experts / "kept.pth").replace(workspace.experts / "best_beta.pth")
    assert found["verdict"] == "failed"
    assert failed(found, "alpha") == set()
    assert failed(found, "beta") == {SAMPLE}
    check = checks_of(found, "beta")[SAMPLE]
    assert check["measured"]["differing_rows"] == 20
    assert check["evidence"][0]["row"] in np.flatnonzero(_labels(workspace) == 1)[:20]
    assert [check["verdict"] for check in _whole(found, "provenance")] == ["passed"]


def test_calibrated_logits_in_half_precision_pass(service: Service, logits: NDArray[np.float32]) -> None:
    """As old scripts left them: divided by the checkpoint's temperature, in float16, without a manifest."""
    body = torch_bytes(torch.from_numpy(logits / np.float32(2)).half())
    found = verify(service, upload=upload(service, {"alpha/many_logits.pt": body}), recompute=30)
    check = checks_of(found, "alpha")[SAMPLE]
    assert (check["verdict"], check["measured"]["divided_by"]) == ("passed", 2.0)
    assert "divided by the stored temperature 2" in check["message"]


def test_the_checkpoint_may_be_named(service: Service, workspace: Workspace, logits: NDArray[np.float32]) -> None:
    """An expert without a checkpoint of its name is skipped, and stays of unknown origin; not so with one."""
    sent = upload(service, {"mine/many_logits.pt": torch_bytes(torch.from_numpy(logits))})
    found = verify(service, upload=sent, recompute=10)
    check = checks_of(found, "mine")[SAMPLE]
    assert (found["verdict"], check["verdict"], check["level"]) == ("passed", "skipped", "error")
    assert "no expert 'mine'" in check["message"]
    assert [check["verdict"] for check in _whole(found, "provenance")] == ["skipped"]
    folder = workspace.root / "checkpoints" / "elsewhere"
    folder.mkdir()
    (folder / "final_mine.pth").write_bytes((workspace.experts / "best_alpha.pth").read_bytes())
    found = verify(service, upload=sent, recompute=10, checkpoint_prefix="final_", experts_dir="elsewhere")
    assert checks_of(found, "mine")[SAMPLE]["verdict"] == "passed"


@pytest.mark.parametrize(
    ("request_", "fragment"),
    [
        ({"recompute": -1}, "recompute"),
        ({"recompute": 1.5}, "recompute"),
        ({"recompute": True}, "recompute"),
        ({"recompute": 5, "experts_dir": "nowhere"}, "nowhere"),
        ({"recompute": 5, "checkpoint_prefix": "../"}, "checkpoint_prefix"),
    ],
)
def test_a_wrong_sample_is_refused(
    service: Service, job: dict[str, Any], request_: dict[str, Any], fragment: str
) -> None:
    """Nothing is queued, and the problem names the field or the folder."""
    answer = httpx.post(f"{service.url}/verifications", json={"dataset": "tiny", "path": "own", **request_})
    assert answer.status_code == 422
    assert fragment in answer.text


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "uploaded"])
def test_targets_beside_a_bare_tensor_show_that_rows_are_permuted(
    service: Service, workspace: Workspace, logits: NDArray[np.float32], tmp_path: Path, in_place: bool
) -> None:
    """Through the client: found beside the tensor, recorded, and causes are looked for in the targets themselves."""
    folder = (workspace.root / "outputs" if in_place else tmp_path) / "old"
    labels = _labels(workspace)
    for expert, order in (("right", slice(None)), ("reversed", slice(None, None, -1))):
        (folder / expert).mkdir(parents=True)
        torch.save(torch.from_numpy(logits[order].copy()).half(), folder / expert / f"{SPLIT}_logits.pt")
        torch.save(torch.from_numpy(labels[order].copy()).to(torch.uint8), folder / expert / f"{SPLIT}_labels.pt")
    torch.save(torch.zeros(3), folder / "right" / "val_targets.pt")
    with relogit.Client(service.url) as client:
        verification = client.verify(folder, dataset="tiny").wait()
    found = verification.data
    assert (found["request"]["upload"] is None) == in_place
    assert verification.others == ("right/val_targets.pt",)
    results = {result["expert"]: result for result in found["results"]}
    assert results["right"]["targets_file"]["name"] == f"right/{SPLIT}_labels.pt"
    assert checks_of(found, "right")["targets"]["message"].startswith("Every target")
    assert failed(found, "right") == set()
    assert failed(found, "reversed") == {"targets"}
    causes = analysis(service, found["id"], "causes")["reversed", SPLIT]["analysis"]
    assert (causes["found"]["order"], causes["found"]["accuracy"]) == ("reversed", 1.0)
    assert causes["message"].startswith("Of the file's own targets: ")
    if in_place:
        torch.save(torch.zeros(1), folder / "reversed" / f"{SPLIT}_labels.pt")
        changed = analysis(service, found["id"], "causes")["reversed", SPLIT]
        assert changed["error"]["code"] == "file-changed"


def test_splits_of_an_expert_that_were_made_differently_fail(
    service: Service, workspace: Workspace, job: dict[str, Any]
) -> None:
    """Two right jobs into one folder, one of them calibrated: each file passes, together they do not."""
    request = {"dataset": "tiny", "experts": ["alpha"], "output_dir": "mixed"}
    for more in ({"splits": [SPLIT]}, {"splits": ["val"], "calibration": "checkpoint"}):
        seen = httpx.post(f"{service.url}/jobs", json=request | more).json()
        while seen["state"] in ("queued", "running"):
            seen = service.get(f"/jobs/{seen['id']}?wait=20").json()
        assert seen["state"] == "succeeded", seen
    found = verify(service, path="mixed", recompute=5)
    assert {result["verdict"] for result in found["results"]} == {"passed"}
    assert found["verdict"] == "failed"
    [check] = _whole(found, "manifest-transform")
    assert check["level"] == "error"
    assert check["measured"]["differing"]["calibration"] == [
        {"value": {"mode": "none", "divided_by": None}, "splits": [SPLIT]},
        {"value": {"mode": "checkpoint", "divided_by": 2.0}, "splits": ["val"]},
    ]
    assert checks_of(found, "alpha", "val")[SAMPLE]["measured"]["divided_by"] == 2.0
    alike = _whole(verify(service, path="own"), "manifest-transform")
    assert {check["verdict"] for check in alike} == {"passed"}
    assert [check["level"] for check in alike] == ["error", "error", "warning", "warning"]


def test_probabilities_have_no_likelihood_anywhere(
    service: Service, workspace: Workspace, logits: NDArray[np.float32]
) -> None:
    """Neither in the figures, nor in intervals and curves, nor on the page; log-probabilities keep all of it."""
    raw = torch.from_numpy(logits)
    files = {
        "shares/many_logits.pt": torch_bytes(raw.softmax(1).half()),
        "logs/many_logits.pt": torch_bytes(raw.log_softmax(1)),
        "raw/many_logits.pt": torch_bytes(raw),
    }
    found = verify(service, upload=upload(service, files))
    assert found["verdict"] == "passed"
    metrics = {result["expert"]: result["metrics"] for result in found["results"]}
    scales = {expert: checks_of(found, expert)["raw-logits"] for expert in metrics}
    assert {expert: check["verdict"] for expert, check in scales.items()} == {
        "shares": "failed", "logs": "failed", "raw": "passed"
    }  # fmt: skip
    assert metrics["shares"]["nll"] is metrics["shares"]["aurc"] is None
    assert "probabilities" in metrics["shares"]["reasons"]["nll"]
    assert metrics["logs"]["nll"] == pytest.approx(metrics["raw"]["nll"], rel=1e-4)
    assert metrics["shares"]["accuracy"] == metrics["raw"]["accuracy"]
    statistics = analysis(service, found["id"], "statistics")
    shares = statistics["shares", SPLIT]["analysis"]
    assert shares["reliability"] is None
    assert set(shares["curves"].values()) == {None}
    assert shares["intervals"]["figures"]["nll"] is None
    raw_interval = statistics["raw", SPLIT]["analysis"]["intervals"]["figures"]["accuracy"]
    assert shares["intervals"]["figures"]["accuracy"] == pytest.approx(raw_interval, abs=0.02)  # other resamples
    assert statistics["logs", SPLIT]["analysis"]["reliability"] is not None
    page = service.get(f"/jobs/{found['id']}/report").text
    assert "Reliability, raw, many" in page
    assert "Reliability, shares, many" not in page
    assert json.dumps(metrics["shares"]["reasons"]["nll"])[1:20] in page
