"""Somebody else's logits of a real expert: held against its checkpoint, moved, softmaxed, and of another mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import relogit
from tests.integration.workspace import Service, Workspace
from tests.realdata.location import REALDATA, needs_realdata

pytestmark = needs_realdata

TABLE = """
[{name}]
kind = "cifar100"
root = "."
splits = "splits"
experts = "cifar100"
mean = {mean}
std = {std}
"""
DATASETS = TABLE.format(name="right", mean=[0.5070, 0.4865, 0.4409], std=[0.2673, 0.2564, 0.2761]) + TABLE.format(
    name="near", mean=[0.5071, 0.4867, 0.4408], std=[0.2675, 0.2565, 0.2761]
)
"""As the README of the real data gives them, and the wrong ones that cost hardly any accuracy."""
EXPERT = "cifar100_resnet32"
CLASSES = 100
TRUE_NLL, NLL_OF_SOFTMAX = 1.33, 3.96


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The test images and the checkpoint linked into an installation, with a split over all images."""
    root = tmp_path_factory.mktemp("foreign")
    (root / "data" / "splits").mkdir(parents=True)
    (root / "data" / "datasets.toml").write_text(DATASETS)
    (root / "data" / "cifar-100-python").symlink_to((REALDATA / "cifar-100-python").resolve())
    (root / "checkpoints").symlink_to((REALDATA / "checkpoints").resolve())
    (root / "data" / "splits" / "all_indices.json").write_text(json.dumps(list(range(10_000))))
    return Workspace(root)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[relogit.Client]:
    with relogit.Client(service.url) as client:
        yield client


@pytest.fixture(scope="module")
def reference() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """[10000, 100] published logits, and their labels."""
    with np.load(REALDATA / "reference_logits" / "cifar100" / "cifar100_resnet32_test.npz") as arrays:
        return arrays["logits"], arrays["labels"]


def _verify(
    client: relogit.Client, folder: Path, logits: NDArray[Any] | torch.Tensor, **request: Any
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The only result of a bare tensor, and its checks."""
    (folder / EXPERT).mkdir()
    torch.save(torch.as_tensor(logits), folder / EXPERT / "all_logits.pt")
    verification = client.verify(folder, **{"dataset": "right", "checkpoint_prefix": "", **request}).wait()
    [result] = verification.results
    return result, {check["id"]: check for check in result["checks"]}


Reference = tuple[NDArray[np.float32], NDArray[np.int64]]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_published_logits_are_what_the_checkpoint_gives(
    client: relogit.Client, tmp_path: Path, reference: Reference, dtype: type[Any]
) -> None:
    """Somebody else's program and machine agree with a plain forward pass here, in either precision of the file."""
    result, checks = _verify(client, tmp_path, reference[0].astype(dtype), recompute=48)
    sample = checks["recomputed-sample"]
    assert (result["verdict"], sample["verdict"], sample["measured"]["rows"]) == ("passed", "passed", 48)
    assert sample["measured"]["argmax_differences"] == 0
    assert sample["measured"]["largest_difference"] < (1e-4 if dtype is np.float32 else 0.02)
    assert checks["raw-logits"]["verdict"] == "passed"


def test_a_tenth_of_the_rows_moved_within_their_classes_is_caught(
    client: relogit.Client, tmp_path: Path, reference: Reference
) -> None:
    """No figure changes, and nothing but computing rows anew can show it."""
    logits, labels = reference
    moved = logits.copy()
    for label in range(CLASSES):
        own = np.flatnonzero(labels == label)[:10]
        moved[own] = logits[np.roll(own, 1)]
    assert np.count_nonzero((moved != logits).any(axis=1)) == 1000
    (tmp_path / "blind").mkdir()
    (tmp_path / "seen").mkdir()
    blind, _ = _verify(client, tmp_path / "blind", moved)
    assert blind["verdict"] == "passed"
    result, checks = _verify(client, tmp_path / "seen", moved, recompute=96)
    sample = checks["recomputed-sample"]
    assert (result["verdict"], sample["verdict"]) == ("failed", "failed")
    assert 1 <= sample["measured"]["differing_rows"] <= 30
    wrong = np.flatnonzero((moved != logits).any(axis=1))
    assert {item["row"] for item in sample["evidence"]} <= set(wrong.tolist())


def test_a_mean_that_is_slightly_wrong_is_caught(
    client: relogit.Client, tmp_path: Path, reference: Reference
) -> None:
    """It costs two hundredths of a percent of accuracy; the message says what differences so small may come from."""
    _, checks = _verify(client, tmp_path, reference[0], dataset="near", recompute=32)
    sample = checks["recomputed-sample"]
    assert sample["verdict"] == "failed"
    assert sample["measured"]["largest_difference"] < 0.05
    assert "slightly other mean and std" in sample["message"]


def test_the_softmax_of_published_logits_is_named(
    client: relogit.Client, tmp_path: Path, reference: Reference
) -> None:
    """Its second softmax would have an NLL three times the true one: there is none, and the accuracy stays."""
    logits = torch.from_numpy(reference[0])
    probabilities = logits.softmax(dim=1)
    labels = torch.from_numpy(reference[1])
    assert float(torch.nn.functional.cross_entropy(probabilities, labels)) == pytest.approx(NLL_OF_SOFTMAX, abs=0.005)
    for dtype in (torch.float32, torch.float16):
        (tmp_path / str(dtype)).mkdir()
        result, checks = _verify(client, tmp_path / str(dtype), probabilities.to(dtype))
        assert checks["raw-logits"]["measured"]["scale"] == "probabilities"
        assert result["metrics"]["nll"] is result["metrics"]["aurc"] is None
        assert round(result["metrics"]["accuracy"] * 100, 2) == 70.16


def test_published_log_probabilities_keep_their_likelihood(
    client: relogit.Client, tmp_path: Path, reference: Reference
) -> None:
    """The file is named for what it is, and its NLL is that of the logits."""
    result, checks = _verify(client, tmp_path, torch.from_numpy(reference[0]).log_softmax(dim=1))
    assert checks["raw-logits"]["measured"]["scale"] == "log-probabilities"
    assert result["metrics"]["nll"] == pytest.approx(TRUE_NLL, abs=0.005)
