"""The page of one job: how far it is, what came of it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.combine_requests import EvaluationRequest, RejectorRequest
from app.domain.compare_requests import ComparisonRequest
from app.domain.jobs import Job, Unit
from app.domain.requests import RecomputeRequest, VerificationRequest
from app.pages.commands import command_of, curl_of
from app.pages.job_rows import JobRow, Progress, duration, job_row, shown_time
from app.report.figures import FIGURES
from app.submission.resubmission import Submission, submission_of

REPORTED = frozenset({"recompute", "verification", "gating", "rejector", "evaluation", "comparison", "run"})
"""Kinds with a report."""
SENTENCES: Mapping[str, str] = {
    "queued": "Waits for a worker.",
    "running": "Is being done.",
    "cancelling": "Stops after its batch; what is done stays.",
    "cancelled": "Was cancelled; what was done stays.",
}
ACCURACY = FIGURES[0]


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One (expert, split) of a job."""

    expert: str
    split: str
    state: str
    verdict: str | None
    progress: Progress
    rows: str
    """Reused and computed rows, in words."""
    remaining: str | None
    accuracy: str | None
    """Percent."""
    problems: Sequence[str]
    notes: Sequence[str]
    download: str | None
    """Address of its file."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of a run."""

    step: str
    state: str
    reason: str | None
    jobs: Sequence[str]


@dataclass(frozen=True, slots=True)
class JobPage:
    """All that the page shows."""

    job: JobRow
    ended: bool
    sentence: str
    facts: Sequence[tuple[str, str]]
    problems: Sequence[str]
    units: Sequence[UnitRow]
    steps: Sequence[StepRow]
    built_on: Sequence[tuple[str, str]]
    """What it reads of other jobs: word and id."""
    again: Submission | None
    command: str | None
    curl: str | None
    has_report: bool


def job_page(job: Job, base_url: str) -> JobPage:
    """Build the page of a job in any state."""
    again = submission_of(job.request)
    return JobPage(
        job=job_row(job),
        ended=job.state.ended,
        sentence=_sentence(job),
        facts=_facts(job),
        problems=[*([] if job.error is None else [str(job.error["message"])]), *_doubts(job)],
        units=[_unit_row(job, unit) for unit in job.units],
        steps=[StepRow(step.step, step.state, _reason(step.reason, step.error), step.jobs) for step in job.steps],
        built_on=_built_on(job),
        again=again,
        command=command_of(again) if again else None,
        curl=curl_of(again, base_url) if again else None,
        has_report=job.request.kind in REPORTED,
    )


def _sentence(job: Job) -> str:
    if (text := SENTENCES.get(job.state)) is not None:
        return text
    verdict = job.verification.verdict if job.verification else None
    if job.state == "failed":
        return "Failed; its results are not to be used." if verdict == "failed" else "Failed."
    if isinstance(job.request, ComparisonRequest):
        return "Done; the report shows what differs."
    if verdict == "passed":
        return "Done, and every check that could be made passed."
    if verdict == "failed":
        return "Done: what was verified failed its checks."
    return "Done."


def _doubts(job: Job) -> list[str]:
    """List the checks that compared files failed."""
    sides = job.request.sides if isinstance(job.request, ComparisonRequest) else ()
    return [f"{side.label}: {doubt}" for side in sides for doubt in side.doubts]


def _facts(job: Job) -> list[tuple[str, str]]:
    facts = [("Asked for", f"{shown_time(job.created_at)} UTC")]
    if job.started_at and job.finished_at:
        facts.append(("Took", duration(job.finished_at - job.started_at)))
    request = job.request
    if isinstance(request, RecomputeRequest | VerificationRequest):
        facts.append(("Splits folder", request.splits_dir))
    if isinstance(request, RecomputeRequest):
        facts.append(("Checkpoints", f"{request.experts_dir}, prefix {request.checkpoint_prefix!r}"))
        facts.append(("Precision", request.precision))
        if request.calibration != "none":
            facts.append(("Calibration", "divided by the temperature that the checkpoint stores"))
    return [*facts, ("Job", job.id)]


def _unit_row(job: Job, unit: Unit) -> UnitRow:
    verdict = unit.report.verdict if unit.report else None
    download = f"/jobs/{job.id}/artifacts/{unit.expert}/{unit.split}" if unit.artifact else None
    return UnitRow(
        expert=unit.expert,
        split=unit.split,
        state=str(unit.state),
        verdict=verdict,
        progress=Progress(unit.done, unit.total),
        rows=f"{unit.reused:,} reused, {unit.computed:,} computed" if unit.done else "",
        remaining=None if unit.remaining_s is None else duration(unit.remaining_s),
        accuracy=None if unit.accuracy is None else ACCURACY.text(unit.accuracy),
        problems=[] if unit.error is None else [str(unit.error["message"])],
        notes=unit.notes,
        download=download,
    )


def _reason(reason: str | None, error: Mapping[str, object] | None) -> str | None:
    return str(error["message"]) if error else reason


def _built_on(job: Job) -> list[tuple[str, str]]:
    request = job.request
    if isinstance(request, RejectorRequest):
        return [("gating", request.gating)]
    if isinstance(request, EvaluationRequest):
        gatings = [("gating", gating) for gating in request.gatings]
        return gatings + [("rejector", rejector) for rejector in request.rejectors]
    if isinstance(request, ComparisonRequest):
        return [(side.label, side.logits.job) for side in request.sides]
    logits = getattr(request, "logits", None)
    return [("logits", logits.job)] if logits is not None else []
