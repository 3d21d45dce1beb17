"""Responses of the HTTP API; the bodies of requests are in `app.submission.bodies`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.domain.jobs import Job, JobState, Unit
from app.domain.requests import Request
from app.domain.times import rfc3339
from app.submission.plans import Plan


class ProblemItem(BaseModel):
    """One of a problem's causes."""

    code: str
    detail: str
    pointer: str | None = Field(None, description="Where in the body, as a JSON pointer (RFC 6901).")
    parameter: str | None = Field(None, description="Which query parameter.")
    available: list[str] | None = Field(None, description="Names that would have been right.")


class Problem(BaseModel):
    """application/problem+json (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable name of the problem; scripts may rely on it.")
    errors: list[ProblemItem] = []


class UnitView(BaseModel):
    """One (expert, split) of a job."""

    expert: str
    split: str
    state: str
    done: int
    total: int
    reused: int = Field(description="Rows that needed no forward pass.")
    computed: int = Field(description="Rows computed for this unit; with `reused` they are `done`.")
    attempts: int = Field(description="How often a worker has begun with it.")
    accuracy: float | None
    rate: float | None = Field(description="Samples a second.")
    remaining_s: float | None
    error: dict[str, Any] | None
    notes: list[str]

    @classmethod
    def of(cls, unit: Unit) -> UnitView:
        """As it is shown."""
        names = ("expert", "split", "done", "total", "reused", "computed", "attempts", "accuracy", "rate",
                 "remaining_s", "error")  # fmt: skip
        fields = {name: getattr(unit, name) for name in names}
        return cls(**fields, state=str(unit.state), notes=list(unit.notes))


class JobView(BaseModel):
    """A job."""

    id: str
    kind: str = Field(description="`recompute` or `verification`; `splits` in stores of earlier versions.")
    state: JobState
    verdict: Literal["passed", "failed"] | None
    error: dict[str, Any] | None = Field(description="What kept the job as a whole from its end or its verification.")
    created_at: str
    started_at: str | None
    finished_at: str | None
    deadline_at: str | None = Field(description="When it has to have ended.")
    traceparent: str | None = Field(description="Of the request that it came with (W3C Trace Context); logs have it.")
    request: dict[str, Any]
    units: list[UnitView]
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> JobView:
        """As it is shown."""
        here = f"/jobs/{job.id}"
        return cls(
            id=job.id,
            kind=job.request.kind,
            state=job.state,
            verdict=job.verification["verdict"] if job.verification else None,
            error=job.error or (job.verification or {}).get("error"),
            created_at=rfc3339(job.created_at),
            started_at=None if job.started_at is None else rfc3339(job.started_at),
            finished_at=None if job.finished_at is None else rfc3339(job.finished_at),
            deadline_at=None if job.deadline_at is None else rfc3339(job.deadline_at),
            traceparent=job.traceparent,
            request=_shown_request(job.request),
            units=[UnitView.of(unit) for unit in job.units],
            links={"self": here}
            | {n: f"{here}/{n}" for n in ("verification", "analysis", "report", "artifacts", "archive", "cancel")},
        )


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobView]


class PlannedUnitView(BaseModel):
    """What one (expert, split) would cost."""

    expert: str
    split: str
    total: int = Field(description="Rows of the split.")
    reused: int | None = Field(description="Rows that need no forward pass; null where that cannot be known yet.")
    computed: int | None = Field(description="Rows to compute.")
    seconds: float | None = Field(description="On one worker, at the rate measured before; null without one.")
    bytes: int = Field(description="To be written: the file twice, and new kept rows; at most, where not known.")
    reasons: dict[str, str] = Field(description="Why a figure is null.")


class PlanView(BaseModel):
    """What a job would reuse, compute and write, and what would make it fail."""

    ok: bool = Field(description="Whether there are no problems.")
    problems: list[dict[str, Any]] = Field(
        description="As in a refused POST /jobs: code, detail, pointer, available."
    )
    warnings: list[dict[str, str]] = Field(description="What is to be minded: code, detail.")
    request: dict[str, Any] | None = Field(description="With every default filled in, as far as it can be.")
    arithmetic: dict[str, Any] | None = Field(description="How a living worker would compute it.")
    normalisation: dict[str, dict[str, Any] | None] = Field(
        description="By expert, what its checkpoint says about its mean and std; null where no worker has looked."
    )
    units: list[PlannedUnitView] = Field(description="Those that can be planned.")
    totals: dict[str, float | int | None] = Field(description="The units' figures summed; null where one is.")
    memory: dict[str, int | None] | None = Field(
        description="Bytes that a worker would hold: pools, logits, weights, needed (their sum); measured: the most "
        "that one took before; host: what this machine has."
    )

    @classmethod
    def of(cls, plan: Plan) -> PlanView:
        """As it is shown."""
        return cls(
            ok=not plan.problems,
            problems=[{"code": p.code, "detail": p.message, **p.details} for p in plan.problems],
            warnings=plan.warnings,
            request=None if plan.request is None else _shown_request(plan.request),
            arithmetic=plan.arithmetic,
            normalisation=plan.normalisation,
            units=[PlannedUnitView(**asdict(unit)) for unit in plan.units],
            totals=plan.totals(),
            memory=None if plan.memory is None else asdict(plan.memory),
        )


def _shown_request(request: Request) -> dict[str, Any]:
    return {name: value for name, value in request.to_dict().items() if name not in ("declaration", "grounds")}
