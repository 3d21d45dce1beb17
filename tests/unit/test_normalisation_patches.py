"""Patch moments: any normalisation's first-layer statistics without a forward pass."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tests.unit.normalisations import CIFAR100, IMAGENET, coloured_images, convolved, random_stem
from worker.normalisation.augmentations import AUGMENTATIONS, Augmented, augment
from worker.normalisation.fit import Response, coefficients
from worker.normalisation.patches import (
    MAX_IMAGES,
    PatchStatistics,
    flipped_half,
    mixed,
    patch_moments,
    patch_statistics,
    sampled_rows,
)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("hypothesis", AUGMENTATIONS)
def test_the_moments_give_what_the_convolution_gives(hypothesis: str, swapped: bool) -> None:
    """Mean and variance of each output channel equal those of torch's convolution of the same augmented images."""
    augmented = augment(coloured_images(9), hypothesis, np.random.default_rng(3))
    stem = random_stem()
    response = Response.of(stem, patch_moments(augmented), swapped=swapped)
    for transform in (CIFAR100, IMAGENET):
        expected = convolved(augmented, stem, transform, swapped=swapped)
        np.testing.assert_allclose(response.output(coefficients(transform)), expected, rtol=1e-9, atol=1e-12)


def test_flipped_half_is_the_mean_of_images_and_their_mirrors() -> None:
    """The exact flip of the moments equals measuring every image twice, once mirrored."""
    augmented = augment(coloured_images(5), "crop with zeros, cutout", np.random.default_rng(0))
    values = np.concatenate([augmented.values, augmented.values[..., ::-1]])
    inside = np.concatenate([augmented.inside, augmented.inside[..., ::-1]])
    both = patch_moments(Augmented(values, inside))
    exact = flipped_half(patch_moments(augmented))
    np.testing.assert_allclose(exact.mean, both.mean, rtol=1e-12)
    np.testing.assert_allclose(exact.second, both.second, rtol=1e-12)


def test_all_but_no_augmentation_flip() -> None:
    """Images that are lighter on the left give statistics without a side, except where nothing is augmented."""
    images = coloured_images(30) // 4 + np.arange(128, 0, -4, dtype=np.uint8)[:, None]
    for name, moments in patch_statistics(images).moments.items():
        left, right = moments.mean[:27].reshape(9, 3)[:, [0, 2]].T
        assert np.allclose(left, right, rtol=1e-12) == (not name.startswith("none")), name


def test_mixed_moments_are_those_of_all_mixed_pairs() -> None:
    """With the weight that Beta(1, 1) has on average, mixing every image with every image gives the same moments."""
    weight = (1 + 3**-0.5) / 2  # 2 w (1 - w) = 1/3
    images = augment(coloured_images(6), "crop with zeros, cutout", np.random.default_rng(0))
    first, second = np.divmod(np.arange(36), 6)
    pairs = Augmented(
        *(weight * part[first] + (1 - weight) * part[second] for part in (images.values, images.inside))
    )
    average = Augmented(images.values.mean(axis=0, keepdims=True), images.inside.mean(axis=0, keepdims=True))
    exact, expected = mixed(patch_moments(images), patch_moments(average)), patch_moments(pairs)
    np.testing.assert_allclose(exact.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(exact.second, expected.second, rtol=1e-12)


def test_mixed_statistics_are_those_of_drawn_mixtures() -> None:
    """Crops of a pool that are mixed at random, half of them mirrored, have its mixup statistics but for chance."""
    images, rng = coloured_images(200), np.random.default_rng(0)
    crops = augment(np.repeat(images, 4, axis=0), "crop with zeros", rng).values
    crops = np.where(rng.random((800, 1, 1, 1)) < 0.5, crops[..., ::-1], crops)
    weights = rng.random((800, 1, 1, 1))  # Beta(1, 1) is uniform
    drawn = weights * crops + (1 - weights) * crops[rng.permutation(800)]
    expected = patch_moments(Augmented(drawn, np.ones((800, 32, 32)))).covariance[:27, :27]
    moments = patch_statistics(images).moments
    mixup, plain = (moments[name].covariance[:27, :27] for name in ("crop with zeros, mixup", "crop with zeros"))
    assert np.abs(mixup - expected).max() < 0.05 * expected.max()
    assert np.abs(plain - expected).max() > 0.2 * expected.max()


def test_statistics_are_those_of_all_images_in_blocks() -> None:
    """Without augmentation the statistics of a pool are the moments of all its images, whatever the block size."""
    images = coloured_images(37)
    whole = patch_moments(augment(images, "none", np.random.default_rng(0)))
    statistics = patch_statistics(images)
    assert statistics.images == 37
    np.testing.assert_allclose(statistics.moments["none"].mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(statistics.moments["none"].second, whole.second, rtol=1e-12)


def test_a_measurement_can_be_stopped() -> None:
    """The callback comes before every block of every augmentation, and its exception ends the work."""
    beats: list[None] = []
    patch_statistics(coloured_images(20), lambda: beats.append(None))
    assert len(beats) == 2 * len(AUGMENTATIONS)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        patch_statistics(coloured_images(20), stop)


def test_equal_pools_give_equal_statistics() -> None:
    """Two measurements of one pool agree bit for bit, and another pool's differ."""
    first, second, other = (patch_statistics(coloured_images(20, seed)) for seed in (0, 0, 1))
    for name, moments in first.moments.items():
        np.testing.assert_array_equal(moments.second, second.moments[name].second)
        assert not np.array_equal(moments.second, other.moments[name].second)


def test_a_large_pool_is_sampled_evenly() -> None:
    """Of more images than the limit, as many distinct ones are taken, from every part of the pool."""
    rows = sampled_rows(3 * MAX_IMAGES)
    assert len(set(rows.tolist())) == MAX_IMAGES
    counts = np.bincount(rows // MAX_IMAGES, minlength=3)
    np.testing.assert_allclose(counts, MAX_IMAGES / 3, rtol=0.05)


@pytest.mark.parametrize("shape", [(600, 28, 28, 3), (600, 64, 64, 3), (0, 32, 32, 3)])
def test_other_sizes_are_not_measured(shape: tuple[int, int, int, int]) -> None:
    """Images of another size, or none at all, give statistics without moments."""
    statistics = patch_statistics(np.zeros(shape, np.uint8))
    assert (statistics.images, statistics.size, statistics.moments) == (shape[0], shape[1:3], {})


@pytest.mark.parametrize("side", [32, 28])
def test_statistics_survive_npz(side: int) -> None:
    """What np.savez stores of the arrays is read back without pickle as the same statistics."""
    statistics = patch_statistics(coloured_images(3)[:, :side, :side])
    stored = io.BytesIO()
    np.savez(stored, allow_pickle=False, **statistics.to_arrays())
    stored.seek(0)
    with np.load(stored, allow_pickle=False) as arrays:
        restored = PatchStatistics.from_arrays(arrays)
    assert (restored.images, restored.size) == (statistics.images, statistics.size)
    assert list(restored.moments) == list(statistics.moments)
    for name, moments in statistics.moments.items():
        np.testing.assert_array_equal(restored.moments[name].mean, moments.mean)
        np.testing.assert_array_equal(restored.moments[name].second, moments.second)
