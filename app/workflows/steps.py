"""The steps of a run: what each needs, and what an earlier result saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.errors import JobError
from app.domain.jobs import Job
from app.domain.outcomes import EvaluationOutcome, GatingOutcome
from app.domain.run_requests import RunRequest, RunStep, Step
from app.store.runs import Submission
from app.submission.bodies import RecomputeBody, SplitsBody
from app.submission.combine_bodies import EvaluationBody, GatingBody, RejectorBody
from app.submission.gating import plan_gating
from app.submission.recompute import plan
from app.submission.rejection import plan_evaluation, plan_rejector
from app.submission.splits import create_splits
from app.workflows.earlier import (
    changed_files,
    earlier_evaluation,
    earlier_gating,
    earlier_recompute,
    earlier_rejector,
)
from app.workflows.planning import find_set
from app.workflows.site import WorkflowSite


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was looked into: it has ended, or needs jobs."""

    step: RunStep
    jobs: Sequence[str | Submission] = ()
    """In order, the ids of jobs that are kept and those to submit; empty if the step has ended."""


@dataclass(frozen=True, slots=True)
class StepInputs:
    """An open run and its request, as a step sees them."""

    run: Job
    request: RunRequest
    site: WorkflowSite

    def jobs(self, step: Step) -> tuple[str, ...]:
        """Return the ids of an earlier step's jobs."""
        return next(item.jobs for item in self.run.steps if item.step == step)


def take_step(step: RunStep, inputs: StepInputs) -> Taken:
    """Carry out a waiting step, or tell which jobs it needs.

    Raises:
        RelogitError: the step is impossible.
    """
    return _STEPS[step.step](step, inputs)


def _take_splits(step: RunStep, inputs: StepInputs) -> Taken:
    catalog = inputs.site.catalog
    body = SplitsBody.model_validate(inputs.request.bodies["splits"][0])
    if find_set(catalog, catalog.dataset(body.dataset), body.name) is not None:
        return Taken(replace(step, state="kept", reason=f"the set {body.name} exists"))
    create_splits(body, catalog)
    return Taken(replace(step, state="succeeded", reason=f"created the set {body.name}"))


def _take_recompute(step: RunStep, inputs: StepInputs) -> Taken:
    site = inputs.site
    body = RecomputeBody.model_validate(inputs.request.bodies["recompute"][0])
    request, units = plan(body, site.catalog, site.inspections, site.compute_environments())
    if (job := earlier_recompute(request, units, site)) is not None:
        files = _count(len(job.units), "file")
        return _kept(step, [job.id], f"same checkpoints, same splits, {files} unchanged")
    return Taken(step, [Submission(request, units)])


def _take_verify(step: RunStep, inputs: StepInputs) -> Taken:
    """Check the recomputed files as they are now."""
    [job_id] = inputs.jobs("recompute")
    job = inputs.site.jobs.get(job_id)
    for check in changed_files(job, inputs.site.settings):
        raise JobError("file-changed", check.message, job=job_id)
    if job.verification is None or job.verification.verdict != "passed":
        raise JobError("logits-unverified", f"Job {job_id} is not verified.", job=job_id)
    reason = f"{_count(len(job.units), 'file')} unchanged since all checks passed"
    kept = next(item for item in inputs.run.steps if item.step == "recompute").state == "kept"
    return Taken(replace(step, state="kept" if kept else "succeeded", jobs=(job_id,), reason=reason))


def _take_gating(step: RunStep, inputs: StepInputs) -> Taken:
    site = inputs.site
    [logits] = inputs.jobs("recompute")
    body = GatingBody.model_validate({**inputs.request.bodies["gating"][0], "logits": logits})
    request, units = plan_gating(body, site.catalog, site.jobs)
    if (job := earlier_gating(request, site)) is not None:
        return _kept(step, [job.id], "same logits, same splits, same options")
    return Taken(step, [Submission(request, units)])


def _take_rejector(step: RunStep, inputs: StepInputs) -> Taken:
    site = inputs.site
    [gating] = inputs.jobs("gating")
    jobs: list[str | Submission] = []
    for stored in inputs.request.bodies["rejector"]:
        request = plan_rejector(RejectorBody.model_validate({**stored, "gating": gating}), site.jobs)
        earlier = earlier_rejector(request, site)
        jobs.append(Submission(request) if earlier is None else earlier.id)
    kept = [job for job in jobs if isinstance(job, str)]
    if len(kept) == len(jobs):
        return _kept(step, kept, "same gating, same options")
    reason = f"{len(kept)} of {len(jobs)} kept: same gating, same options" if kept else None
    return Taken(replace(step, reason=reason), jobs)


def _take_evaluation(step: RunStep, inputs: StepInputs) -> Taken:
    site = inputs.site
    earlier_steps = {"gatings": inputs.jobs("gating"), "rejectors": inputs.jobs("rejector")}
    body = EvaluationBody.model_validate({**inputs.request.bodies["evaluation"][0], **earlier_steps})
    request = plan_evaluation(body, site.catalog, site.jobs)
    if (job := earlier_evaluation(request, site)) is not None:
        return _kept(step, [job.id], "same gating, same rejectors, same test rows")
    return Taken(step, [Submission(request)])


_STEPS: Mapping[Step, Callable[[RunStep, StepInputs], Taken]] = {
    "splits": _take_splits,
    "recompute": _take_recompute,
    "verify": _take_verify,
    "gating": _take_gating,
    "rejector": _take_rejector,
    "evaluation": _take_evaluation,
}


def _kept(step: RunStep, jobs: Sequence[str], reason: str) -> Taken:
    return Taken(replace(step, state="kept", jobs=tuple(jobs), reason=reason))


def end_step(step: RunStep, jobs: Sequence[Job]) -> RunStep | None:
    """Return a running step as its jobs ended; None while one is open."""
    if not all(job.state.ended for job in jobs):
        return None
    for state in ("failed", "cancelled"):
        for job in jobs:
            if job.state == state:
                error = _failure(job) if state == "failed" else None
                return replace(step, state=state, error=error, reason=None)
    return replace(step, state="succeeded", reason=step.reason or _result(jobs))


def _failure(job: Job) -> dict[str, object]:
    """Return why a job failed: its own error, a unit's, or a check's."""
    report = job.verification
    errors = [job.error, report.error if report else None, *(unit.error for unit in job.units)]
    error = next((error for error in errors if error is not None), None)
    if error is None:
        reports = [report, *(unit.report for unit in job.units)]
        checks = [check for item in reports if item is not None for check in item.checks if check.fatal]
        message = checks[0].message if checks else f"Job {job.id} failed."
        error = {"code": "verification-failed", "message": message, "details": {}}
    return {**error, "details": {**error.get("details", {}), "job": job.id}}


def _result(jobs: Sequence[Job]) -> str | None:
    """Tell in a few words what the jobs of a step made."""
    if len(jobs) > 1:
        return _count(len(jobs), "job")
    job, outcome = jobs[0], jobs[0].outcome
    if isinstance(outcome, GatingOutcome):
        return f"{outcome.method} of {_count(len(outcome.experts), 'expert')}"
    if isinstance(outcome, EvaluationOutcome):
        return f"{outcome.test.list.rows:,} test rows"
    return _count(len(job.units), "file") if job.units else None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
