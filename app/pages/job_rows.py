"""Jobs as rows of a list, with their progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.combine_requests import EvaluationRequest, GatingRequest, RejectorRequest
from app.domain.compare_requests import ComparisonRequest
from app.domain.jobs import Job
from app.domain.requests import RecomputeRequest, VerificationRequest
from app.domain.run_requests import RunRequest
from app.domain.times import rfc3339
from app.report.words import count, listing


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows that are done, of all."""

    done: int
    total: int

    @property
    def percent(self) -> float:
        """From 0 to 100, rounded down to a tenth: 100 only when all is done."""
        return int(1000 * self.done / self.total) / 10 if self.total else 0.0


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job in a list."""

    id: str
    kind: str
    subject: str
    state: str
    verdict: str | None
    created: str
    progress: Progress | None
    """None for a job without rows of its own."""
    remaining: str | None
    """Time that is left, in words."""


def job_row(job: Job) -> JobRow:
    """Build a job's row."""
    verdict = job.verification.verdict if job.verification else None
    progress = progress_of(job)
    remaining = None if job.state.ended else remaining_s(job)
    return JobRow(
        id=job.id,
        kind=job.request.kind,
        subject=subject_of(job),
        state=str(job.state),
        verdict=verdict,
        created=shown_time(job.created_at),
        progress=progress,
        remaining=None if remaining is None else duration(remaining),
    )


def progress_of(job: Job) -> Progress | None:
    """Sum the rows of a job's units, or count the steps of a run."""
    if job.steps:
        return Progress(sum(step.done for step in job.steps), len(job.steps))
    if not job.units:
        return None
    return Progress(sum(unit.done for unit in job.units), sum(unit.total for unit in job.units))


def remaining_s(job: Job) -> float | None:
    """Estimate the seconds that are left, from the rates of the units that run.

    None where no rate is known. Units that wait are taken to run at the same rate, as many at a time as run now.
    """
    running = [unit for unit in job.units if unit.remaining_s is not None]
    rate = sum(unit.rate or 0.0 for unit in running)
    if not rate:
        return None
    return sum(unit.total - unit.done for unit in job.units if not unit.state.ended) / rate


def subject_of(job: Job) -> str:
    """Say in a few words what a job is about."""
    request = job.request
    if isinstance(request, RecomputeRequest):
        experts = count(len(request.experts), "expert")
        return f"{request.dataset}: {experts} on {listing(request.splits)} → {request.output_dir}"
    if isinstance(request, VerificationRequest):
        return f"{request.dataset}: {request.path or 'uploaded files'}, {count(len(request.files), 'file')}"
    if isinstance(request, GatingRequest):
        return f"{request.dataset}: {listing(request.experts)} → {request.output_dir}/{request.name}"
    if isinstance(request, RejectorRequest):
        return f"{request.dataset}: {request.name} of gating {request.gating[:8]}"
    if isinstance(request, EvaluationRequest):
        return f"{request.dataset}: {request.name} on {request.test}"
    if isinstance(request, ComparisonRequest):
        compared = " → ".join(request.pairs[0]) if len(request.pairs) == 1 else count(len(request.pairs), "pair")
        return f"{request.dataset}: {compared} on {listing(request.splits)}"
    if isinstance(request, RunRequest):
        return f"{request.dataset}: until {request.until}"
    return request.dataset


def shown_time(seconds: float) -> str:
    """Write a time for people, in UTC."""
    when = rfc3339(seconds)
    return f"{when[:10]} {when[11:16]}"


def duration(seconds: float) -> str:
    """Write a time span in its largest units."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def job_rows(jobs: Sequence[Job]) -> list[JobRow]:
    """Build the rows of several jobs."""
    return [job_row(job) for job in jobs]
