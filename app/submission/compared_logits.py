"""The logits that a comparison may take from a job: verified ones, and doubtful files with their failed checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.checks import Check, Result
from app.domain.combine_requests import InputFile
from app.domain.errors import RequestError
from app.domain.jobs import Job
from app.domain.requests import VerificationRequest
from app.submission.logit_inputs import VerifiedFile, VerifiedLogits, verified_logits

NEEDED = frozenset({"shapes", "finite"})
"""Checks that a file must have passed: its logits are finite numbers for each row of the split and each class."""


@dataclass(frozen=True, slots=True)
class ComparedLogits:
    """The files of one job that can be compared."""

    logits: VerifiedLogits
    doubts: Mapping[tuple[str, str], Sequence[str]]
    """Sentences about the failed checks of a file, by expert and split; empty for what passed."""

    def doubts_of(self, expert: str, splits: Sequence[str]) -> tuple[str, ...]:
        """List what is doubtful about one expert's files."""
        return tuple(dict.fromkeys(text for split in splits for text in self.doubts.get((expert, split), ())))


def compared_logits(job: Job) -> ComparedLogits:
    """Collect the files of a job that can be compared.

    A file that failed a verification is one of them if it holds finite logits of the right shape: to find out what is
    wrong with a file is what people compare it for.

    Raises:
        RequestError: `no-logits`, the job has none; `logits-unverified`, it is open, not verified, or failed.
    """
    report = job.verification
    if not isinstance(job.request, VerificationRequest) or report is None or report.error is not None:
        return ComparedLogits(verified_logits(job, "compared"), {})
    results = [result for result in report.results or () if _is_comparable(result)]
    if not results:
        raise RequestError("logits-unverified", _nothing_comparable(job, report.results or ()))
    of_all = [_doubt("The files together", check) for check in report.checks if check.fatal]
    files, doubts = {}, {}
    for result in results:
        files[result.place] = _file_of(result)
        own = [_doubt(_named(result), check) for check in result.report.checks if check.fatal]
        doubts[result.place] = [*own, *of_all]
    return ComparedLogits(VerifiedLogits(job, job.request, files), doubts)


def _is_comparable(result: Result) -> bool:
    passed = {check.id for check in result.report.checks if check.verdict == "passed"}
    return result.source is not None and result.source.file is not None and passed >= NEEDED


def _file_of(result: Result) -> VerifiedFile:
    source = result.source
    assert source is not None
    assert source.file is not None
    assert source.base is not None
    assert source.split_sha256 is not None
    file = InputFile(*result.place, source.file.sha256, source.file.name)
    return VerifiedFile(file, source.base, source.split_sha256)


def _doubt(what: str, check: Check) -> str:
    return f"{what} failed the check {check.id!r}: {check.message}"


def _nothing_comparable(job: Job, results: Sequence[Result]) -> str:
    reasons = (_doubt(_named(result), check) for result in results for check in result.report.checks if check.fatal)
    return (
        f"No file of the verification {job.id} holds finite logits of the right shape, which a comparison needs. "
        f"{next(reasons, '')}"
    ).rstrip()


def _named(result: Result) -> str:
    return f"{result.expert} / {result.split}"
