"""Images to logits: order, batches, memory, exactness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.datasets import Transform
from app.errors import JobError
from tests.fake_expert import PixelExpert, as_pass, numbered_images, numbered_logits
from worker.infer import AUTO_BATCH, Batching, forward_rows, normalise
from worker.networks import CifarResNetSpec

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [16, 32, 48, 1024])
def test_row_n_belongs_to_image_n(size: int) -> None:
    """Whatever the batch size, each image's logits come out under its own number, in the order asked for."""
    rows = np.random.default_rng(0).permutation(300)[:131].astype(np.int64)
    parts = list(forward_rows(as_pass(PixelExpert()), numbered_images(300), rows, Batching(size)))
    np.testing.assert_array_equal(np.concatenate([batch for batch, _ in parts]), rows)
    np.testing.assert_array_equal(np.concatenate([logits for _, logits in parts]), numbered_logits(rows))


def test_every_physical_batch_is_a_multiple_of_16() -> None:
    """A ragged tail is filled up, so that a row's bits do not depend on its neighbours' number."""
    expert = PixelExpert()
    list(forward_rows(as_pass(expert), numbered_images(70), np.arange(70), Batching(32)))
    assert expert.batches == [32, 32, 16]


@pytest.mark.parametrize("error", [None, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")])
def test_out_of_memory_halves_the_batch_and_goes_on(error: RuntimeError | None) -> None:
    """Rows stay right and complete, and the notes say what was changed."""
    batching = Batching(64)
    rows = np.arange(100)
    parts = list(forward_rows(as_pass(PixelExpert(20, error)), numbered_images(100), rows, batching))
    np.testing.assert_array_equal(np.concatenate([logits for _, logits in parts]), numbered_logits(rows))
    assert batching.size == 16
    assert len(batching.notes) == 2
    assert "64" in batching.notes[0]


def test_memory_for_not_even_one_image_is_an_error() -> None:
    """Halving ends at one image, and then says so."""
    with pytest.raises(JobError, match="Not even one image") as caught:
        list(forward_rows(as_pass(PixelExpert(room=0)), numbered_images(3), np.arange(3), Batching(16)))
    assert caught.value.code == "out-of-memory"


def test_another_runtime_error_is_not_taken_for_memory() -> None:
    """Only an allocation that failed makes the batch smaller; a bug shows itself."""
    expert = as_pass(PixelExpert(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied")))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        list(forward_rows(expert, numbered_images(3), np.arange(3), Batching(16)))


def test_a_lost_device_is_not_taken_for_memory() -> None:
    """After a CUDA failure nothing in this process can be trusted: the loop turns it into the process's end."""
    expert = as_pass(PixelExpert(0, torch.AcceleratorError("CUDA error: device-side assert triggered")))
    with pytest.raises(torch.AcceleratorError, match="device-side assert"):
        list(forward_rows(expert, numbered_images(3), np.arange(3), Batching(16)))


class _NaNAt(nn.Module):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = PixelExpert()(images)
        return torch.where(logits[:, :1] == self.number, torch.nan, logits)


def test_nan_names_its_image() -> None:
    """The first image whose logits are not finite is named by its index in the base."""
    rows = np.array([5, 90, 41, 7])
    with pytest.raises(JobError, match="image 41") as caught:
        list(forward_rows(as_pass(_NaNAt(41)), numbered_images(100), rows, Batching(16)))
    assert caught.value.code == "non-finite-logits"


def test_a_network_of_another_width_is_refused() -> None:
    """Logits of another shape than [n, C] never become rows."""
    with pytest.raises(JobError, match="5") as caught:
        list(forward_rows(as_pass(PixelExpert(), classes=7), numbered_images(3), np.arange(3), Batching(16)))
    assert caught.value.code == "logits-shape"


def test_a_rows_bits_do_not_depend_on_batch_or_order() -> None:
    """A real network gives each image bitwise the same logits, however the rows are cut and ordered."""
    torch.manual_seed(0)
    network = CifarResNetSpec((1, 1, 1), (8, 16, 32), 10).build().eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = np.random.default_rng(1).integers(0, 256, (75, 32, 32, 3), dtype=np.uint8)
    forward = as_pass(network, 10)

    def logits(rows: np.ndarray, size: int) -> np.ndarray:
        out = np.empty((75, 10), np.float32)
        for batch, part in forward_rows(forward, images, rows, Batching(size)):
            out[batch] = part
        return out

    reference = logits(np.arange(75), 64)
    for rows, size in (
        (np.arange(75), 16),
        (np.arange(75)[::-1], 32),
        (np.random.default_rng(2).permutation(75), 48),
    ):
        np.testing.assert_array_equal(logits(rows, size), reference)


def test_normalisation_is_bitwise_that_of_torchvision() -> None:
    """(value / 255 - mean) / std, each step rounded as ToTensor and Normalize round it."""
    mean, std = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
    images = np.random.default_rng(3).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    # What ToTensor and Normalize do, written out (torchvision.transforms.functional).
    tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(torch.float32).div(255)
    expected = tensor.sub_(torch.tensor(mean).view(3, 1, 1)).div_(torch.tensor(std).view(3, 1, 1))
    assert torch.equal(normalise(torch.from_numpy(images), Transform(mean=mean, std=std)), expected)


@pytest.mark.parametrize(("wanted", "used"), [(1, 16), (16, 16), (17, 32), (130, AUTO_BATCH["cpu"]), ("auto", 64)])
def test_the_batch_size_is_rounded_up_and_capped_on_a_cpu(wanted: int, used: int) -> None:
    """A CPU gets multiples of 16 up to what is fastest there."""
    assert Batching.of(wanted, CPU).size == used


def test_a_gpu_gets_the_batch_size_asked_for() -> None:
    """Where large batches are fast, the wish counts, rounded up to 16."""
    assert Batching.of(2000, torch.device("cuda")).size == 2000
    assert Batching.of(2001, torch.device("cuda")).size == 2016
