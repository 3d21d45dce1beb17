"""Moments of image patches, from which any normalisation's first-layer statistics follow.

The first convolution is linear. With the mean and second moments of 27 patch values (before normalising) and 9
flags (whether a position lies inside the image), the mean and variance of its output under any mean, std and channel
order are matrix products, without another pass over the images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from worker.normalisation.augmentations import AUGMENTATIONS, SIDE, UNFLIPPED, Augmented, Floats, Images, augment

MAX_IMAGES = 10_000
"""Images in a sample: with 2,000, about a quarter of true normalisations stay undecided; with 10,000, few."""

VALUES = 27
FEATURES = VALUES + 9
"""27 values in the order (channel, row, column), as convolution weights have it, then 9 flags (row, column)."""

MIXUP = ", mixup"
HYPOTHESES = tuple(name + mixup for name in AUGMENTATIONS for mixup in ("", MIXUP))

SEED = 20_240_229
IMAGES_AT_ONCE = 16  # 5 MB of patches: larger blocks leave the processor's cache


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of the patch features over all positions.

    `mean` is [..., 36] float64, `second` [..., 36, 36] float64, E[f f^T].
    """

    mean: Floats
    second: Floats

    @property
    def covariance(self) -> Floats:
        """[..., 36, 36] float64."""
        return self.second - self.mean[..., :, None] * self.mean[..., None, :]


@dataclass(frozen=True, eq=False)
class PatchStatistics:
    """The moments of one pool's sample under every augmentation hypothesis.

    `size` is height and width; there are no `moments` where the images are not 32x32.
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

    def stacked(self) -> Moments:
        """Stack all hypotheses' moments along a leading axis."""
        every = self.moments.values()
        return Moments(np.stack([m.mean for m in every]), np.stack([m.second for m in every]))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PatchStatistics:
        """Rebuild the statistics from the arrays of `to_arrays`."""
        names = arrays["hypotheses"].tolist()
        pairs = zip(arrays["mean"], arrays["second"], strict=True)
        moments = {name: Moments(mean, second) for name, (mean, second) in zip(names, pairs, strict=True)}
        height, width = arrays["size"].tolist()
        return cls(int(arrays["images"]), (height, width), moments)


def patch_statistics(images: Images, beat: Callable[[], None] = lambda: None) -> PatchStatistics:
    """Measure a sample of a pool under every hypothesis.

    `images` are [N, H, W, 3] uint8, RGB, of which up to 10,000 are taken at random; it takes about 0.1 ms per image
    and augmentation. The sample and all draws depend on the number of images only, so equal pools give equal
    statistics. `beat` is called before each block of 16 images, to show progress; what it raises ends the work.
    """
    height, width = images.shape[1:3]
    rows = sampled_rows(len(images))
    if (height, width) != (SIDE, SIDE) or not len(rows):
        return PatchStatistics(len(rows), (height, width), {})
    sample = images[rows]
    moments: dict[str, Moments] = {}
    # The products are small: several threads wait for each other, beside a busy neighbour for minutes.
    with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
        for name in AUGMENTATIONS:
            moments[name], moments[name + MIXUP] = _measure(sample, name, beat)
    return PatchStatistics(len(rows), (height, width), moments)


def sampled_rows(count: int) -> NDArray[np.int64]:
    """Choose up to 10,000 rows in random but fixed order."""
    return np.random.default_rng(SEED).permutation(count)[:MAX_IMAGES]


def _measure(sample: Images, hypothesis: str, beat: Callable[[], None]) -> tuple[Moments, Moments]:
    """Measure one hypothesis without and with mixup."""
    rng = np.random.default_rng(SEED)
    mean, second = np.zeros(FEATURES), np.zeros((FEATURES, FEATURES))
    values, inside = np.zeros((1, 3, SIDE, SIDE)), np.zeros((1, SIDE, SIDE))
    for start in range(0, len(sample), IMAGES_AT_ONCE):
        beat()
        augmented = augment(sample[start : start + IMAGES_AT_ONCE], hypothesis, rng)
        count, moments = len(augmented.values), patch_moments(augmented)
        mean += count * moments.mean
        second += count * moments.second
        values += augmented.values.sum(axis=0)
        inside += augmented.inside.sum(axis=0)
    average = Augmented(values / len(sample), inside / len(sample))
    own = Moments(mean / len(sample), second / len(sample))
    if hypothesis != UNFLIPPED:
        own = flipped_half(own)
        average = Augmented(
            (average.values + average.values[..., ::-1]) / 2, (average.inside + average.inside[..., ::-1]) / 2
        )
    return own, mixed(own, patch_moments(average))


def mixed(own: Moments, between: Moments) -> Moments:
    """Return the moments after mixup with weights from Beta(1, 1).

    A mixture w x + (1 - w) y of independent images has E[w^2 + (1 - w)^2] = 2/3 of the second moments within an image
    and E[2 w (1 - w)] = 1/3 of those between two images, which are those of the average image. Source: Zhang et al.,
    arXiv:1710.09412.
    """
    return Moments(own.mean, own.second * 2 / 3 + between.second / 3)


def patch_moments(augmented: Augmented) -> Moments:
    """Compute moments of 3x3 patches of zero-padded images."""
    count = len(augmented.values)
    planes = np.zeros((4, count, SIDE + 2, SIDE + 2))
    planes[:3, :, 1:-1, 1:-1] = augmented.values.swapaxes(0, 1)
    planes[3, :, 1:-1, 1:-1] = augmented.inside
    patches = np.empty((4, 3, 3, count, SIDE, SIDE))
    for row in range(3):
        for column in range(3):
            patches[:, row, column] = planes[:, :, row : row + SIDE, column : column + SIDE]
    features = patches.reshape(FEATURES, -1)
    return Moments(features.mean(axis=1), features @ features.T / features.shape[1])


def flipped_half(moments: Moments) -> Moments:
    """Return the moments after flipping images with probability 1/2."""
    order = np.arange(FEATURES).reshape(4, 3, 3)[:, :, ::-1].ravel()
    return Moments(
        (moments.mean + moments.mean[order]) / 2, (moments.second + moments.second[np.ix_(order, order)]) / 2
    )
