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


class ErrorView(BaseModel):
    """An error that is on record: of a job, a unit, or an inspection."""

    code: str = Field(description="Stable name of the error; scripts may rely on it.")
    message: str
    details: dict[str, Any] = Field({}, description="Facts behind the message, such as `available` names.")


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
    error: ErrorView | None
    notes: list[str]

    @classmethod
    def of(cls, unit: Unit) -> UnitView:
        """Build the view of a unit."""
        names = ("expert", "split", "done", "total", "reused", "computed", "attempts", "accuracy", "rate",
                 "remaining_s", "error")  # fmt: skip
        fields = {name: getattr(unit, name) for name in names}
        return cls(**fields, state=str(unit.state), notes=list(unit.notes))


class JobSummary(BaseModel):
    """A job without its units."""

    id: str
    kind: str = Field(description="`recompute` or `verification`; `splits` in stores of earlier versions.")
    state: JobState
    verdict: Literal["passed", "failed"] | None
    error: ErrorView | None = Field(description="What stopped the job as a whole, or its verification.")
    created_at: str
    started_at: str | None
    finished_at: str | None
    deadline_at: str | None = Field(description="The time by which it has to end.")
    traceparent: str | None = Field(description="Of the request that submitted it (W3C Trace Context), as in logs.")
    request: dict[str, Any]


class JobView(JobSummary):
    """A job."""

    units: list[UnitView]
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> JobView:
        """Build the view of a job."""
        base = f"/jobs/{job.id}"
        names = ("verification", "analysis", "report", "artifacts", "archive", "cancel")
        links = {"self": base} | {name: f"{base}/{name}" for name in names}
        return cls(**summarise_job(job), units=[UnitView.of(unit) for unit in job.units], links=links)


def summarise_job(job: Job) -> dict[str, Any]:
    """Return the fields of `JobSummary`."""
    times = {name: getattr(job, name) for name in ("started_at", "finished_at", "deadline_at")}
    return {
        "id": job.id,
        "kind": job.request.kind,
        "state": job.state,
        "verdict": job.verification.verdict if job.verification else None,
        "error": job.error or (job.verification.error if job.verification else None),
        "created_at": rfc3339(job.created_at),
        **{name: None if time is None else rfc3339(time) for name, time in times.items()},
        "traceparent": job.traceparent,
        "request": _shown_request(job.request),
    }


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
    warnings: list[dict[str, str]] = Field(description="What does not stop the job: code, detail.")
    request: dict[str, Any] | None = Field(description="With every default filled in, as far as it can be.")
    arithmetic: dict[str, Any] | None = Field(description="How a living worker would compute it.")
    normalisation: dict[str, dict[str, Any] | None] = Field(
        description="By expert, what its checkpoint says about its mean and std; null where no worker has looked."
    )
    units: list[PlannedUnitView] = Field(description="Those that can be planned.")
    totals: dict[str, float | int | None] = Field(description="The units' figures summed; null where one is.")
    memory: dict[str, int | None] | None = Field(
        description="Bytes that a worker would hold: pools, logits, weights, needed (their sum); measured: the most "
        "that a worker took before; host: of this machine."
    )

    @classmethod
    def of(cls, plan: Plan) -> PlanView:
        """Build the view of a plan."""
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
