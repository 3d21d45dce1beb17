"""Evaluate combinations and rejectors on test rows, with fixed parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.domain.checks import Check, JobReport, verdict_of
from app.domain.combine_requests import EvaluationRequest
from app.domain.combining import COVERAGES
from app.domain.evaluations import Evaluation
from app.domain.jobs import Claim
from app.domain.outcomes import EvaluationOutcome
from worker.cancellation import CancellationPoint
from worker.combine.evaluation.evaluate import evaluate
from worker.combine.evaluation.method_rows import MethodRows
from worker.context import Context
from worker.outputs.evaluation_files import curves_file, decisions_file, summary_file
from worker.outputs.gating_files import write_files
from worker.tasks.evaluated_methods import REFERENCE, EvaluatedGating, evaluated_methods
from worker.tasks.expert_logits import inputs_of
from worker.tasks.fit_gating import role_rows, versions
from worker.tasks.gating_jobs import fitted_gating, fitted_rejector
from worker.verify.combining import check_shared_rows


def evaluate_methods(claim: Claim, context: Context) -> None:
    """Evaluate all methods and record their figures.

    Raises:
        RelogitError: a combination, a rejector or logits are gone, or are not those of the request.
        Stopped, Cancelled: between two methods, or two blocks of resamples.
    """
    request = claim.job.request
    assert isinstance(request, EvaluationRequest)
    check = CancellationPoint(claim, context).check
    rejectors = [fitted_rejector(job_id, context) for job_id in request.rejectors]
    gatings = []
    for job_id in request.gatings:
        check()
        own = [(asked, outcome) for asked, outcome in rejectors if asked.gating == job_id]
        gatings.append(EvaluatedGating(*fitted_gating(job_id, context), own, request.test, context))
    first = gatings[0]
    methods, decisions = evaluated_methods(gatings, check)
    evaluation = _evaluate(gatings, methods, check)
    outcome = EvaluationOutcome(
        evaluation=evaluation,
        test=role_rows(first.request, first.test),
        prior=first.request.prior,
        inputs=tuple(dict.fromkeys(file for gating in gatings for file in inputs_of(gating.request, [request.test]))),
        versions=versions(),
        checks=_checks(gatings),
    )
    context.jobs.hold(claim)
    root = context.settings.outputs_dir / request.output_dir
    files: dict[str, str] = {}
    for name, decided in decisions.items():
        files |= _write(root, name, {f"{request.test}_decisions.npz": decisions_file(decided)})
    files |= _write(
        root, request.name, {"curves.csv": curves_file(evaluation), "summary.json": summary_file(outcome)}
    )
    outcome = replace(outcome, files=files)
    context.jobs.record_outcome(claim, outcome)
    context.jobs.finish_job(claim, JobReport(verdict_of(outcome.checks), outcome.checks))


def _evaluate(
    gatings: Sequence[EvaluatedGating], methods: Sequence[MethodRows], check: Callable[[], None]
) -> Evaluation:
    """Evaluate methods on the test rows, which all gatings share, at the rejectors' coverages."""
    rules = next((rules for gating in gatings for rules in gating.rules.values()), None)
    coverages = COVERAGES if rules is None else tuple(rule.coverage for rule in rules.rules)
    test, groups = gatings[0].test, gatings[0].inputs.groups
    return evaluate(
        methods,
        test.rows.labels,
        groups.of_class[test.rows.labels],
        groups.names,
        test.rows.weights,
        test.split.indices,
        coverages,
        REFERENCE,
        check,
    )


def _checks(gatings: list[EvaluatedGating]) -> tuple[Check, ...]:
    """Check that nothing was fitted on the test rows; repeat the gatings' warnings."""
    checks: dict[tuple[str, str], Check] = {}
    for gating in gatings:
        inputs, test = gating.inputs, gating.test.split
        for check in (check_shared_rows(test, inputs.fitted_lists()), *gating.outcome.checks):
            checks.setdefault((check.id, check.message), check)
    return tuple(checks.values())


def _write(root: Path, folder: str, files: Mapping[str, bytes]) -> dict[str, str]:
    digests = write_files(root / folder, files)
    return {f"{root.name}/{folder}/{name}": digest for name, digest in digests.items()}
