"""Check of a file's rows against recomputed ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE, Check, error_check
from worker.verify.json_values import finite_or_name

CHECK_ID = "recomputed-sample"
SEED = 0
ABSOLUTE = 1e-4  # of a logit, for rows of small logits
EXACT = 1e-4  # of a row's largest logit; float32 on other devices and libraries differs by less than a tenth of it
OF_HALF_FILE = 2.0**-10  # float16 rounds to 2^-11
OF_PRECISION = {"tf32": 2.0**-6, "fp16": 2.0**-6, "bf16": 2.0**-3}
"""Measured for three published CIFAR ResNets, at most: tf32 0.0053, fp16 0.0065, bf16 0.064 of the largest logit."""
MISSED = 0.05  # probability with which a sample may miss the share of wrong rows that its message names
NAMED = 5  # rows, in a message


@dataclass(frozen=True, eq=False)
class Sample:
    """Recomputed rows of a split, and their checkpoint.

    Attributes:
        rows: [n] int64, places in the split, ascending; `images` are the indices there.
        logits: [n, C] float32, raw and finite.
        computed: distinct images among them, of `distinct` ones in the split.
        transform: `mean` and `std` of the pixels that they were computed from.
    """

    rows: NDArray[np.int64]
    images: NDArray[np.int64]
    logits: NDArray[np.float32]
    computed: int
    distinct: int
    checkpoint: str
    sha256: str
    temperature: float | None
    transform: Mapping[str, list[float]]


@dataclass(frozen=True, eq=False)
class _Fit:
    """Differences of a file's rows from the recomputed ones, divided by one temperature; [n] each."""

    divisor: float | None
    difference: NDArray[np.float64]
    relative: NDArray[np.float64]
    wrong: NDArray[np.bool_]


def spread_images(indices: NDArray[np.int64], count: int, seed: int = SEED) -> NDArray[np.int64]:
    """Choose distinct images, one at random from each equal part.

    `indices` are [N], the split; of an image that repeats the first place counts. All are chosen if there are fewer
    than `count` ≥ 1. Returns [n] int64 in the split's order; equal arguments give equal images.
    """
    _, first = np.unique(indices, return_index=True)
    places = np.sort(first)
    parts = min(count, places.size)
    edges = np.arange(parts + 1, dtype=np.int64) * places.size // parts
    within = np.random.default_rng(seed).random(parts) * np.diff(edges)
    return indices[places[edges[:-1] + within.astype(np.int64)]]


def check_recomputed_sample(
    stored: NDArray[np.floating[Any]], sample: Sample, stated: Mapping[str, Any] | None = None
) -> Check:
    """Check a file's rows against those of its checkpoint.

    A row is right if no logit differs from the recomputed one by more than a share of the row's largest recomputed
    logit (see `relative_tolerance`), or than ABSOLUTE. Where a manifest states a calibration (`preparation`), that
    one must fit; else rows may be raw, or divided by the temperature that the checkpoint stores. `stored` is [n, C],
    the file's rows at `sample.rows`, in the file's dtype.
    """
    tolerance = relative_tolerance(stored.dtype, None if stated is None else stated.get("precision"))
    calibration = None if stated is None else stated.get("calibration")
    known = list(dict.fromkeys((None, sample.temperature)))
    allowed = [divisor for divisor in known if calibration is None or _equal(divisor, calibration["divided_by"])]
    if calibration is not None and not allowed:  # rows that fit any stated divisor prove nothing
        return _impossible_divisor(calibration["divided_by"], known, sample)
    # The divisor with the fewest wrong rows: of a divided file with some wrong rows, only these are wrong.
    fits = [_fit(stored, sample.logits, divisor, tolerance) for divisor in allowed]
    fit = min(fits, key=lambda fit: fit.wrong.sum())
    message = _agreement_message(fit, sample)
    worst = np.argsort(-fit.difference, kind="stable")[: min(MAX_EVIDENCE, int(fit.wrong.sum()))]
    if fit.wrong.any():
        message = _difference_message(fit, sample, sample.rows[worst]) + _transform_note(sample, stated)
        other_divisors = [divisor for divisor in known if divisor not in allowed]
        message += next(_hints(stored, sample, fit, other_divisors, tolerance), "")
    measured = {
        "rows": int(sample.rows.size),
        "differing_rows": int(fit.wrong.sum()),
        "largest_difference": finite_or_name(fit.difference.max()),
        "largest_relative": finite_or_name(fit.relative.max()),
        "argmax_differences": int((stored.argmax(axis=1) != sample.logits.argmax(axis=1)).sum()),
        "divided_by": fit.divisor,
        "checkpoint": sample.checkpoint,
        "checkpoint_sha256": sample.sha256,
    }
    expected = {"differing_rows": 0, "relative": tolerance, "absolute": ABSOLUTE}
    evidence = [_evidence(stored, sample, fit, int(place)) for place in worst]
    return error_check(CHECK_ID, not fit.wrong.any(), measured, expected, message, evidence)


