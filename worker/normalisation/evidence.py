"""The verdict on a declared normalisation, from a checkpoint's own running statistics.

The running statistics of the first batch norm show which normalisation the network was trained with. The rule and
its thresholds were measured on CIFAR-100 networks with 3x3 stems over 32x32 images, with samples of 500 to 10,000
images: the true normalisation was never contradicted and a wrong listed one never supported. Of 26,520 first layers
whose statistics were computed for 884 recipes of augmentation, most of them not among the hypotheses, the true
normalisation was contradicted in 0.6 %, never with the severity `error`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from app.catalog.datasets import Transform
from worker.normalisation.augmentations import SIDE
from worker.normalisation.candidates import Candidate, rivals_of
from worker.normalisation.fit import Response, coefficients, free_fit
from worker.normalisation.patches import PatchStatistics
from worker.normalisation.stem import Stem

FITTING_DIVERGENCE = 0.003
"""Largest D of a normalisation that fits."""

FITTING_RATIO = 3.0
"""Least ratio of the other side's D to the D of a normalisation that fits."""

FITTING_MARGIN = 0.002
"""Least difference of the same two D."""

ERROR_DIVERGENCE = 0.015
"""Least D at which a contradicted declaration is an error; below, it is a warning."""

MIN_IMAGES = 500

Verdict = Literal["supported", "contradicted", "undecidable"]
Severity = Literal["error", "warning"]

UNPROVABLE = "Nothing in the files can prove the declared mean and std; compare them with the training code."


@dataclass(frozen=True)
class Hint:
    """A free fit of mean and std, which proposes a declaration.

    It is never a verdict: under a wrong hypothesis it is off by up to 20 %. `divergence` is its D.
    """

    transform: Transform
    divergence: float


@dataclass(frozen=True)
class NormalisationEvidence:
    """The verdict of running statistics on a declared mean and std.

    Attributes:
        severity: `error` or `warning` if contradicted, else None.
        images: number of images in the sample.
        best: the best other normalisation; None, like all fields below, if nothing could be compared.
        declared_divergence, best_divergence: D of the declared normalisation, and of `best`.
        hypothesis: the augmentation under which the better of the two fits.
        hint: the free fit under that augmentation, or None if even that does not fit.
    """

    verdict: Verdict
    severity: Severity | None
    message: str
    declared: Transform
    images: int
    best: Candidate | None = None
    declared_divergence: float | None = None
    best_divergence: float | None = None
    hypothesis: str | None = None
    hint: Hint | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the evidence as JSON-able values."""
        return {
            **asdict(self),
            "declared": self.declared.model_dump(mode="json"),
            "best": self.best and {"name": self.best.name, "transform": self.best.transform.model_dump(mode="json")},
            "hint": self.hint and {**asdict(self.hint), "transform": self.hint.transform.model_dump(mode="json")},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NormalisationEvidence:
        """Rebuild the evidence from the output of `to_dict`."""
        best, hint = data["best"], data["hint"]
        parts = {
            "declared": _transform(data["declared"]),
            "best": best and Candidate(best["name"], _transform(best["transform"])),
            "hint": hint and Hint(_transform(hint["transform"]), hint["divergence"]),
        }
        return cls(**{**data, **parts})


def _transform(data: Mapping[str, Any]) -> Transform:
    return Transform(mean=tuple(data["mean"]), std=tuple(data["std"]))


@dataclass(frozen=True)
class _Fit:
    """The least D of one normalisation, and the hypothesis that gives it."""

    divergence: float
    hypothesis: str


@dataclass(frozen=True, eq=False)
class _Fits:
    """A stem's responses under every hypothesis, in both channel orders."""

    hypotheses: tuple[str, ...]
    rgb: Response
    bgr: Response

    @classmethod
    def of(cls, stem: Stem, statistics: PatchStatistics) -> _Fits:
        moments = statistics.stacked()
        rgb, bgr = Response.of(stem, moments), Response.of(stem, moments, swapped=True)
        return cls(tuple(statistics.moments), rgb, bgr)

    def best(self, transform: Transform) -> _Fit:
        """Find the least D over hypotheses and channel orders.

        Running statistics cannot tell channel orders apart, so each normalisation stands for three: RGB, BGR with
        each colour's own mean and std, and BGR with the list for RGB applied by position.
        """
        by_colour = coefficients(transform)
        by_position = by_colour.reshape(2, 3)[:, ::-1].ravel()
        orders = self.rgb.divergence(by_colour), self.bgr.divergence(by_colour), self.bgr.divergence(by_position)
        distances = np.min(orders, axis=0)  # [hypotheses]
        index = int(distances.argmin())
        return _Fit(float(distances[index]), self.hypotheses[index])


