"""What only a GPU can show: exact float32, the same bits every way, and memory that really runs out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.domain.numerics import SHAPES
from app.domain.requests import Precision
from tests.fake_expert import RAW
from worker.compute.engines.choice import make_engine, precisions
from worker.compute.engines.engine import NoMemory, Setup
from worker.compute.inference import forward_rows
from worker.device import choose_device, prepare
from worker.experts.architectures import CifarResNetSpec

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

IMAGES = np.random.default_rng(0).integers(0, 256, (600, 32, 32, 3), dtype=np.uint8)
IN_ORDER = np.arange(600)
CPU = torch.device("cpu")


@pytest.fixture
def device() -> torch.device:
    device = choose_device("auto", 0)
    assert device.type == "cuda"
    prepare(device, workers=1)
    return device


def _logits(
    device: torch.device, batch: int, precision: Precision = "fp32", order: NDArray[np.int64] = IN_ORDER
) -> NDArray[np.float32]:
    """[600, 100] float32: row n is that of image n, in whatever order they were computed."""
    torch.manual_seed(0)
    network = CifarResNetSpec((5, 5, 5), (16, 32, 64), 100).build().eval()
    setup = Setup(RAW, (32, 32, 3), batch, precision, device, threads=2)
    out = np.full((len(IMAGES), 100), np.nan, np.float32)
    for rows, logits in forward_rows(make_engine("torch", network, setup), IMAGES, order, 100):
        out[rows] = logits
    return out


def test_cuda_agrees_with_the_cpu(device: torch.device) -> None:
    """Within 1e-4 of the CPU's float32 on every row: TF32, off by 1e-2, would not be."""
    np.testing.assert_allclose(_logits(device, 256), _logits(CPU, 64), atol=1e-4, rtol=0)


@pytest.mark.parametrize("batch", SHAPES["cuda"])
def test_a_rows_bits_do_not_depend_on_its_place(device: torch.device, batch: int) -> None:
    """At each physical batch, a row is bitwise the same in any order and beside any neighbours."""
    shuffled = np.random.default_rng(1).permutation(600)
    np.testing.assert_array_equal(_logits(device, batch), _logits(device, batch, order=shuffled))


def test_other_precisions_are_near(device: torch.device) -> None:
    """TF32, bf16 and fp16 differ from fp32, but little; what is offered runs."""
    exact = _logits(device, 256)
    for precision in precisions("torch", device):
        found = _logits(device, 256, precision)
        assert (found == exact).all() == (precision == "fp32")
        np.testing.assert_allclose(found, exact, atol=0.2, rtol=0.1)


def test_memory_that_runs_out_is_told(device: torch.device) -> None:
    """With most of the device taken, a batch that cannot fit is NoMemory, and a smaller one still runs."""
    expected = _logits(device, 16)
    free, _ = torch.cuda.mem_get_info(device)
    hog = torch.empty(free - 150 * 2**20, dtype=torch.uint8, device=device)
    try:
        with pytest.raises(NoMemory):
            _logits(device, 608)
        torch.cuda.empty_cache()
        np.testing.assert_array_equal(_logits(device, 16), expected)
    finally:
        del hog
        torch.cuda.empty_cache()
