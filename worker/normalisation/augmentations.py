"""The training augmentations under which first-layer statistics are compared.

Running statistics were collected on augmented training images, so without the right augmentation no normalisation
fits them. Each augmentation is a published recipe at 32x32. Flips and mixup are not drawn here, because `patches` can
average them exactly: it flips half of the images (except for `none`) and adds a hypothesis with mixup to each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 32
"""Height and width of images, in pixels. The rule was measured for this size only."""

UNFLIPPED = "none"
"""The only hypothesis without flips."""

CROP_PADDING = 4
CUTOUT_SIDE = 16
CROP_SCALES = (0.08, 1.0)  # torchvision's defaults for RandomResizedCrop
CROP_RATIOS = (3 / 4, 4 / 3)
CROP_ATTEMPTS = 10

Floats = NDArray[np.float64]
Images = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Augmented:
    """Augmented images before normalisation.

    `values` are [N, 3, 32, 32] float64 in [0, 1]; `inside` is [N, 32, 32] float64: 1 where the network sees a pixel,
    0 where it sees 0 after normalising.
    """

    values: Floats
    inside: Floats


Augmentation = Callable[[Images, np.random.Generator], Augmented]


def augment(images: Images, hypothesis: str, rng: np.random.Generator) -> Augmented:
    """Apply one of AUGMENTATIONS to each image, without flips.

    `images` are [N, 32, 32, 3] uint8, RGB.
    """
    return AUGMENTATIONS[hypothesis](images, rng)


def _none(images: Images, rng: np.random.Generator) -> Augmented:  # noqa: ARG001 - every augmentation takes both
    return Augmented(_scaled(images), _all_inside(len(images)))


def _crop_zeros(images: Images, rng: np.random.Generator) -> Augmented:
    rows, columns = _offsets(len(images), rng)
    return Augmented(_cropped(_padded(_scaled(images)), rows, columns), _all_inside(len(images)))


def _crop_zeros_after(images: Images, rng: np.random.Generator) -> Augmented:
    rows, columns = _offsets(len(images), rng)
    flags = _padded(_all_inside(len(images))[:, None])
    return Augmented(_cropped(_padded(_scaled(images)), rows, columns), _cropped(flags, rows, columns)[:, 0])


def _crop_reflect(images: Images, rng: np.random.Generator) -> Augmented:
    rows, columns = _offsets(len(images), rng)
    padding = ((0, 0), (0, 0), (CROP_PADDING, CROP_PADDING), (CROP_PADDING, CROP_PADDING))
    padded = np.pad(_scaled(images), padding, mode="reflect")
    return Augmented(_cropped(padded, rows, columns), _all_inside(len(images)))


def _resized_crop(images: Images, rng: np.random.Generator) -> Augmented:
    heights, widths = _crop_sizes(len(images), rng)
    down = _interpolation(heights, rng)  # [N, 32, 32]
    across = _interpolation(widths, rng)
    values = down[:, None] @ _scaled(images) @ across[:, None].swapaxes(2, 3)
    return Augmented(values, _all_inside(len(images)))


def _with_cutout(augmentation: Augmentation) -> Augmentation:
    """Add cutout: a zeroed square after normalising, clipped at the border.

    Source: DeVries and Taylor 2017, arXiv:1708.04552.
    """

    def cut_out(images: Images, rng: np.random.Generator) -> Augmented:
        whole = augmentation(images, rng)
        centres = rng.integers(0, SIDE, (2, len(images), 1))
        pixels = np.arange(SIDE)
        half = CUTOUT_SIDE // 2
        rows, columns = (pixels >= centres - half) & (pixels < centres + half)  # [N, 32] each
        inside = whole.inside * (1.0 - (rows[:, :, None] & columns[:, None, :]))
        return Augmented(whole.values * inside[:, None], inside)

    return cut_out


AUGMENTATIONS: Mapping[str, Augmentation] = {
    UNFLIPPED: _none,
    "crop with zeros": _crop_zeros,
    "crop with zeros after normalising": _crop_zeros_after,
    "crop with reflection": _crop_reflect,
    "resized crop": _resized_crop,
    "cutout": _with_cutout(_none),
    "crop with zeros, cutout": _with_cutout(_crop_zeros),
    "resized crop, cutout": _with_cutout(_resized_crop),
}


def _scaled(images: Images) -> Floats:
    return images.transpose(0, 3, 1, 2) / 255.0  # [N, 3, 32, 32]


def _all_inside(count: int) -> Floats:
    return np.ones((count, SIDE, SIDE))


def _padded(values: Floats) -> Floats:
    size = SIDE + 2 * CROP_PADDING
    padded = np.zeros((*values.shape[:2], size, size))
    padded[:, :, CROP_PADDING:-CROP_PADDING, CROP_PADDING:-CROP_PADDING] = values
    return padded


def _offsets(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the corners [2, N] of padded images' crops."""
    return rng.integers(0, 2 * CROP_PADDING + 1, (2, count))


def _cropped(padded: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
    crops = np.empty((*padded.shape[:2], SIDE, SIDE))
    for index, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        crops[index] = padded[index, :, row : row + SIDE, column : column + SIDE]
    return crops


def _crop_sizes(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw heights and widths [2, N] as torchvision's RandomResizedCrop does."""
    areas = SIDE**2 * rng.uniform(*CROP_SCALES, (CROP_ATTEMPTS, count))
    low, high = np.log(CROP_RATIOS).tolist()
    ratios = np.exp(rng.uniform(low, high, (CROP_ATTEMPTS, count)))
    sizes = np.rint(np.sqrt([areas / ratios, areas * ratios])).astype(np.int64)  # [2, attempts, N]
    fits = ((sizes > 0) & (sizes <= SIDE)).all(axis=0)
    first = fits.argmax(axis=0)
    drawn = sizes[:, first, np.arange(count)]
    return np.where(fits.any(axis=0), drawn, SIDE)  # torchvision falls back to the whole of a square image


def _interpolation(lengths: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Compute interpolation weights [N, 32, 32] from random windows to 32 pixels.

    It is bilinear with half-pixel centres, over windows of the given lengths.
    """
    starts = rng.integers(0, SIDE - lengths + 1)[:, None]
    positions = (np.arange(SIDE) + 0.5) * (lengths[:, None] / SIDE) - 0.5
    positions = np.clip(positions, 0, lengths[:, None] - 1)  # [N, 32]
    low = np.floor(positions).astype(np.int64)
    high = np.minimum(low + 1, lengths[:, None] - 1)
    share = positions - low
    weights = np.zeros((len(lengths), SIDE, SIDE))
    image, row = np.ogrid[: len(lengths), :SIDE]
    np.add.at(weights, (image, row, starts + low), 1 - share)
    np.add.at(weights, (image, row, starts + high), share)
    return weights