def judge_normalisation(
    stem: Stem | str, statistics: PatchStatistics, declared: Transform, extra: Mapping[str, Transform]
) -> NormalisationEvidence:
    """Evaluate a declared normalisation by a network's stem.

    `statistics` are those of a pool like the training images, such as the data set's test images; `extra` are further
    candidates by name, such as the normalisations of other data sets.
    """
    reason = _obstacle(stem, statistics)
    if reason or isinstance(stem, str):
        return NormalisationEvidence("undecidable", None, f"{reason} {UNPROVABLE}", declared, statistics.images)
    fits = _Fits.of(stem, statistics)
    own = fits.best(declared)
    other, best = min(
        ((fits.best(rival.transform), rival) for rival in rivals_of(declared, extra)),
        key=lambda pair: pair[0].divergence,
    )
    if not np.isfinite([own.divergence, other.divergence]).all():
        reason = "The pool's images lack the variation that the first layer responds to."
        return NormalisationEvidence("undecidable", None, f"{reason} {UNPROVABLE}", declared, statistics.images)
    verdict, severity = apply_rule(own.divergence, other.divergence)
    closest, start = min((own, declared), (other, best.transform), key=lambda pair: pair[0].divergence)
    return NormalisationEvidence(
        verdict,
        severity,
        _message(verdict, declared, own, other, best),
        declared,
        statistics.images,
        best,
        own.divergence,
        other.divergence,
        closest.hypothesis,
        _hint(fits.rgb[fits.hypotheses.index(closest.hypothesis)], start),
    )


def apply_rule(declared: float, best: float) -> tuple[Verdict, Severity | None]:
    """Apply the rule to D of the declared and another normalisation."""
    if _outdoes(best, declared):
        return "contradicted", "error" if declared >= ERROR_DIVERGENCE else "warning"
    return ("supported" if _outdoes(declared, best) else "undecidable"), None


def _outdoes(near: float, far: float) -> bool:
    return near <= FITTING_DIVERGENCE and far >= FITTING_RATIO * near and far - near >= FITTING_MARGIN


def _obstacle(stem: Stem | str, statistics: PatchStatistics) -> str:
    if isinstance(stem, str):
        return stem
    height, width = statistics.size
    if (height, width) != (SIDE, SIDE):
        return f"The images are {height}x{width}; the rule was measured for {SIDE}x{SIDE} only."
    if statistics.images < MIN_IMAGES:
        return f"The pool has {statistics.images} images; at least {MIN_IMAGES} are needed."
    return ""


def _hint(response: Response, start: Transform) -> Hint | None:
    fit = free_fit(response, start)
    return Hint(*fit) if fit is not None and fit[1] <= FITTING_DIVERGENCE else None


def _message(verdict: Verdict, declared: Transform, own: _Fit, other: _Fit, best: Candidate) -> str:
    mine = f"the declared {_shown(declared)}"
    theirs = f"{best.name} ({_shown(best.transform)})"
    if verdict == "supported":
        return (
            f"Of the listed normalisations, {mine} is the one that fits the first batch norm's running statistics "
            f"(D {own.divergence:.4f}, augmentation: {own.hypothesis}; next is {theirs}, D {other.divergence:.4f}). "
            "Constants within 0.06 std and 3 % of it cannot be told apart."
        )
    if verdict == "contradicted":
        return (
            f"The first batch norm's running statistics contradict {mine} (D {own.divergence:.4f}): {theirs} fits "
            f"them (D {other.divergence:.4f}, augmentation: {other.hypothesis}). This presumes a pool that looks "
            "like the training images, and a usual augmentation: images that are 10 % darker would read like other "
            "constants."
        )
    if min(own.divergence, other.divergence) > FITTING_DIVERGENCE:
        why = (
            "No listed normalisation fits the first batch norm's running statistics "
            f"(D {own.divergence:.4f} declared, {other.divergence:.4f} for {theirs}): the training images differ "
            "from this pool, or the augmentation or the normalisation is not listed."
        )
    else:
        why = (
            f"The first batch norm's running statistics do not separate {mine} (D {own.divergence:.4f}) "
            f"from {theirs} (D {other.divergence:.4f})."
        )
    return f"{why} {UNPROVABLE}"


def _shown(transform: Transform) -> str:
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (transform.mean, transform.std))
    return f"mean {mean}, std {std}"
