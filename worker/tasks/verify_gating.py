"""Verify a combination as a whole, once it was applied to all splits."""

from __future__ import annotations

from app.domain.checks import JobReport, verdict_of
from app.domain.fault_points import reach
from app.domain.jobs import Claim, UnitState
from app.domain.outcomes import GatingOutcome
from worker.context import Context
from worker.tasks.verify import compare


def verify_gating(claim: Claim, context: Context) -> None:
    """Compare the splits' targets and labels, repeat warnings, record the verdict."""
    job = claim.job
    done = [(unit, unit.artifact) for unit in job.units if unit.artifact is not None]
    own = job.outcome.checks if isinstance(job.outcome, GatingOutcome) else ()
    checks = (*own, *compare(done))
    complete = all(unit.state is UnitState.SUCCEEDED for unit in job.units)
    reach("verify.verdict")
    context.jobs.finish_job(claim, JobReport(verdict_of(checks, complete=complete), checks))
