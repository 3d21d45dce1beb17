"""Tell raw logits from probabilities or their logarithms.

Softmax of probabilities is no probability: the NLL of right predictions is then near log C − 1, whatever the expert.
Softmax of log-probabilities gives the probabilities back, so only the raw scale of the logits is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import Check, skipped, warning_check

Kind = Literal["logits", "probabilities", "log-probabilities"]

CHANCE = 1e-9  # probability with which logits may pass for something else
FIRST_ROWS, BLOCK_ROWS = 8, 4096  # raw logits are recognised by their first rows, as a rule
ROUNDINGS = 4  # of a softmax: exponential, sum, quotient and storing; a sum in the same precision has a few more
MAX_LOG = 64.0  # nats; logits masked with huge negative numbers would make any tolerance too wide
COMPUTED_UNIT = 2.0**-24  # unit roundoff of float32, in which sums are made at least


@dataclass(frozen=True)
class Scale:
    """What the rows of a file hold.

    Attributes:
        kind: what is certain; `logits` as well where too few rows look like something else.
        resembles: what the rows look like, certain or not.
        rows: N.
        deviation: the largest |Σ p − 1| or |log Σ exp| of a row; None for logits.
        tolerance: rounding that explains a deviation; None for logits.
    """

    kind: Kind
    resembles: Kind
    rows: int
    deviation: float | None = None
    tolerance: float | None = None

    @property
    def reason(self) -> str | None:
        """Why figures of confidence and likelihood have no meaning; None where they have one."""
        if self.kind != "probabilities":
            return None
        return "The file holds probabilities, whose softmax is no probability; see the check 'raw-logits'."


@dataclass(frozen=True)
class _Grain:
    """A set of numbers to which values were rounded: relative unit roundoff, absolute half step, and membership."""

    unit: float
    step: float
    holds: Callable[[NDArray[np.floating[Any]]], bool]


def scale_of(logits: NDArray[np.floating[Any]]) -> Scale:
    """Tell raw logits from probabilities and log-probabilities.

    Probabilities lie in [0, 1] and sum to 1 in each row; log-probabilities are at most 0 with a logsumexp of 0. Both
    hold up to rounding, whose size the values show themselves: numbers that are all exact in bfloat16 were rounded to
    8 bits, whatever the file's dtype (see `_grains`). With unit roundoff u, a softmax that rounds ROUNDINGS times
    sums to 1 within ROUNDINGS·u, and storing small numbers with a fixed step of 2h adds up to C·h.

    Logits pass for something else by chance: where a row's sum may be any number, it is within ±t of 1 with a
    probability of about 2t. So (2t)^N must be at most CHANCE, and the rows must not be all the same. `logits` are [N,
    C] of any float dtype, finite, N ≥ 1.
    """
    rows, classes = logits.shape
    if classes > 1:
        for kind in ("probabilities", "log-probabilities"):
            deviation, tolerance = _measure(logits, kind)
            if deviation <= tolerance:
                certain = rows * math.log(2 * tolerance) <= math.log(CHANCE) and bool((logits != logits[0]).any())
                return Scale(kind if certain else "logits", kind, rows, deviation, tolerance)
    return Scale("logits", "logits", rows)


def check_raw_logits(scale: Scale, classes: int) -> Check:
    """Check that rows are raw logits, not (log-)probabilities."""
    check_id = "raw-logits"
    if classes < 2:
        return skipped(check_id, "warning", "With one class every softmax is 1, whatever the file holds.")
    if scale.kind != scale.resembles:
        return skipped(
            check_id,
            "warning",
            f"The rows look like {scale.resembles}, but {scale.rows} rows are too few, or all the same, to be sure.",
        )
    measured = {"scale": scale.kind, "largest_deviation": scale.deviation, "tolerance": scale.tolerance}
    messages = {
        "logits": "The rows are neither probabilities nor log-probabilities.",
        "probabilities": (
            f"The file holds probabilities, not logits: all values are in [0, 1] and each of the {scale.rows} rows "
            "sums to 1. Accuracies are right; likelihood, calibration and selective figures would be those of a "
            "second softmax, so they are left out. Store the logits."
        ),
        "log-probabilities": (
            f"The file holds log-probabilities, not raw logits: each of the {scale.rows} rows has a logsumexp of 0. "
            "Their softmax is that of the logits, so all figures are right, but each row lost a constant: what needs "
            "the raw scale (logsumexp, energy) is lost."
        ),
    }
    expected = {"scale": "logits"}
    return warning_check(check_id, scale.kind == "logits", measured, expected, messages[scale.kind])


def _measure(logits: NDArray[np.floating[Any]], kind: Kind) -> tuple[float, float]:
    """Compute the rows' largest deviation and its tolerance.

    Infinity and 0 where a value or a row rules the kind out.
    """
    rows, classes = logits.shape
    grains = _grains(logits.dtype)
    widest = max(_tolerance(kind, grain, classes, MAX_LOG) for grain in grains)
    deviation, largest = 0.0, 0.0
    start, stop = 0, FIRST_ROWS
    while start < rows:
        block = logits[start:stop]
        outside, deviations = _deviations(block.astype(np.float64), kind)
        deviation = max(deviation, outside, float(deviations.max()))
        if deviation > widest:
            return math.inf, 0.0
        grains = [grain for grain in grains if grain.holds(block)]
        largest = max(largest, float(np.abs(block).max()))
        start, stop = stop, stop + BLOCK_ROWS
    return deviation, _tolerance(kind, grains[0], classes, min(largest, MAX_LOG))


def _deviations(values: NDArray[np.float64], kind: Kind) -> tuple[float, NDArray[np.float64]]:
    """Return how far values are out of range, and row sums off."""
    if kind == "probabilities":
        with np.errstate(over="ignore", invalid="ignore"):  # an infinite sum is far from 1
            return float(max(-values.min(), values.max() - 1)), np.abs(values.sum(axis=1) - 1)
    largest = values.max(axis=1)  # [n]
    with np.errstate(over="ignore"):
        total = np.exp(values - largest[:, None]).sum(axis=1)
    return float(values.max()), np.abs(largest + np.log(total))


def _tolerance(kind: Kind, grain: _Grain, classes: int, largest: float) -> float:
    """Compute the deviation that rounding explains, see `scale_of`.

    The error of a log-probability l is up to u·|l|, which the sum weights with p: at most u·log C; a shift by a
    rounded logsumexp adds u times its size, about that of the `largest` |l|.
    """
    computed = (classes + 8) * COMPUTED_UNIT
    if kind == "probabilities":
        return ROUNDINGS * grain.unit + classes * grain.step + computed
    return grain.unit * (ROUNDINGS * (1 + math.log(classes)) + largest) + grain.step + computed


def _grains(dtype: np.dtype[Any]) -> list[_Grain]:
    """List possible roundings of values, from coarse to fine."""
    grains = [_Grain(2.0**-8, 0.0, _in_bfloat16), _Grain(2.0**-11, 0.0, _in_dtype(np.float16))]
    if dtype.itemsize > 2:  # in float16 every number is near one of three decimals
        grains += [_Grain(0.0, 0.5 * 10.0**-digits, _in_decimals(digits)) for digits in (3, 4, 5, 6)]
        grains.append(_Grain(2.0**-24, 0.0, _in_dtype(np.float32)))
    return [*grains, _Grain(float(np.finfo(dtype).eps) / 2, 0.0, lambda _: True)]


def _in_bfloat16(values: NDArray[np.floating[Any]]) -> bool:
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(values, np.float32)
    return bool((single == values).all()) and not (single.view(np.uint32) & 0xFFFF).any()


def _in_dtype(dtype: type[np.floating[Any]]) -> Callable[[NDArray[np.floating[Any]]], bool]:
    def holds(values: NDArray[np.floating[Any]]) -> bool:
        with np.errstate(over="ignore"):
            return bool((values.astype(dtype) == values).all())

    return holds


def _in_decimals(digits: int) -> Callable[[NDArray[np.floating[Any]]], bool]:
    def holds(values: NDArray[np.floating[Any]]) -> bool:
        scaled = values.astype(np.float64) * 10.0**digits
        # What a decimal becomes in binary is off by the unit of the dtype.
        return bool((np.abs(scaled - np.rint(scaled)) <= np.finfo(values.dtype).eps * np.abs(scaled)).all())

    return holds
