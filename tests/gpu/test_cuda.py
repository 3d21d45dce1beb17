"""What only a GPU can show: exact float32, and memory that really runs out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.fake_expert import RAW
from worker.device import choose_device, prepare
from worker.infer import Batching, Pass, forward_rows
from worker.networks import CifarResNetSpec

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

IMAGES = np.random.default_rng(0).integers(0, 256, (600, 32, 32, 3), dtype=np.uint8)


def _logits(device: torch.device, batching: Batching) -> np.ndarray:
    torch.manual_seed(0)
    network = CifarResNetSpec((5, 5, 5), (16, 32, 64), 100).build().eval()
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows = np.arange(len(IMAGES))
    forward = Pass(network, RAW, 100, device)
    return np.concatenate([logits for _, logits in forward_rows(forward, IMAGES, rows, batching)])


def test_cuda_agrees_with_the_cpu() -> None:
    """Within 1e-4 of the CPU's float32 on every row: TF32, off by 1e-2, would not be."""
    device = choose_device("auto", 0)
    assert device.type == "cuda"
    prepare(device, workers=1)
    on_gpu = _logits(device, Batching(256))
    np.testing.assert_allclose(on_gpu, _logits(torch.device("cpu"), Batching(64)), atol=1e-4, rtol=0)


def test_memory_that_runs_out_halves_the_batch() -> None:
    """With most of the device taken, a batch that cannot fit is halved until it does."""
    device = choose_device("cuda", 0)
    prepare(device, workers=1)
    expected = _logits(device, Batching(64))
    free, _ = torch.cuda.mem_get_info(device)
    hog = torch.empty(free - 150 * 2**20, dtype=torch.uint8, device=device)
    try:
        batching = Batching(608)
        np.testing.assert_allclose(_logits(device, batching), expected, atol=1e-4, rtol=0)
        assert batching.notes
    finally:
        del hog
        torch.cuda.empty_cache()
