"""What the tests of normalisation share: coloured images, random stems, and statistics by brute force."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from numpy.typing import NDArray

from app.catalog.datasets import Transform
from worker.normalisation.augmentations import Augmented, Floats
from worker.normalisation.candidates import LISTED
from worker.normalisation.fit import Response, coefficients
from worker.normalisation.patches import PatchStatistics, patch_statistics
from worker.normalisation.stem import Stem

CIFAR100 = LISTED["CIFAR-100"]
CIFAR10 = LISTED["CIFAR-10"]
CIFAR10_COPIED = LISTED["CIFAR-10 (std averaged per image)"]
IMAGENET = LISTED["ImageNet"]
HALF = LISTED["mean and std 0.5"]
UNIT = LISTED["none, values in [0, 1]"]


def coloured_images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """[count, 32, 32, 3] uint8 of smooth coloured blots with some noise, about as bright as photographs."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.normal(0, 1, (count, 3, 6, 6)) + rng.normal(0, 1, (count, 1, 6, 6)))
    smooth = F.interpolate(coarse, size=(32, 32), mode="bilinear").numpy().transpose(0, 2, 3, 1)
    values = np.array([130, 124, 112]) + 45 * smooth + rng.normal(0, 8, smooth.shape)
    images: NDArray[np.uint8] = values.clip(0, 255).astype(np.uint8)
    return images


@cache
def pool_statistics() -> PatchStatistics:
    """Of 500 coloured images: the fewest that are judged."""
    return patch_statistics(coloured_images(500))


def random_stem(channels: int = 16, seed: int = 0) -> Stem:
    """A stem of random weights and bias whose running statistics are 0 and 1."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, 0.3, (channels, 3, 3, 3))
    return Stem(weight, rng.normal(0, 0.2, channels), np.zeros(channels), np.ones(channels))


def trained_stem(
    statistics: PatchStatistics, hypothesis: str, transform: Transform, *, swapped: bool = False
) -> Stem:
    """A stem whose running statistics are exactly those of the pool under hypothesis and normalisation."""
    stem = random_stem()
    response = Response.of(stem, statistics.moments[hypothesis], swapped=swapped)
    return Stem(stem.weight, stem.bias, *response.output(coefficients(transform)))


def convolved(
    augmented: Augmented, stem: Stem, transform: Transform, *, swapped: bool = False
) -> tuple[Floats, Floats]:
    """Each channel's mean and variance of torch's own convolution of the normalised images."""
    mean, std = (np.array(values)[:, None, None] for values in (transform.mean, transform.std))
    normalised = torch.from_numpy((augmented.values - mean) / std * augmented.inside[:, None])
    if swapped:
        normalised = normalised.flip(1)
    output = F.conv2d(normalised, torch.from_numpy(stem.weight), torch.from_numpy(stem.bias), padding=1)
    return output.mean((0, 2, 3)).numpy(), output.var((0, 2, 3), correction=0).numpy()
