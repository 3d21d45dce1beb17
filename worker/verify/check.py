"""What a check says: its verdict, what it measured, and what that was held against."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

MAX_EVIDENCE = 10  # rows; enough to see a pattern, little enough to read

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Check:
    """The outcome of one check. All values are JSON-able, without NaN or infinity.

    Attributes:
        id: kebab-case name, stable between versions.
        level: whether a failure fails the artifact (`error`) or only says so (`warning`).
        verdict: `skipped` where it could not be done; the message says why.
        measured: what was found; None when skipped.
        expected: what it was held against; None when skipped.
        message: one sentence.
        evidence: the first offending rows or classes, at most MAX_EVIDENCE; an audit names all repeats and overlaps.
    """

    id: str
    level: Level
    verdict: Literal["passed", "failed", "skipped"]
    measured: Any
    expected: Any
    message: str
    evidence: tuple[Any, ...] = ()

    @property
    def fatal(self) -> bool:
        """Whether it fails what was checked."""
        return self.level == "error" and self.verdict == "failed"

    def to_dict(self) -> dict[str, Any]:
        """The check as it is stored and sent."""
        # Not by `asdict`, which copies every value: there are some fifteen checks for each unit of a job.
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"evidence": list(self.evidence)}


def skipped(check_id: str, level: Level, reason: str) -> Check:
    """A check that could not be done, with the reason as one sentence."""
    return Check(check_id, level, "skipped", None, None, reason)


def error_check(
    check_id: str, good: bool, measured: Any, expected: Any, message: str, evidence: Iterable[Any] = ()
) -> Check:
    """A check of level `error` that was done."""
    verdict: Literal["passed", "failed"] = "passed" if good else "failed"
    return Check(check_id, "error", verdict, measured, expected, message, tuple(evidence))


def warning_check(
    check_id: str, good: bool, measured: Any, expected: Any, message: str, evidence: Iterable[Any] = ()
) -> Check:
    """A check of level `warning` that was done."""
    return replace(error_check(check_id, good, measured, expected, message, evidence), level="warning")


def first_rows(mask: NDArray[np.bool_]) -> list[int]:
    """The first places where the mask is set, at most MAX_EVIDENCE."""
    return [int(row) for row in np.flatnonzero(mask)[:MAX_EVIDENCE]]


def finite_or_name(value: float | np.floating[Any]) -> float | str:
    """A float as JSON can carry it: NaN and infinities by their names."""
    number = float(value)
    return number if math.isfinite(number) else str(number)
