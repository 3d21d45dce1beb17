"""PyTorch's engine: precisions, memory, and switches left as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from app.domain.requests import Precision
from tests.unit.engines import SMALL, cut, engine, exact_logits, lived_in, logits_of, random_images
from worker.compute.engines.choice import precisions
from worker.compute.engines.engine import NoMemory, telling_of_memory
from worker.compute.engines.torch_engine import computing_threads, tf32

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", precisions("torch", CPU)[1:])
def test_a_narrow_precision_differs_but_little(precision: Precision) -> None:
    """Its logits are float32 numbers that are not float32's, but near them."""
    network, images = lived_in(SMALL), random_images(64)
    exact = logits_of(engine("torch", network), images)
    found = logits_of(engine("torch", network, precision=precision), images)
    assert found.dtype == np.float32
    assert 1e-3 < np.abs(found - exact).max() < 0.02 * np.abs(exact).max()


class _Huge(nn.Module):
    """Asks for more memory than there is anywhere."""

    def forward(self, images: Tensor) -> Tensor:
        return F.pad(images, (0, 2**45)).flatten(1)


def test_a_batch_that_does_not_fit_is_said_so() -> None:
    """A real allocation that fails becomes NoMemory, and whoever computes next has what there is."""
    with pytest.raises(NoMemory, match="you tried to allocate"):
        list(engine("torch", _Huge()).run(cut(random_images(64), 16)))
    assert logits_of(engine("torch", lived_in(SMALL)), random_images(16)).shape == (16, 7)


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


class _HeardTwice(nn.Module):
    """Its ReLUs would spoil what is needed afterwards, if they wrote over their input."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3)
        self.same = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        x = F.relu(x) + 2 * x
        y = x + 1
        z = F.relu(self.same(y)) + 2 * y
        logits: Tensor = (F.relu(z[:, :, 1:]) + 2 * z[:, :, 1:]).mean((2, 3))
        return logits


def test_nothing_is_written_over_that_is_still_needed() -> None:
    """A ReLU's input that somebody else reads, under its own or another name, stays."""
    torch.manual_seed(0)
    network, images = _HeardTwice().eval(), random_images(16)
    logits = logits_of(engine("torch", network), images)
    np.testing.assert_allclose(logits, exact_logits(network, images), atol=1e-4)


@pytest.mark.parametrize(("side", "read_ahead"), [(12, 8), (72, 2)])
def test_large_images_are_not_computed_side_by_side(side: int, read_ahead: int) -> None:
    """Four threads take four small batches at once; of large ones, whose memory adds up, one."""
    taken = 0

    def batches() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        for images in [random_images(64, side)] * 20:
            taken += 1
            yield images

    run = engine("torch", lived_in(SMALL), side=side, batch=64, threads=4).run(batches())
    next(run)
    run.close()
    assert taken == read_ahead + 1


def test_pytorchs_number_of_threads_stays() -> None:
    """However many threads an engine takes, the process's own number holds, for threads to come as well."""
    before = torch.get_num_threads()
    for threads in (1, 3):
        logits_of(engine("torch", lived_in(SMALL), threads=threads), random_images(16))
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *later] == [before, before]


def test_computing_threads_share_the_cores_out() -> None:
    """Each has the number of PyTorch's own threads that it was made with, not the process's."""
    for count, each in ((3, 1), (1, 3)):
        pool = computing_threads(count, each)
        assert {pool.submit(torch.get_num_threads).result() for _ in range(9)} == {each}


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
        with tf32(False):
            assert _switches() == (False, "highest")
        with suppress(KeyError), tf32(not before[0]):
            raise KeyError
        assert _switches() == before
    finally:
        torch.backends.cudnn.allow_tf32 = kept[0]
        torch.set_float32_matmul_precision(kept[1])
