"""Checks of what a checkpoint file left open, and of the accuracy that it names."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from app.catalog.datasets import DEFAULT_BASE, override_table, toml_key
from app.domain.checks import Check, skipped, warning_check
from worker.experts.assumptions import Assumed
from worker.experts.stored_numbers import StoredAccuracy

TOLERANCE = 0.02  # of the accuracy: another crop, resampling or calibration set explains no more
DEVIATIONS = 3  # standard errors of the accuracy of a part of the base
MANY_ROWS = 1000  # a part of the base from which on its accuracy is worth comparing
DISTORTION = 5  # deviations of chi-square up to which class counts pass for drawn from the base at random


@dataclass(frozen=True)
class Coverage:
    """How far a split speaks for its whole base.

    Attributes:
        rows: distinct images of the split.
        whole: whether the split holds every image of the base, each once.
        balanced: whether its classes are as frequent as in the base, up to what a random draw varies.
    """

    base: str
    rows: int
    whole: bool
    balanced: bool

    @classmethod
    def of(cls, base: str, indices: NDArray[np.int64], labels: NDArray[np.int64]) -> Coverage:
        """Describe a split's `indices` [N], given its base's `labels` [M]."""
        rows = int(np.unique(indices).size)
        whole = rows == indices.size == labels.size
        return cls(base, rows, whole, whole or _is_balanced(labels[indices], labels))


def check_assumptions(assumed: Sequence[Assumed], dataset: str, file: str) -> Check:
    """Check that datasets.toml declares what the checkpoint leaves open."""
    open_ = [item for item in assumed if item.basis == "assumed"]
    measured = {"assumed": {item.override: _json(item.value) for item in open_}}
    expected: dict[str, object] = {"assumed": {}}
    if not open_:
        message = f"Everything that {file} leaves open is declared in datasets.toml."
        if not assumed:
            message = f"{file} leaves nothing open."
        return warning_check("assumptions", True, measured, expected, message)
    things = "; ".join(f"{item.what}: {_toml(item.value)}" for item in open_)
    lines = [f"{item.override} = {_toml(item.value)}" for item in open_]
    own = override_table(dataset, PurePath(file).stem)
    message = (
        f"{file} does not tell all of its network, so this was assumed: {things}. If it is right, declare it in "
        f"datasets.toml, for all experts under [{toml_key(dataset)}.network] or for this one under {own}: "
        f"{'; '.join(lines)}. If it is wrong, write what is right there, and recompute."
    )
    return warning_check("assumptions", False, measured, expected, message, lines)


def check_stored_accuracy(stored: StoredAccuracy | None, accuracy: float, coverage: Coverage) -> Check:
    """Check the accuracy, a fraction, against the file's stored one.

    Compared on the whole test base, or on a part of it of MANY_ROWS with the base's own class frequencies. The two
    may differ by TOLERANCE, and on a part by DEVIATIONS standard errors more.
    """
    if stored is None:
        return skipped("stored-accuracy", "warning", "The checkpoint file names no accuracy.")
    claim = f"The checkpoint file names an accuracy of {stored.value:.2%} ('{stored.name}')"
    if coverage.base != DEFAULT_BASE:
        reason = f"{claim}; this split is of the base {coverage.base!r}, so it was not compared."
        return skipped("stored-accuracy", "warning", reason)
    if not coverage.whole and (coverage.rows < MANY_ROWS or not coverage.balanced):
        why = "other class frequencies than" if coverage.rows >= MANY_ROWS else f"only {coverage.rows} images of"
        reason = f"{claim}; this split has {why} the test base, so it was not compared."
        return skipped("stored-accuracy", "warning", reason)
    error = 0.0
    if not coverage.whole:
        error = max(math.sqrt(share * (1 - share) / coverage.rows) for share in (stored.value, accuracy))
    allowed = TOLERANCE + DEVIATIONS * error
    good = abs(accuracy - stored.value) <= allowed
    measured = {"accuracy": accuracy, "rows": coverage.rows}
    expected = {"accuracy": stored.value, "name": stored.name, "tolerance": allowed}
    images = "the whole test base" if coverage.whole else f"{coverage.rows} images of the test base"
    message = f"{claim}; on {images} it is {accuracy:.2%}, and may differ by {100 * allowed:.1f} points."
    if not good:
        message += (
            " The network was read otherwise than it was trained (what the passport assumes, mean and std, the set "
            "of weights), or the figure is of other images."
        )
    return warning_check("stored-accuracy", good, measured, expected, message)


def _is_balanced(labels: NDArray[np.int64], of_base: NDArray[np.int64]) -> bool:
    """Tell whether Pearson's chi-square allows randomly drawn class counts."""
    in_base = np.bincount(of_base)
    present = in_base > 0
    expected = in_base[present] * (labels.size / of_base.size)
    counts = np.bincount(labels, minlength=in_base.size)[present]
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    freedom = int(present.sum()) - 1
    return chi_square <= freedom + DISTORTION * math.sqrt(2 * max(freedom, 1))


def _json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _toml(value: object) -> str:
    """Write a value as TOML.

    TOML's texts, numbers and lists are JSON's.
    """
    return json.dumps(_json(value))
