"""The listed normalisations, which a declared normalisation is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.catalog.datasets import Transform

NEAR_MEAN = 0.06
"""In standard deviations: means closer than this in every channel cannot be told apart."""

NEAR_STD = 0.03
"""As a ratio: standard deviations closer than this in every channel cannot be told apart."""

_CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)

LISTED: Mapping[str, Transform] = {
    "CIFAR-100": Transform(mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761)),
    "CIFAR-100 (other rounding)": Transform(mean=(0.5070, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2761)),
    "CIFAR-10": Transform(mean=_CIFAR10_MEAN, std=(0.2470, 0.2435, 0.2616)),
    "CIFAR-10 (std averaged per image)": Transform(mean=_CIFAR10_MEAN, std=(0.2023, 0.1994, 0.2010)),
    "ImageNet": Transform(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "mean and std 0.5": Transform(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    "none, values in [0, 1]": Transform(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
}
"""As published. The second std of CIFAR-10 is widely copied: it is the mean of the images' stds."""


@dataclass(frozen=True)
class Candidate:
    """A normalisation, and its key in `LISTED` or the caller's name."""

    name: str
    transform: Transform


def nearly_equal(first: Transform, second: Transform) -> bool:
    """Tell whether running statistics cannot tell two normalisations apart."""
    means = zip(first.mean, second.mean, first.std, second.std, strict=True)
    stds = zip(first.std, second.std, strict=True)
    return all(abs(a - b) <= NEAR_MEAN * min(s, t) for a, b, s, t in means) and all(
        max(a, b) <= (1 + NEAR_STD) * min(a, b) for a, b in stds
    )


def rivals_of(declared: Transform, extra: Mapping[str, Transform]) -> tuple[Candidate, ...]:
    """List normalisations that differ measurably from the declared one.

    A name of `LISTED` in `extra` replaces that entry.
    """
    known = {**LISTED, **extra}
    return tuple(Candidate(name, other) for name, other in known.items() if not nearly_equal(declared, other))
