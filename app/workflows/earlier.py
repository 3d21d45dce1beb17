"""Earlier results that a run need not make again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

from app.domain.checks import Check
from app.domain.combine_requests import EvaluationRequest, GatingRequest, RejectorRequest
from app.domain.compare_requests import ComparisonRequest
from app.domain.comparisons import ComparisonOutcome
from app.domain.jobs import Job, Unit, UnitPlan
from app.domain.numerics import ComputeEnvironment
from app.domain.outcomes import EvaluationOutcome
from app.domain.requests import RecomputeRequest
from app.files.disk import file_sha256
from app.report.current_checks import file_checks, publisher, shown_path
from app.settings import Settings
from app.workflows.site import WorkflowSite

UNDECIDING = ("reuse", "grounds")
"""Fields of a recompute request that are not compared as they stand."""
NUMERICS = ("precision", "device", "model", "capability", "engine", "engine_version", "revision")
"""Of a manifest's `compute`: what decides a row's bits, but for the batch, which the request decides."""


def earlier_recompute(request: RecomputeRequest, units: Sequence[UnitPlan], site: WorkflowSite) -> Job | None:
    """Find a job that computed just this, with its files as they were.

    None if the request asks to compute without reuse.
    """
    if not request.reuse:
        return None
    environments = site.compute_environments()
    fields = {"dataset": request.dataset, "output_dir": request.output_dir, "splits_dir": request.splits_dir}
    for job in site.runs.succeeded(RecomputeRequest.kind, fields):
        same = _same_recompute(job, request, units) and _same_numerics(job, request, environments)
        if same and _is_published(job, site.settings):
            return job
    return None


def earlier_gating(request: GatingRequest, site: WorkflowSite) -> Job | None:
    """Find a gating of the same identity, with its files as they were."""
    for job in site.runs.succeeded(GatingRequest.kind, {"identity": request.identity}):
        if _is_newest(job, request, site) and _is_published(job, site.settings):
            return job
    return None


def earlier_rejector(request: RejectorRequest, site: WorkflowSite) -> Job | None:
    """Find a rejector of the same identity over the same job.

    An equal gating of another job does not count: an evaluation would compare the two.
    """
    fields = {"identity": request.identity, "gating": request.gating}
    jobs = site.runs.succeeded(RejectorRequest.kind, fields, limit=1)
    return next((job for job in jobs if _is_newest(job, request, site)), None)


def earlier_evaluation(request: EvaluationRequest, site: WorkflowSite) -> Job | None:
    """Find an evaluation of the same jobs, with its files as they were."""
    for job in site.runs.succeeded(EvaluationRequest.kind, {"identity": request.identity}):
        if job.request == request and _files_are_there(job, site.settings):
            return job
    return None


def earlier_comparison(request: ComparisonRequest, site: WorkflowSite) -> Job | None:
    """Find a comparison of the same logits under the same names, with its files as they were.

    The jobs that the logits were taken from may be others.
    """
    fields = {"identity": request.identity, "name": request.name, "output_dir": request.output_dir}
    for job in site.runs.succeeded(ComparisonRequest.kind, fields):
        if _files_are_there(job, site.settings):
            return job
    return None


def _is_newest(job: Job, request: GatingRequest | RejectorRequest, site: WorkflowSite) -> bool:
    """Tell whether no later job has published its parameters under the same name."""
    fields = {"dataset": request.dataset, "name": request.name}
    return [newest.id for newest in site.runs.succeeded(request.kind, fields, limit=1)] == [job.id]


def _is_published(job: Job, settings: Settings) -> bool:
    """Tell whether a job's files are as they were, and still its own.

    A later job may have written the same logits there, with a manifest that names other splits.
    """
    owners = {publisher(shown_path(settings, job, unit)) for unit in job.units}
    return owners == {job.id} and not changed_files(job, settings)


def changed_files(job: Job, settings: Settings) -> list[Check]:
    """Return the checks of a job's files that do not pass, warnings included.

    A copy that is lost, or that a later job has replaced, is a warning to a reader of the job, but no result to go on
    from.
    """
    return [check for unit in job.units for check in file_checks(settings, job, unit) if check.verdict != "passed"]


def _same_recompute(job: Job, request: RecomputeRequest, units: Sequence[UnitPlan]) -> bool:
    """Compare what decides a result: options, lists, data, checkpoints."""
    earlier, wanted = _plain(job.recompute), _plain(request)
    if any(earlier[name] != wanted[name] for name in wanted if name not in UNDECIDING):
        return False
    lists = {(unit.expert, unit.split, unit.split_sha256) for unit in units}
    if {(unit.expert, unit.split, unit.split_sha256) for unit in job.units} != lists:
        return False
    before, now = earlier["grounds"], wanted["grounds"]
    if (before["bases"], before["data"]) != (now["bases"], now["data"]):
        return False
    files = {unit.expert: unit.artifact.checkpoint_sha256 for unit in job.units if unit.artifact}
    return all(
        before["checkpoints"].get(expert) == identity or now["contents"].get(expert) == files.get(expert, "")
        for expert, identity in now["checkpoints"].items()
    )


def _plain(request: RecomputeRequest) -> dict[str, Any]:
    """Write a request as the store has it."""
    plain: dict[str, Any] = json.loads(json.dumps(request.to_dict()))
    return plain


def _same_numerics(job: Job, request: RecomputeRequest, environments: Sequence[ComputeEnvironment]) -> bool:
    """Tell whether a living worker would compute the same bits; also if none lives."""
    able = [environment for environment in environments if request.precision in environment.precisions]
    if not able:
        return True
    offered = [environment.numerics(request.precision, 1) for environment in able]
    values = [{name: getattr(numerics, name) for name in NUMERICS} for numerics in offered]
    return all(_numerics_of(unit) in values for unit in job.units)


def _numerics_of(unit: Unit) -> dict[str, Any]:
    compute = unit.artifact.manifest.get("compute", {}) if unit.artifact else {}
    return {name: compute.get(name) for name in NUMERICS}


def _files_are_there(job: Job, settings: Settings) -> bool:
    files = job.outcome.files if isinstance(job.outcome, EvaluationOutcome | ComparisonOutcome) else {}
    with contextlib.suppress(OSError):
        return all(file_sha256(settings.outputs_dir / name) == sha256 for name, sha256 in files.items())
    return False
