"""Moments of image patches, from which any normalisation's first-layer statistics follow.

The first convolution is linear. With the mean and second moments of 27 patch values (before normalising) and 9
flags (whether a position lies inside the picture), the mean and variance of its output under any mean, std and
channel order are matrix products: no image is needed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.normalisation.augmentations import AUGMENTATIONS, SIDE, Augmented, Floats, Images, augment

MAX_IMAGES = 10_000
"""Images in a sample: with 2,000, about a quarter of true normalisations stay undecided; with 10,000, fewer.

About 0.1 ms an image and hypothesis on one core.
"""

VALUES = 27
FEATURES = VALUES + 9
"""27 values in the order (channel, row, column), as convolution weights have it, then 9 flags (row, column)."""

SEED = 20_240_229
IMAGES_AT_ONCE = 16  # 5 MB of patches: larger blocks leave the processor's cache


@dataclass(frozen=True, eq=False)
class Moments:
    """First and second moments of the patch features over all positions.

    Attributes:
        mean: [36] float64.
        second: [36, 36] float64, E[f f^T].
    """

    mean: Floats
    second: Floats

    @property
    def covariance(self) -> Floats:
        """[36, 36] float64."""
        return self.second - np.outer(self.mean, self.mean)


@dataclass(frozen=True, eq=False)
class PatchStatistics:
    """The moments of one pool under every augmentation hypothesis.

    Attributes:
        images: number of images in the sample.
        size: height and width of the pool's images.
        moments: by hypothesis; empty where the images are not 32x32.
    """

    images: int
    size: tuple[int, int]
    moments: Mapping[str, Moments]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the statistics as named arrays for `np.savez`."""
        arrays: dict[str, NDArray[Any]] = {"images": np.array(self.images), "size": np.array(self.size)}
        arrays["hypotheses"] = np.array(list(self.moments), dtype=np.str_)
        arrays["mean"] = np.array([m.mean for m in self.moments.values()]).reshape(-1, FEATURES)
        arrays["second"] = np.array([m.second for m in self.moments.values()]).reshape(-1, FEATURES, FEATURES)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PatchStatistics:
        """Rebuild the statistics from the arrays of `to_arrays`."""
        names = arrays["hypotheses"].tolist()
        pairs = zip(arrays["mean"], arrays["second"], strict=True)
        moments = {name: Moments(mean, second) for name, (mean, second) in zip(names, pairs, strict=True)}
        height, width = arrays["size"].tolist()
        return cls(int(arrays["images"]), (height, width), moments)


def patch_statistics(images: Images) -> PatchStatistics:
    """Measure a sample of a pool under every hypothesis.

    The sample and all draws depend on the number of images only, so equal pools give equal statistics.

    Args:
        images: [N, H, W, 3] uint8, RGB; up to 10,000 are taken at random.
    """
    height, width = images.shape[1:3]
    rows = sampled_rows(len(images))
    if (height, width) != (SIDE, SIDE) or not len(rows):
        return PatchStatistics(len(rows), (height, width), {})
    sample = images[rows]
    moments = {name: _measure(sample, name) for name in AUGMENTATIONS}
    return PatchStatistics(len(rows), (height, width), moments)


def sampled_rows(count: int) -> NDArray[np.int64]:
    """Choose up to 10,000 of `count` rows, in random order, always the same ones."""
    return np.random.default_rng(SEED).permutation(count)[:MAX_IMAGES]


def _measure(sample: Images, hypothesis: str) -> Moments:
    rng = np.random.default_rng(SEED)
    mean, second = np.zeros(FEATURES), np.zeros((FEATURES, FEATURES))
    for start in range(0, len(sample), IMAGES_AT_ONCE):
        block = sample[start : start + IMAGES_AT_ONCE]
        moments = patch_moments(augment(block, hypothesis, rng))
        mean += len(block) * moments.mean
        second += len(block) * moments.second
    moments = Moments(mean / len(sample), second / len(sample))
    return moments if hypothesis == "none" else flipped_half(moments)


def patch_moments(augmented: Augmented) -> Moments:
    """Compute the moments of all 3x3 patches, with a border of zeros around each image."""
    count = len(augmented.values)
    planes = np.zeros((count, 4, SIDE + 2, SIDE + 2))
    planes[:, :3, 1:-1, 1:-1] = augmented.values
    planes[:, 3, 1:-1, 1:-1] = augmented.inside
    windows = np.lib.stride_tricks.sliding_window_view(planes, (SIDE, SIDE), axis=(2, 3))  # [N, 4, 3, 3, 32, 32]
    features = windows.transpose(1, 2, 3, 0, 4, 5).reshape(FEATURES, -1)
    return Moments(features.mean(axis=1), features @ features.T / features.shape[1])


def flipped_half(moments: Moments) -> Moments:
    """Return the moments after flipping each image left to right with probability 1/2."""
    order = np.arange(FEATURES).reshape(4, 3, 3)[:, :, ::-1].ravel()
    return Moments(
        (moments.mean + moments.mean[order]) / 2,
        (moments.second + moments.second[np.ix_(order, order)]) / 2,
    )
