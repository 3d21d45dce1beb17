"""Plans as values: what a job would cost, and what is wrong with its request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.domain.errors import RequestError
from app.domain.requests import RecomputeRequest


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """What one (expert, split) would cost; `reasons` says why a figure is None."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012 — the API documents the fields with them

    expert: str
    split: str
    total: int
    """Rows, one for each entry of the index list."""
    reused: int | None
    """Kept from earlier, computed for an earlier unit, or repeated in the split."""
    computed: int | None
    seconds: float | None
    """On one worker, at the measured rate, with the file written and verified."""
    bytes: int
    """To be written: the .npz twice (the job's own and the shown one) and new kept rows; at most, where unknown."""
    reasons: dict[str, str]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a worker would hold, in bytes. None where it cannot be known yet."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012 — the API documents the fields with them

    pools: int | None
    """Decoded images of the bases."""
    logits: int | None
    """Of one expert over the bases, and the largest file's."""
    weights: int | None
    """Of all experts."""
    needed: int | None
    """The sum of these."""
    measured: int | None
    """The most that a worker's process has taken when it computed such rows."""
    host: int
    """This machine's."""


@dataclass(slots=True)
class Plan:
    """What a job would cost, and what is wrong with its request."""

    problems: list[RequestError]
    warnings: list[dict[str, str]]
    request: RecomputeRequest | None
    arithmetic: dict[str, Any] | None
    """How it would be computed; None where no living worker could."""
    normalisation: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """Expert → what its checkpoint says about its mean and std; None where no worker has inspected it."""
    units: list[PlannedUnit] = field(default_factory=list)
    memory: Memory | None = None
    """None where nothing can be planned."""

    def warn(self, code: str, detail: str) -> None:
        """Add a warning, which is no problem."""
        self.warnings.append({"code": code, "detail": detail})

    def totals(self) -> dict[str, float | int | None]:
        """Sum the units' figures; None if one is unknown."""
        sums: dict[str, float | int | None] = {}
        for name in ("total", "reused", "computed", "seconds", "bytes"):
            figures = [getattr(unit, name) for unit in self.units]
            sums[name] = None if None in figures else sum(figures)
        return sums
