"""Paired comparisons of real experts: published logits, a normalisation, a temperature, and the test's power."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

import relogit
from tests.integration.workspace import Service, Workspace
from tests.realdata.location import REALDATA, needs_realdata
from worker.compare.mcnemar import mcnemar

pytestmark = [needs_realdata, pytest.mark.slow, pytest.mark.timeout(600)]

EXPERT = "cifar100_resnet32"
TEMPERATURE = 1.37
PUBLISHED = "mean = [0.5070, 0.4865, 0.4409]\nstd = [0.2673, 0.2564, 0.2761]\n"
OTHER = "mean = [0.5071, 0.4867, 0.4408]\nstd = [0.2675, 0.2565, 0.2761]\n"
HEAD = '[{name}]\nkind = "cifar100"\nroot = "."\nsplits = "splits"\nexperts = "{experts}"\n'
LONG_TAILED = "mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n"
DRAWS, ROWS = 2000, 1000


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The published expert under its own normalisation and another rounding of it, and the long-tailed experts."""
    root = tmp_path_factory.mktemp("compared")
    (root / "data" / "splits").mkdir(parents=True)
    parts = [("published", "cifar100", PUBLISHED), ("other", "cifar100", OTHER), ("lt", "cifar100_lt", LONG_TAILED)]
    tables = [HEAD.format(name=name, experts=experts) + numbers for name, experts, numbers in parts]
    (root / "data" / "datasets.toml").write_text("".join(tables))
    (root / "data" / "cifar-100-python").symlink_to((REALDATA / "cifar-100-python").resolve())
    (root / "data" / "splits" / "all_indices.json").write_text(json.dumps(list(range(10_000))))
    checkpoints = root / "checkpoints"
    (checkpoints / "cifar100").mkdir(parents=True)
    (checkpoints / "cifar100_lt").symlink_to((REALDATA / "checkpoints" / "cifar100_lt").resolve())
    path = REALDATA / "checkpoints" / "cifar100" / f"{EXPERT}.pth"
    content = {"model": torch.load(path, weights_only=True), "temperature": torch.tensor(TEMPERATURE)}
    torch.save(content, checkpoints / "cifar100" / f"{EXPERT}.pth")
    return Workspace(root)


@pytest.fixture(scope="module")
def client(service: Service) -> Any:
    with relogit.Client(service.url) as client:
        yield client


def recomputed(client: relogit.Client, dataset: str, experts: list[str], **options: Any) -> str:
    """Id of a job over all test images."""
    folder = f"{dataset}-{options.get('calibration', 'none')}"
    job = client.submit(
        dataset=dataset, experts=experts, checkpoint_prefix="", splits=["all"], output_dir=folder, **options
    )
    job.wait(timeout=500)
    assert job.state == "succeeded", job.data
    return str(job.id)


@pytest.fixture(scope="module")
def raw(client: relogit.Client) -> str:
    return recomputed(client, "published", [EXPERT])


@pytest.fixture(scope="module")
def reference(client: relogit.Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Id of the verification of logits that somebody else published, without a manifest."""
    with np.load(REALDATA / "reference_logits" / "cifar100" / f"{EXPERT}_test.npz") as arrays:
        logits, labels = arrays["logits"], arrays["labels"]
    body = io.BytesIO()
    np.savez(body, logits=logits, targets=labels.astype(np.int64), predictions=logits.argmax(1))
    folder = tmp_path_factory.mktemp("reference")
    (folder / EXPERT).mkdir()
    (folder / EXPERT / "all_logits.npz").write_bytes(body.getvalue())
    return str(client.verify(folder, dataset="published").wait().id)


def only_pair(client: relogit.Client, a: str, b: str) -> dict[str, Any]:
    [pair] = client.compare(a, b).wait(timeout=300).pairs
    return pair


def test_a_job_differs_from_the_published_logits_by_precision_only(
    client: relogit.Client, raw: str, reference: str
) -> None:
    """Less than 1e-4, and no prediction flips."""
    pair = only_pair(client, raw, reference)
    assert pair["cause"]["kind"] == "precision"
    assert pair["logits"]["largest"] < 1e-4
    assert pair["flips"][0]["flips"] == 0
    assert pair["mcnemar"]["p"] == 1.0


def test_the_other_normalisation_is_named_as_the_cause(client: relogit.Client, raw: str, reference: str) -> None:
    """Against the published logits by computing rows anew; against a job by what the manifests state."""
    other = recomputed(client, "other", [EXPERT])
    pair = only_pair(client, other, reference)
    assert 0.01 < pair["logits"]["largest"] < 0.1
    assert (pair["cause"]["kind"], pair["cause"]["proof"]) == ("other-normalisation", "recomputed")
    assert pair["cause"]["value"] == "mean 0.507 0.4865 0.4409, std 0.2673 0.2564 0.2761"
    pair = only_pair(client, other, raw)
    assert (pair["cause"]["kind"], pair["cause"]["proof"]) == ("other-normalisation", "manifests")


def test_a_calibrated_job_differs_from_a_raw_one_by_its_temperature(client: relogit.Client, raw: str) -> None:
    """With the checkpoint's own value, found from the logits alone."""
    calibrated = recomputed(client, "published", [EXPERT], calibration="checkpoint")
    pair = only_pair(client, raw, calibrated)
    assert pair["cause"]["kind"] == "temperature"
    assert float(pair["cause"]["value"]) == pytest.approx(TEMPERATURE, rel=1e-5)
    assert pair["flips"][0]["flips"] == 0


def test_pairing_finds_a_difference_that_two_samples_do_not(
    client: relogit.Client, service: Service, workspace: Workspace
) -> None:
    """Cross-entropy against balanced softmax over 1,000 of the test rows: McNemar finds it three times as often.

    The unpaired test is that of two proportions, as on two separate samples of 1,000; both at 5 %.
    """
    experts = ["expert_head_best", "expert_balanced_best"]
    job = recomputed(client, "lt", experts)
    right = []
    for expert in experts:
        with np.load(workspace.root / "outputs" / "lt-none" / expert / "all_logits.npz") as arrays:
            right.append(arrays["logits"].argmax(axis=1) == arrays["targets"])
    random = np.random.default_rng(0)
    paired = unpaired = 0
    for _ in range(DRAWS):
        rows = random.choice(10_000, ROWS, replace=False)
        a, b = right[0][rows], right[1][rows]
        paired += mcnemar(a, b).p < 0.05
        shared = (a.mean() + b.mean()) / 2
        z = abs(a.mean() - b.mean()) / np.sqrt(2 * shared * (1 - shared) / ROWS)
        unpaired += 2 * norm.sf(z) < 0.05
    print(f"found in {unpaired / DRAWS:.1%} of the draws unpaired, in {paired / DRAWS:.1%} by McNemar")
    assert paired / DRAWS > 0.5
    assert unpaired / DRAWS < 0.35
    pair = only_pair(client, f"{job}:{experts[0]}", f"{job}:{experts[1]}")
    assert pair["mcnemar"]["p"] < 1e-6
    assert (pair["cause"]["kind"], pair["cause"]["proof"]) == ("other-weights", "manifests")
    print(json.dumps({name: pair[name] for name in ("mcnemar", "figures", "flips", "cause")}, indent=1))
