"""Each engine on real weights and real images, against logits that somebody else computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.settings import Settings
from tests.realdata.location import REALDATA, needs_realdata
from worker.compute.engines.choice import EngineName, make_engine
from worker.compute.engines.engine import Setup
from worker.compute.inference import forward_rows
from worker.datasets.pools import Pools
from worker.device import cores
from worker.experts.loading import load_expert

pytestmark = needs_realdata

DATASET = Dataset(
    kind="cifar100",
    root=".",
    splits="splits",
    experts="cifar100",
    mean=(0.5070, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2761),
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "batch"), [("torch", 64), ("openvino", 8)])
def test_fp32_agrees_with_the_reference(name: EngineName, batch: int, count: int) -> None:
    """Within 1e-4 of the reference logits and in every argmax, on a thousand images and on all of them."""
    if name == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is an extra that is not installed")
    expert = "cifar100_resnet32"
    network = load_expert(REALDATA / "checkpoints" / "cifar100" / f"{expert}.pth").network
    images = Pools(Catalog(Settings(data_dir=REALDATA, _env_file=None)).bases).get(DATASET, "test").images
    setup = Setup(DATASET.transform(expert), (32, 32, 3), batch, "fp32", torch.device("cpu"), cores())
    parts = forward_rows(make_engine(name, network, setup), images, np.arange(count), 100)
    logits = np.concatenate([part for _, part in parts])
    reference = np.load(REALDATA / "reference_logits" / "cifar100" / f"{expert}_test.npz")["logits"]
    assert len(images) == len(reference) == 10_000
    reference = reference[:count]
    assert len(logits) == count
    assert np.abs(logits - reference).max() <= 1e-4
    np.testing.assert_array_equal(logits.argmax(1), reference.argmax(1))
