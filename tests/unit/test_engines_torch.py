"""PyTorch's engine: precisions, memory, and switches left as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.jobs import Precision
from tests.unit.engines import SMALL, engine, lived_in, logits_of, random_images
from worker.engines.choice import precisions
from worker.engines.engine import NoMemory, telling_of_memory
from worker.engines.torch_engine import tf32

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", precisions("torch", CPU)[1:])
def test_a_narrow_precision_differs_but_little(precision: Precision) -> None:
    """Its logits are float32 numbers that are not float32's, but near them."""
    network, images = lived_in(SMALL), random_images(64)
    exact = logits_of(engine("torch", network), images)
    found = logits_of(engine("torch", network, precision=precision), images)
    assert found.dtype == np.float32
    assert 1e-3 < np.abs(found - exact).max() < 0.02 * np.abs(exact).max()


def test_a_batch_that_does_not_fit_is_said_so() -> None:
    """A real allocation that fails becomes NoMemory, and a smaller batch is run as before."""
    network, batch = lived_in(SMALL), 2**50
    images = np.lib.stride_tricks.as_strided(np.zeros(3, np.uint8), (batch, 1, 1, 3), (0, 3, 3, 1))
    with pytest.raises(NoMemory, match="you tried to allocate"):
        list(engine("torch", network, side=1, batch=batch).run([images]))
    assert logits_of(engine("torch", network, side=1), images[:16]).shape == (16, 7)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("std::bad_alloc"),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("Check 'ptr' failed at cpu_memory.cpp:257:\nFailed to allocate 67108864 bytes of memory"),
    ],
)
def test_every_library_has_its_own_words_for_too_little_memory(error: Exception) -> None:
    """Whatever it is called, it becomes NoMemory, with what was said."""
    with pytest.raises(NoMemory) as caught, telling_of_memory():
        raise error
    assert str(caught.value) == str(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        torch.AcceleratorError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED after a device-side assert"),
        ValueError("bad_alloc"),
    ],
)
def test_no_other_error_is_taken_for_memory(error: Exception) -> None:
    """A bug shows itself, and a lost device is lost, whatever words they use."""
    with pytest.raises(type(error)) as caught, telling_of_memory():
        raise error
    assert caught.value is error


def _switches() -> tuple[bool, str]:
    return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()


@pytest.mark.parametrize("before", [(True, "high"), (False, "highest")])
def test_tf32_is_for_the_pass_that_asked_for_it(before: tuple[bool, str]) -> None:
    """Whatever the process allows, a pass has its own choice, and the process gets its own back, errors or not."""
    kept = _switches()
    try:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])
        with tf32(True):
            assert _switches() == (True, "high")
        with pytest.raises(KeyError), tf32(False):
            assert _switches() == (False, "highest")
            raise KeyError
        assert _switches() == before
    finally:
        torch.backends.cudnn.allow_tf32 = kept[0]
        torch.set_float32_matmul_precision(kept[1])
