"""Responses of the HTTP API; the bodies of requests are in `app.submission.bodies`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domain.errors import RequestError
from app.domain.jobs import Job, JobState
from app.domain.requests import Request
from app.domain.times import rfc3339
from app.files.row_store import Entry
from app.submission.plans import Memory, Plan, PlannedUnit


class ProblemItem(BaseModel):
    """One of a problem's causes."""

    code: str
    detail: str
    pointer: str | None = Field(None, description="Where in the body, as a JSON pointer (RFC 6901).")
    parameter: str | None = Field(None, description="Which query parameter.")
    available: list[str] | None = Field(None, description="Names that would have been right.")

    @classmethod
    def of(cls, error: RequestError) -> ProblemItem:
        """Build the item of one problem."""
        known = {name: error.details.get(name) for name in ("pointer", "parameter", "available")}
        return cls(code=error.code, detail=error.message, **known)


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

    model_config = ConfigDict(from_attributes=True)

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
        names = ("verification", "analysis", "report", "artifacts", "archive", "cancel")
        links = job_links(job.id, f"/jobs/{job.id}", names)
        return cls.model_validate(summarise_job(job) | {"units": job.units, "links": links})


def job_links(job_id: str, address: str, names: Iterable[str]) -> dict[str, str]:
    """Return the addresses of a job and its sub-resources."""
    return {"self": address} | {name: f"/jobs/{job_id}/{name}" for name in names}


def summarise_job(job: Job) -> dict[str, Any]:
    """Return the fields of `JobSummary`."""
    times = {name: getattr(job, name) for name in ("created_at", "started_at", "finished_at", "deadline_at")}
    return {
        "id": job.id,
        "kind": job.request.kind,
        "state": job.state,
        "verdict": job.verification.verdict if job.verification else None,
        "error": job.error or (job.verification.error if job.verification else None),
        **{name: None if time is None else rfc3339(time) for name, time in times.items()},
        "traceparent": job.traceparent,
        "request": shown_request(job.request),
    }


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobView]


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
    units: list[PlannedUnit] = Field(description="Those that can be planned.")
    totals: dict[str, float | int | None] = Field(description="The units' figures summed; null where one is.")
    memory: Memory | None = Field(
        description="Bytes that a worker would hold: pools, logits, weights, needed (their sum); measured: the most "
        "that a worker took before; host: of this machine."
    )

    @classmethod
    def of(cls, plan: Plan) -> PlanView:
        """Build the view of a plan."""
        names = ("warnings", "arithmetic", "normalisation", "units", "memory")
        return cls(
            ok=not plan.problems,
            problems=[{"code": p.code, "detail": p.message, **p.details} for p in plan.problems],
            request=None if plan.request is None else shown_request(plan.request),
            totals=plan.totals(),
            **{name: getattr(plan, name) for name in names},
        )


class RowsView(BaseModel):
    """The kept rows of one expert over one pool, computed in one way."""

    key: str
    usable: bool = Field(description="False: damaged beyond use; created anew when a job asks for it.")
    seen: dict[str, Any] | None = Field(description="What they were first computed for.")
    architecture: str | None
    classes: int | None
    precision: str | None
    engine: str | None
    model: str | None = Field(description="The processor that they were computed on.")
    rows: int = Field(description="Rows that are there.")
    pool: int | None = Field(description="Images in the pool: the largest number of rows.")
    bytes: int = Field(description="On disk.")
    used_at: str | None = Field(description="When a job last used them.")

    @classmethod
    def of(cls, entry: Entry) -> RowsView:
        """Build the view of an entry of the store."""
        source = entry.about.get("source", {})
        numerics = source.get("numerics", {})
        return cls(
            **{name: getattr(entry, name) for name in ("key", "usable", "rows", "bytes")},
            **{name: numerics.get(name) for name in ("precision", "engine", "model")},
            seen=entry.about.get("seen"),
            architecture=source.get("network", {}).get("architecture"),
            classes=source.get("classes"),
            pool=entry.about.get("size"),
            used_at=rfc3339(entry.used_at) if entry.used_at else None,
        )


class RowTotals(BaseModel):
    """Kept rows, summed."""

    keys: int
    rows: int
    bytes: int

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> RowTotals:
        """Sum the entries of the store."""
        return cls(keys=len(entries), rows=sum(e.rows for e in entries), bytes=sum(e.bytes for e in entries))


def shown_request(request: Request) -> dict[str, Any]:
    """Return the request without what it was checked against."""
    shown = _without_evidence(request.to_dict())
    return shown | {"sides": [_without_evidence(side) for side in shown["sides"]]} if "sides" in shown else shown


def _without_evidence(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name not in ("declaration", "grounds")}
