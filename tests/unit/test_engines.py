"""What holds for every engine: the float64 network's logits, in order, the same bits wherever an image stands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.catalog.datasets import Transform
from tests.unit.engines import (
    BATCHES,
    EVERY_SPEC,
    SMALL,
    SPECS,
    cut,
    engine,
    exact_logits,
    lived_in,
    logits_of,
    random_images,
)
from worker.compute.engines.choice import EngineName
from worker.compute.engines.pixels import normalise

both = pytest.mark.parametrize("name", ["torch", "openvino"])


@both
@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_fp32_is_the_network_in_float64(name: EngineName, spec: str) -> None:
    """At logits up to 50: within 1e-3 + 1e-5 of each, and the argmax is that of float64 wherever 2e-3 decide it."""
    network, images = lived_in(SPECS[spec]), random_images(16)
    exact = exact_logits(network, images)
    assert np.abs(exact).max() > 20
    logits = logits_of(engine(name, network), images)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, exact, atol=1e-3, rtol=1e-5)
    best = np.sort(exact, axis=1)
    decided = best[:, -1] - best[:, -2] > 2e-3
    assert decided.sum() > 10
    np.testing.assert_array_equal(logits.argmax(1)[decided], exact.argmax(1)[decided])


@both
@pytest.mark.parametrize("side", [1, 7, 32])
def test_every_image_size_will_do(name: EngineName, side: int) -> None:
    """From one pixel on, odd sizes too, an engine gives what the network gives."""
    network = lived_in(SMALL)
    images = random_images(16, side)
    logits = logits_of(engine(name, network, side=side), images)
    np.testing.assert_allclose(logits, exact_logits(network, images), atol=1e-3, rtol=1e-5)


@both
def test_a_rows_bits_depend_on_its_image_alone(name: EngineName) -> None:
    """At every position of a batch, and whatever its neighbours are, an image gets bitwise the same logits."""
    made = engine(name, lived_in(SMALL), side=32)
    [image] = random_images(1, 32)
    [[expected, *_]] = made.run([np.stack([image] * made.batch)])
    for position in range(made.batch):
        batch = random_images(made.batch, 32, seed=100 + position)
        batch[position] = image
        [logits] = made.run([batch])
        np.testing.assert_array_equal(logits[position], expected)
        assert not np.array_equal(logits[position - 1], expected)


def test_pytorch_gives_the_same_bits_at_every_multiple_of_16() -> None:
    """A row of a batch of 16 is bitwise that of a batch of 64."""
    network, images = lived_in(SMALL), random_images(192, 16)
    by_64 = logits_of(engine("torch", network, side=16, batch=64), images)
    for batch in (16, 48):
        np.testing.assert_array_equal(logits_of(engine("torch", network, side=16, batch=batch), images), by_64)


@both
@pytest.mark.parametrize("side", [32, 72])
def test_threads_change_no_bit(name: EngineName, side: int) -> None:
    """One thread or two, each with a batch of its own or, where images are large, all on one: the same bits."""
    network, batch = lived_in(SMALL), {"torch": 64, "openvino": 8}[name]
    images = random_images(2 * batch, side)
    one, two = (
        logits_of(engine(name, network, side=side, batch=batch, threads=threads), images) for threads in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


@both
def test_many_batches_come_out_in_order(name: EngineName) -> None:
    """Of more batches than are in flight, each comes out in its turn, and what was yielded stays as it was."""
    made, images = engine(name, lived_in(SMALL)), random_images(48 * BATCHES[name])
    expected = np.concatenate([next(made.run([batch])) for batch in cut(images, made.batch)])
    assert len(np.unique(expected, axis=0)) == len(images)
    np.testing.assert_array_equal(logits_of(made, images), expected)


@both
def test_an_abandoned_run_leaves_nothing_behind(name: EngineName) -> None:
    """Closed half-way, failed half-way or merely suspended, a run has no influence on the next one."""
    made, images = engine(name, lived_in(SMALL)), random_images(24 * BATCHES[name])
    backwards = images[::-1].copy()
    expected = logits_of(made, images)
    closed = made.run(cut(backwards, made.batch))
    next(closed)
    closed.close()
    np.testing.assert_array_equal(logits_of(made, images), expected)
    suspended = made.run(cut(backwards, made.batch))
    np.testing.assert_array_equal(next(suspended), expected[::-1][: made.batch])
    np.testing.assert_array_equal(logits_of(made, images), expected)
    np.testing.assert_array_equal(np.concatenate(list(suspended)), expected[::-1][made.batch :])

    def broken() -> Iterator[NDArray[np.uint8]]:
        yield from cut(images[: 2 * made.batch], made.batch)
        raise OSError("the images are gone")

    with pytest.raises(OSError, match="gone"):
        list(made.run(broken()))
    np.testing.assert_array_equal(logits_of(made, images), expected)


@both
def test_no_batches_give_no_logits(name: EngineName) -> None:
    """A run over nothing ends at once."""
    assert list(engine(name, lived_in(SMALL)).run([])) == []


@both
@pytest.mark.parametrize("shape", [(1, 12, 12, 3), (64, 12, 12, 3), (0, 11, 12, 3)])
def test_a_batch_of_another_shape_is_refused(name: EngineName, shape: tuple[int, ...]) -> None:
    """Its rows might have other bits, so neither a short batch nor another image size is run."""
    made = engine(name, lived_in(SMALL))
    images = np.zeros((shape[0] or made.batch, *shape[1:]), np.uint8)
    with pytest.raises(ValueError, match=f"{made.batch}, 12, 12, 3"):
        list(made.run([images]))


@both
def test_any_memory_will_do(name: EngineName) -> None:
    """Read-only, backwards or with gaps, as slices of mapped files are: only the pixels count."""
    made, images = engine(name, lived_in(SMALL)), random_images(BATCHES[name])
    expected = logits_of(made, images)
    read_only, gaps = images.copy(), np.repeat(images, 2, axis=0)[::2]
    read_only.setflags(write=False)
    for same in (read_only, gaps, images[::-1].copy()[::-1]):
        [logits] = made.run([same])
        np.testing.assert_array_equal(logits, expected)


@both
def test_an_engine_leaves_its_network_alone(name: EngineName) -> None:
    """Making and running an engine changes nothing of the network, in whatever precision."""
    network = lived_in(SMALL)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    logits_of(engine(name, network), random_images(16))
    after = network.state_dict()
    assert after.keys() == before.keys()
    for key, tensor in after.items():
        assert tensor.dtype == before[key].dtype
        assert tensor.is_contiguous()
        assert torch.equal(tensor, before[key])


def test_normalisation_is_bitwise_that_of_torchvision() -> None:
    """(value / 255 - mean) / std, each step rounded as ToTensor and Normalize round it."""
    mean, std = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
    images = random_images(4)
    # What ToTensor and Normalize do, written out (torchvision.transforms.functional).
    tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(torch.float32).div(255)
    expected = tensor.sub_(torch.tensor(mean).view(3, 1, 1)).div_(torch.tensor(std).view(3, 1, 1))
    found = normalise(torch.from_numpy(images), Transform(mean=mean, std=std))
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)  # so no engine has to copy it
