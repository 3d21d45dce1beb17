"""Fit a rejector on the rows that its combination was fitted and chosen by."""

from __future__ import annotations

from app.domain.checks import JobReport, verdict_of
from app.domain.combine_requests import RejectorRequest
from app.domain.errors import JobError
from app.domain.jobs import Claim
from app.domain.outcomes import RejectorOutcome
from worker.cancellation import CancellationPoint
from worker.combine.combiners import combiner_of
from worker.combine.prior import effective_size, log_prior
from worker.combine.rejection import concatenate, fit_rules
from worker.combine.summary import summarise
from worker.context import Context
from worker.outputs.rejector_files import publish_rules
from worker.tasks.expert_logits import ExpertLogits
from worker.tasks.fit_gating import versions
from worker.tasks.gating_jobs import fitted_gating
from worker.verify.scale import scale_of


def fit_rejector(claim: Claim, context: Context) -> None:
    """Fit a rule for each coverage and record it.

    Raises:
        RelogitError: the combination or its logits are gone, or no rule accepts enough of each group.
        Stopped, Cancelled: between two candidate rules.
    """
    request = claim.job.request
    assert isinstance(request, RejectorRequest)
    check = CancellationPoint(claim, context).check
    gating, fitted = fitted_gating(request.gating, context)
    inputs = ExpertLogits(gating, context)
    chosen = fitted.candidate
    combiner = combiner_of(chosen.method, chosen.parameters, log_prior(inputs.train_counts))
    parts = []
    for split in (gating.fit, gating.validate):
        check()
        part = inputs.split(split).rows
        if request.score == "energy" and scale_of(part.logits[0]).kind == "log-probabilities":
            message = (
                f"The expert {gating.experts[0]!r} has log-probabilities of {split!r}, as combinations have: their "
                "logsumexp is 0 whatever the row. Take another score."
            )
            raise JobError("energy-of-log-probabilities", message)
        parts.append(summarise(part, combiner, inputs.groups))
    rows = concatenate(*parts)
    rules = fit_rules(request.score, request.objective, request.coverages, request.min_group_coverage, rows, check)
    outcome = RejectorOutcome(
        method=fitted.method,
        rules=rules,
        group_names=inputs.groups.names,
        rows=len(rows.labels),
        effective_rows=effective_size(rows.weights),
        gating_identity=gating.identity,
        versions=versions(),
        checks=fitted.checks,
    )
    context.jobs.record_outcome(claim, outcome)
    publish_rules(request, outcome, context.settings)
    context.jobs.finish_job(claim, JobReport(verdict_of(outcome.checks), outcome.checks))
