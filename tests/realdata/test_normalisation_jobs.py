"""Real experts under a wrong mean and std: refused, and right once datasets.toml says what they testify to."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import torch

import relogit
from tests.integration.workspace import Service, Workspace
from tests.realdata.location import REALDATA, needs_realdata
from worker.experts.checkpoints import read_checkpoint

pytestmark = [needs_realdata, pytest.mark.timeout(300)]

CIFAR = "mean = [0.5071, 0.4867, 0.4408]\nstd = [0.2675, 0.2565, 0.2761]\n"
IMAGENET = "mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n"
HEAD = '[{name}]\nkind = "cifar100"\nroot = "."\nsplits = "splits"\nexperts = "cifar100_lt"\n'
EXPERT = "expert_head_best"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three declarations of the same experts: the shipped default, the same acknowledged, and the right one."""
    root = tmp_path_factory.mktemp("real")
    (root / "data" / "splits").mkdir(parents=True)
    wrong, known, right = (HEAD.format(name=name) for name in ("wrong", "known", "right"))
    acknowledged = f"[known.overrides.{EXPERT}]\nnormalisation_acknowledged = true\n"
    text = f'{wrong}{CIFAR}{known}{CIFAR}{acknowledged}{right}{CIFAR}[right.overrides."*_best"]\n{IMAGENET}'
    (root / "data" / "datasets.toml").write_text(text)
    (root / "data" / "cifar-100-python").symlink_to((REALDATA / "cifar-100-python").resolve())
    (root / "checkpoints").symlink_to((REALDATA / "checkpoints").resolve())
    (root / "data" / "splits" / "few_indices.json").write_text(json.dumps(list(range(0, 10_000, 50))))
    return Workspace(root)


def run(service: Service, dataset: str) -> dict[str, Any]:
    with relogit.Client(service.url) as client:
        names = {"checkpoint_prefix": "", "experts": [EXPERT], "splits": ["few"], "output_dir": dataset}
        job = client.submit(dataset=dataset, **names)  # type: ignore[arg-type]
        job.wait(timeout=240)
        return {"job": job.data, "verification": job.verification()}


def check(found: dict[str, Any], check_id: str) -> dict[str, Any]:
    [result] = found["verification"]["results"]
    [one] = [one for one in result["checks"] if one["id"] == check_id]
    return dict(one)


@pytest.mark.slow
def test_the_shipped_default_is_no_trap(service: Service) -> None:
    """CIFAR's constants for experts trained with ImageNet's: no file is written, and the next job is refused."""
    found = run(service, "wrong")
    [unit] = found["job"]["units"]
    assert (unit["state"], unit["error"]["code"]) == ("failed", "normalisation-contradicted")
    assert f"[wrong.overrides.{EXPERT}]; mean = [0.485, 0.456, 0.406]" in unit["error"]["message"]
    body = {"dataset": "wrong", "prefix": "", "experts": [EXPERT], "splits": ["few"]}
    refused = httpx.post(service.url + "/jobs", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "normalisation-contradicted")
    plan = httpx.post(service.url + "/jobs/plan", json=body, timeout=60).json()
    assert [problem["code"] for problem in plan["problems"]] == ["normalisation-contradicted"]
    assert plan["normalisation"][EXPERT]["best"]["name"] == "ImageNet"
    shown = service.get(f"/experts/{EXPERT}?dataset=wrong&prefix=").json()
    assert shown["normalisation"]["verdict"] == "contradicted"
    assert shown["proposal"][1:] == IMAGENET.splitlines()


def test_an_owner_may_know_better(service: Service, workspace: Workspace) -> None:
    """Acknowledged, the job runs, and the contradiction stands with its result, in the manifest too."""
    found = run(service, "known")
    assert found["job"]["state"] == "succeeded"
    assert (check(found, "normalisation")["level"], check(found, "normalisation")["verdict"]) == ("warning", "failed")
    manifest = json.loads((workspace.root / "outputs" / "known" / EXPERT / "few_logits.json").read_text())
    assert {entry["id"]: entry["verdict"] for entry in manifest["open"]}["normalisation"] == "failed"


def test_the_right_declaration_is_supported(service: Service, workspace: Workspace) -> None:
    """With ImageNet's constants the statistics support it, labels say RGB, and a plain forward pass agrees."""
    found = run(service, "right")
    assert found["job"]["state"] == "succeeded"
    assert check(found, "normalisation")["verdict"] == "passed"
    assert check(found, "channel-order")["measured"]["order"] == "rgb"
    assert check(found, "plain-forward")["measured"]["largest_difference"] < 1e-4
    manifest = json.loads((workspace.root / "outputs" / "right" / EXPERT / "few_logits.json").read_text())
    assert manifest["rows"]["plain_forward"]["rows"] >= 2


def test_a_negative_variance_of_a_real_expert_is_refused(tmp_path: Any) -> None:
    """One sign in one batch norm made every forward pass NaN, and OpenVINO hid it."""
    path = REALDATA / "checkpoints" / "cifar100_lt" / "expert_balanced_best.pt"
    tensors = torch.load(path, weights_only=True, map_location="cpu")["model"]
    name = next(name for name in tensors if name.endswith("layer1.2.bn1.running_var"))
    tensors[name][7] *= -1
    torch.save(tensors, tmp_path / "broken.pt")
    with pytest.raises(Exception, match=r"layer1\.2\.bn1\.running_var") as caught:
        read_checkpoint(tmp_path / "broken.pt")
    assert caught.value.code == "checkpoint-variance"  # type: ignore[attr-defined]
