"""The job's own verification, once all its units have ended: what no unit can see alone."""

from __future__ import annotations

from collections.abc import Iterable

from app.jobs import Claim, Unit, UnitState
from worker.context import Context
from worker.verify.between import check_data_between_units, check_targets_between_experts
from worker.verify.checks import Check


def verify(claim: Claim, context: Context) -> None:
    """Check the units against each other and record the job's verdict."""
    units = claim.job.units
    checks = compare(units)
    sound = all(check.verdict != "failed" for check in checks)
    complete = all(unit.state is UnitState.SUCCEEDED for unit in units)
    verdict = "passed" if sound and complete else "failed"
    context.jobs.finish_job(claim, {"verdict": verdict, "checks": [check.to_dict() for check in checks]})


def compare(units: Iterable[Unit]) -> list[Check]:
    """One check for each split (equal targets) and for each base (equal data), over the units that are done."""
    targets: dict[str, dict[str, str]] = {}
    data: dict[str, dict[str, str]] = {}
    for unit in units:
        if unit.artifact is not None:
            targets.setdefault(unit.split, {})[unit.expert] = unit.artifact.targets_sha256
            data.setdefault(unit.artifact.base, {})[f"{unit.expert}/{unit.split}"] = unit.artifact.data_sha256
    return [
        *(check_targets_between_experts(split, digests) for split, digests in targets.items()),
        *(check_data_between_units(base, digests) for base, digests in data.items()),
    ]