def _evidence(stored: NDArray[np.floating[Any]], sample: Sample, fit: _Fit, place: int) -> dict[str, Any]:
    return {
        "row": int(sample.rows[place]),
        "image": int(sample.images[place]),
        "difference": finite_or_name(fit.difference[place]),
        "argmax": int(stored[place].argmax()),
        "recomputed_argmax": int(sample.logits[place].argmax()),
    }


def _impossible_divisor(stated: float | None, known: list[float | None], sample: Sample) -> Check:
    """Build the failed check of a divisor unknown to the checkpoint."""
    stored = "no temperature" if sample.temperature is None else f"{sample.temperature:.6g}"
    divisor = finite_or_name(stated) if stated is not None else None
    message = f"The manifest says that the rows were divided by {divisor}, but {sample.checkpoint} stores {stored}."
    return error_check(CHECK_ID, False, {"divided_by": divisor}, {"divided_by": known}, message)


def _transform_note(sample: Sample, stated: Mapping[str, Any] | None) -> str:
    transform = (stated or {}).get("transform")
    if not transform or all(transform[name] == sample.transform[name] for name in ("mean", "std")):
        return ""
    return " The manifest states another mean or std than the data set declares now."


def _equal(divisor: float | None, stated: float | None) -> bool:
    if divisor is None or stated is None:
        return divisor is stated
    return math.isclose(divisor, stated, rel_tol=1e-6)


def relative_tolerance(dtype: np.dtype[Any], precision: str | None) -> float:
    """Return the difference that dtype and precision explain.

    It is relative to a row's largest logit.
    """
    of_file = OF_HALF_FILE if dtype.itemsize == 2 else EXACT
    return max(of_file, OF_PRECISION.get(precision or "", 0.0))


def _fit(
    stored: NDArray[np.floating[Any]], logits: NDArray[np.float32], divisor: float | None, tolerance: float
) -> _Fit:
    right = logits if divisor is None else logits / np.float32(divisor)
    scale = np.abs(right).max(axis=1).astype(np.float64)  # [n]
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(stored.astype(np.float64) - right).max(axis=1)
    difference[np.isnan(difference)] = np.inf
    relative = difference / np.maximum(scale, np.finfo(np.float32).tiny)
    return _Fit(divisor, difference, relative, difference > np.maximum(tolerance * scale, ABSOLUTE))


def _agreement_message(fit: _Fit, sample: Sample) -> str:
    divided = "" if fit.divisor is None else f", divided by the stored temperature {fit.divisor:.6g},"
    rows = f"{sample.rows.size} rows ({sample.computed} of {sample.distinct} images)"
    message = f"{rows} are what {sample.checkpoint} gives{divided} up to {fit.difference.max():.2g}"
    if sample.computed == sample.distinct:
        return f"{message}; that is every row of the file."
    share = 1 - MISSED ** (1 / sample.computed)
    return f"{message}; with more than {share:.1%} of the images wrong, 19 of 20 such samples would show it."


def _difference_message(fit: _Fit, sample: Sample, rows: NDArray[np.int64]) -> str:
    divided = "" if fit.divisor is None else f", divided by {fit.divisor:.6g}"
    named = ", ".join(map(str, rows[:NAMED].tolist()))
    return (
        f"{int(fit.wrong.sum())} of {sample.rows.size} rows are not what {sample.checkpoint} gives for the split's "
        f"images{divided}, most of all the rows {named}."
    )


def _hints(
    stored: NDArray[np.floating[Any]], sample: Sample, fit: _Fit, divisors: list[float | None], tolerance: float
) -> Iterator[str]:
    """Yield explanations that fit all rows, the likeliest first."""
    for divisor in divisors:
        if not _fit(stored, sample.logits, divisor, tolerance).wrong.any():
            how = "undivided" if divisor is None else f"divided by the stored temperature {divisor:.6g}"
            yield f" They fit {how}, which is not what the manifest says."
    logits = sample.logits.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    for name, values in (("softmax", np.exp(logits)), ("log-softmax", logits)):
        if not _fit(stored, values.astype(np.float32), None, tolerance).wrong.any():
            yield f" They are the {name} of what it gives, not the logits."
    if fit.relative.max() <= OF_PRECISION["tf32"]:
        yield (
            " All differences are small, as of slightly other mean and std, or of a lower precision (PyTorch "
            "computes convolutions on GPUs in TF32 unless told otherwise)."
        )
