"""Runs of the whole workflow: the request, and the state of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, get_args

Step = Literal["splits", "recompute", "verify", "gating", "rejector", "evaluation"]
STEPS: tuple[Step, ...] = get_args(Step)
"""In the order in which a run takes them."""

StepState = Literal["waiting", "running", "succeeded", "kept", "failed", "cancelled"]
"""`kept`: the result was there already, and right."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Carry out the workflow from splits to an evaluation; each step is a job of its own."""

    kind: ClassVar[Literal["run"]] = "run"

    dataset: str
    until: Step
    """The last step."""
    bodies: Mapping[str, tuple[Mapping[str, Any], ...]] = field(repr=False)
    """Step → the bodies of the requests that make it, without the ids of earlier steps; none for `verify`."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps to take, in order."""
        return STEPS[: STEPS.index(self.until) + 1]

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON-able fields, as stored."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRequest:
        """Rebuild the request that `to_dict` wrote."""
        bodies = {step: tuple(bodies) for step, bodies in data["bodies"].items()}
        return cls(**{**data, "bodies": bodies})


@dataclass(frozen=True, slots=True)
class RunStep:
    """One step of a run."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012 — the API documents the fields with them

    step: Step
    state: StepState = "waiting"
    jobs: tuple[str, ...] = ()
    """Ids of the jobs that carry it out or did so before; none for `splits` and before the step begins."""
    reason: str | None = None
    """Why it was kept, in one sentence, or what it made."""
    error: Mapping[str, Any] | None = None
    """Why it failed: `code`, `message`, `details`."""

    @property
    def done(self) -> bool:
        """Whether its result is there."""
        return self.state in ("succeeded", "kept")
