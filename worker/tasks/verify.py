"""The job's own verification, once all its units have ended: what no unit can see alone."""

from __future__ import annotations

from app.jobs import Claim, UnitState
from worker.context import Context
from worker.verify.report import verify_job


def verify(claim: Claim, context: Context) -> None:
    """Check the units against each other and record the job's verdict."""
    units = claim.job.units
    checks = verify_job({(u.expert, u.split): u.artifact.targets_sha256 for u in units if u.artifact is not None})
    sound = all(check.verdict != "failed" or check.level != "error" for check in checks)
    complete = all(unit.state is UnitState.SUCCEEDED for unit in units)
    verdict = "passed" if sound and complete else "failed"
    context.jobs.finish_job(claim, {"verdict": verdict, "checks": [check.to_dict() for check in checks]})
