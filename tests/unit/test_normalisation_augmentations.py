"""The augmentation hypotheses, against torchvision's transforms and the papers' recipes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from tests.unit.normalisations import coloured_images
from worker.normalisation.augmentations import AUGMENTATIONS, Augmented, augment
from worker.normalisation.patches import Moments, patch_moments
from worker.torchvision_import import import_torchvision


def augmented(hypothesis: str, count: int = 6, seed: int = 0) -> tuple[np.ndarray, Augmented]:
    """[N, 3, 32, 32] values of the images before, and what became of them."""
    images = coloured_images(count)
    return images.transpose(0, 3, 1, 2) / 255, augment(images, hypothesis, np.random.default_rng(seed))


@pytest.mark.parametrize("hypothesis", AUGMENTATIONS)
def test_values_are_pixels_or_outside(hypothesis: str) -> None:
    """Values lie in [0, 1], and are 0 wherever the network sees a 0 instead of a pixel."""
    _, result = augmented(hypothesis)
    assert result.values.shape == (6, 3, 32, 32)
    assert result.inside.shape == (6, 32, 32)
    assert result.values.min() >= 0
    assert result.values.max() <= 1 + 1e-12
    assert not (result.values * (1 - result.inside[:, None])).any()
    assert set(np.unique(result.inside)) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("hypothesis", "mode"),
    [
        ("crop with zeros", "constant"),
        ("crop with zeros after normalising", "constant"),
        ("crop with reflection", "reflect"),
    ],
)
def test_a_crop_is_a_window_of_the_padded_image(hypothesis: str, mode: str) -> None:
    """Each crop is one of the 81 windows of its image padded by 4, and crops differ."""
    values, result = augmented(hypothesis, count=12)
    padding = ((0, 0), (0, 0), (4, 4), (4, 4))
    padded = np.pad(values, padding, mode="reflect") if mode == "reflect" else np.pad(values, padding)
    windows = sliding_window_view(padded, (32, 32), axis=(2, 3))  # [N, 3, 9, 9, 32, 32]
    matches = (windows == result.values[:, :, None, None]).all(axis=(1, 4, 5))  # [N, 9, 9]
    places = np.argwhere(matches)
    assert [image for image, _, _ in places] == list(range(12))
    assert len({(row, column) for _, row, column in places}) > 6


def test_only_padding_after_normalising_is_outside() -> None:
    """Padding before normalising is a black pixel; padding after it is no pixel at all."""
    _, before = augmented("crop with zeros")
    _, after = augmented("crop with zeros after normalising")
    np.testing.assert_array_equal(before.values, after.values)
    assert before.inside.all()
    outside = after.inside == 0
    assert 0.05 < outside.mean() < 0.3  # 4.4 of 64 border rows and columns on average
    assert not before.values.transpose(0, 2, 3, 1)[outside].any()


@pytest.mark.parametrize("hypothesis", ["cutout", "crop with zeros, cutout", "resized crop, cutout"])
def test_cutout_removes_a_clipped_square_of_16(hypothesis: str) -> None:
    """The area without pixels is one rectangle of 8 to 16 pixels a side, whole squares among them."""
    values, result = augmented(hypothesis, count=60)
    if hypothesis == "cutout":
        np.testing.assert_array_equal(result.values, values * result.inside[:, None])
    sizes = set()
    for inside in result.inside:
        rows, columns = np.nonzero(inside == 0)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width
        sizes |= {height, width}
    assert sizes <= set(range(8, 17))
    assert 16 in sizes
    assert min(sizes) < 12


def test_a_resized_crop_is_what_pillow_makes_of_the_window() -> None:
    """Each result equals Pillow's bilinear enlargement of some window of its image, but for 8-bit rounding."""
    image = coloured_images(1)[0]
    result = augment(image[None], "resized crop", np.random.default_rng(5)).values[0].transpose(1, 2, 0) * 255
    sizes = [(height, width) for height in range(5, 33) for width in range(5, 33) if 0.6 < height / width < 1.6]
    least = 255.0
    for height, width in sizes:
        windows = sliding_window_view(image, (height, width), axis=(0, 1))  # [rows, columns, 3, h, w]
        corners = np.abs(windows[:, :, :, 0, 0] - result[0, 0]).max(axis=2)  # enlarging leaves the corner as it is
        for top, left in np.argwhere(corners < 0.01):
            window = Image.fromarray(image[top : top + height, left : left + width])
            resized = np.asarray(window.resize((32, 32), Image.Resampling.BILINEAR), np.float64)
            least = min(least, np.abs(resized - result).max())
    assert least < 1.01


def test_resized_crops_have_torchvisions_sizes() -> None:
    """Heights and widths of the windows are distributed as torchvision's RandomResizedCrop draws them."""
    ramps = np.zeros((4000, 32, 32, 3), np.uint8)
    ramps[..., 0] = np.arange(0, 256, 8)[:, None]
    ramps[..., 1] = np.arange(0, 256, 8)
    values = augment(ramps, "resized crop", np.random.default_rng(0)).values * 255
    # Enlarging a window of n pixels makes a slope of 8 one of 8 n / 32; the middle is free of borders.
    heights = (values[:, 0, 17, 16] - values[:, 0, 15, 16]) / 2 * 4
    widths = (values[:, 1, 16, 17] - values[:, 1, 16, 15]) / 2 * 4
    crop = import_torchvision().transforms.RandomResizedCrop
    with torch.random.fork_rng():
        torch.manual_seed(0)
        boxes = [crop.get_params(torch.zeros(3, 32, 32), [0.08, 1.0], [3 / 4, 4 / 3])[2:] for _ in range(4000)]
    expected = np.array(boxes, np.float64).T
    shares = np.linspace(0.05, 0.95, 10)
    for drawn, other in zip((heights, widths, heights * widths), (*expected, expected.prod(axis=0)), strict=True):
        np.testing.assert_allclose(np.quantile(drawn, shares), np.quantile(other, shares), rtol=0.08, atol=0.5)


def _by_torchvision(images: np.ndarray, hypothesis: str, repeats: int) -> Moments:
    transforms = import_torchvision().transforms
    step = {
        "crop with zeros": transforms.RandomCrop(32, padding=4),
        "crop with reflection": transforms.RandomCrop(32, padding=4, padding_mode="reflect"),
        "resized crop": transforms.RandomResizedCrop(32),
    }[hypothesis]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        results = [np.asarray(step(Image.fromarray(image))) for image in images for _ in range(repeats)]
    values = np.stack(results).transpose(0, 3, 1, 2) / 255
    return patch_moments(Augmented(values, np.ones((len(values), 32, 32))))


@pytest.mark.parametrize("hypothesis", ["crop with zeros", "crop with reflection", "resized crop"])
def test_draws_have_torchvisions_distribution(hypothesis: str) -> None:
    """Moments are nearer to those of torchvision's own random transform than every other hypothesis' are."""
    images = coloured_images(40)
    expected = _by_torchvision(images, hypothesis, repeats=10)
    many = np.repeat(images, 10, axis=0)
    distances = {
        name: np.abs(
            patch_moments(augment(many, name, np.random.default_rng(1))).covariance - expected.covariance
        ).max()
        for name in AUGMENTATIONS
    }
    assert min(distances, key=lambda name: distances[name]) == hypothesis, distances
    assert distances[hypothesis] < 0.04 * expected.covariance.max(), distances
