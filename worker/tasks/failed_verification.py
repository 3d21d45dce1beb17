"""The failure of a unit whose result did not pass its verification."""

from __future__ import annotations

from app.domain.checks import ResultReport
from app.domain.errors import JobError


class VerificationFailed(JobError):
    """A check of a unit failed; its file was written, but is not published under `outputs/`."""

    def __init__(self, report: ResultReport) -> None:
        failed = [check for check in report.checks if check.fatal]
        super().__init__(
            "verification-failed",
            " ".join(f"{check.id}: {check.message}" for check in failed),
            checks=[check.id for check in failed],
        )
        self.report = report
