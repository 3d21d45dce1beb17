"""The main job on real images and real weights, against logits that somebody else computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relogit
from app.catalog.catalog import Catalog
from app.settings import Settings
from tests.integration.workspace import Service, Workspace
from tests.realdata.location import REALDATA, needs_realdata
from worker.datasets.pools import Pools
from worker.torchvision_import import import_torchvision

pytestmark = needs_realdata

# Means and standard deviations as the README of the real data gives them.
DATASETS = """
[cifar100_plain]
kind = "cifar100"
root = "."
splits = "splits"
experts = "cifar100"
mean = [0.5070, 0.4865, 0.4409]
std = [0.2673, 0.2564, 0.2761]

[cifar100_lt]
kind = "cifar100"
root = "."
splits = "splits"
experts = "cifar100_lt"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The real data linked into an installation, with splits over the whole test set."""
    root = tmp_path_factory.mktemp("real")
    (root / "data" / "splits").mkdir(parents=True)
    (root / "data" / "datasets.toml").write_text(DATASETS)
    (root / "data" / "cifar-100-python").symlink_to((REALDATA / "cifar-100-python").resolve())
    (root / "checkpoints").symlink_to((REALDATA / "checkpoints").resolve())
    backwards = list(range(9999, -1, -1))
    (root / "data" / "splits" / "all_indices.json").write_text(json.dumps(list(range(10_000))))
    (root / "data" / "splits" / "backwards_indices.json").write_text(json.dumps(backwards))
    return Workspace(root)


def _run(service: Service, dataset: str, prefix: str, splits: list[str]) -> dict[str, Any]:
    with relogit.Client(service.url) as client:
        job = client.submit(dataset=dataset, checkpoint_prefix=prefix, splits=splits, output_dir=dataset)
        job.wait(timeout=600)
        assert job.state == "succeeded", job.data
        return job.data


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_logits_agree_with_the_reference(service: Service, workspace: Workspace) -> None:
    """Within 1e-4 and in every argmax on all 10,000 images, 70.16 %; another order moves no bit of a row."""
    _run(service, "cifar100_plain", "", ["all", "backwards"])
    folder = workspace.root / "outputs" / "cifar100_plain" / "cifar100_resnet32"
    reference = np.load(REALDATA / "reference_logits" / "cifar100" / "cifar100_resnet32_test.npz")
    with np.load(folder / "all_logits.npz") as arrays:
        logits = arrays["logits"]
        assert np.abs(logits - reference["logits"]).max() < 1e-4
        np.testing.assert_array_equal(arrays["predictions"], reference["logits"].argmax(1))
        np.testing.assert_array_equal(arrays["targets"], reference["labels"])
        assert round(100 * (arrays["predictions"] == arrays["targets"]).mean(), 2) == 70.16
    with np.load(folder / "backwards_logits.npz") as arrays:
        np.testing.assert_array_equal(arrays["logits"], logits[::-1])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_long_tailed_experts_have_their_published_accuracies(service: Service) -> None:
    """39.43, 35.04 and 42.66 % on the whole test set, as the job itself shows them."""
    job = _run(service, "cifar100_lt", "expert_", ["all"])
    shown = {unit["expert"]: round(100 * unit["accuracy"], 2) for unit in job["units"]}
    assert shown == {"head_best": 39.43, "tail_best": 35.04, "balanced_best": 42.66}


def test_images_are_those_of_torchvision(workspace: Workspace) -> None:
    """Same pixels, same labels, same order as torchvision.datasets.CIFAR100."""
    torchvision = import_torchvision()

    class TestOnly(torchvision.datasets.CIFAR100):  # type: ignore[misc, name-defined]  # no types there
        train_list: list[list[str]] = []  # noqa: RUF012 — torchvision asks for train even when only test is read

    theirs = TestOnly(workspace.root / "data", train=False)
    catalog = Catalog(Settings(data_dir=workspace.root / "data", _env_file=None))
    ours = Pools(catalog.bases).get(catalog.dataset("cifar100_plain"), "test")
    np.testing.assert_array_equal(ours.images, theirs.data)
    assert ours.labels.tolist() == theirs.targets


def test_train_is_not_asked_for(workspace: Workspace) -> None:
    """Only the base that a split points into has to be there."""
    assert not Path(workspace.root / "data" / "cifar-100-python" / "train").exists()
    catalog = Catalog(Settings(data_dir=workspace.root / "data", _env_file=None))
    assert catalog.bases.size(catalog.dataset("cifar100_plain"), "test") == 10_000
