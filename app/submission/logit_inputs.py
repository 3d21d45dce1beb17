"""The verified logits that a combination of experts may take from a job or a verification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.domain.combine_requests import GatingRequest, InputFile, InputList, LogitsInput
from app.domain.errors import RequestError
from app.domain.jobs import Job, JobState, UnitState
from app.domain.requests import LogitsRequest, VerificationRequest
from app.store.jobs import JobStore

OLD_ORDER = ("ce_baseline", "logitadjust_baseline", "balsoftmax_baseline")
"""Experts in the order of the old gating scripts, whose networks depend on it."""


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A verified file of logits, and the list that its rows belong to."""

    file: InputFile
    base: str
    split_sha256: str


@dataclass(frozen=True, slots=True)
class VerifiedLogits:
    """All verified files of one job."""

    job: Job
    request: LogitsRequest
    files: Mapping[tuple[str, str], VerifiedFile]
    """By expert and split."""

    @property
    def experts(self) -> tuple[str, ...]:
        """The experts, in the old scripts' order where it says anything, else in the job's."""
        names = list(dict.fromkeys(expert for expert, _ in self.files))
        return (*(name for name in OLD_ORDER if name in names), *(name for name in names if name not in OLD_ORDER))

    def splits(self, experts: Sequence[str]) -> tuple[str, ...]:
        """List the splits that all these experts have, in the job's order."""
        names = dict.fromkeys(split for _, split in self.files)
        return tuple(name for name in names if all((expert, name) in self.files for expert in experts))

    def input(self, experts: Sequence[str], splits: Sequence[str]) -> LogitsInput:
        """Gather the files of these experts and splits."""
        files = tuple(self.files[expert, split].file for expert in experts for split in splits)
        path = upload = None
        if isinstance(self.request, VerificationRequest):
            path, upload = self.request.path, self.request.upload
        return LogitsInput(self.job.id, files, path, upload)


def newest_logits(jobs: JobStore) -> Job:
    """Return the newest recompute job that succeeded.

    Raises:
        RequestError: `no-logits`.
    """
    for job in jobs.jobs(kind="recompute", states=[JobState.SUCCEEDED], limit=1):
        return job
    raise RequestError("no-logits", "No recompute job has succeeded yet. Recompute logits first, or verify a folder.")


def verified_logits(job: Job, use: str = "combined") -> VerifiedLogits:
    """Collect a job's verified files of logits.

    `use` is what is done to them, in the words of a refusal.

    Raises:
        RequestError: `no-logits`, the job has none; `logits-unverified`, it is open, not verified, or failed.
    """
    request = job.logits_request
    if request is None:
        raise RequestError("no-logits", f"Job {job.id} is a {job.request.kind}; it has no logits to be {use}.")
    report = job.verification
    fatal = [] if report is None else [check for check in report.checks if check.fatal]
    if not job.state.ended or report is None or report.error is not None:
        state = "is not verified" if job.state.ended else f"is {job.state}"
        raise RequestError("logits-unverified", f"Job {job.id} {state}. Only verified logits are {use}.")
    if fatal:
        message = f"The check {fatal[0].id!r} of job {job.id} failed, so its logits are not {use}: {fatal[0].message}"
        raise RequestError("logits-unverified", message)
    files = dict(_checked_files(job) if isinstance(request, VerificationRequest) else _unit_files(job))
    if not files:
        raise RequestError("logits-unverified", f"No result of job {job.id} passed its verification.")
    return VerifiedLogits(job, request, files)


def _unit_files(job: Job) -> Iterator[tuple[tuple[str, str], VerifiedFile]]:
    for unit in job.units:
        verified = unit.report is not None and unit.report.verdict == "passed"
        if unit.state is UnitState.SUCCEEDED and unit.artifact is not None and verified:
            file = InputFile(unit.expert, unit.split, unit.artifact.sha256)
            yield (unit.expert, unit.split), VerifiedFile(file, unit.artifact.base, unit.split_sha256)


def _checked_files(job: Job) -> Iterator[tuple[tuple[str, str], VerifiedFile]]:
    for result in (job.verification and job.verification.results) or ():
        source = result.source
        if result.verdict != "passed" or source is None or source.file is None:
            continue
        assert source.base is not None
        assert source.split_sha256 is not None
        file = InputFile(*result.place, source.file.sha256, source.file.name)
        yield result.place, VerifiedFile(file, source.base, source.split_sha256)


def files_of(request: GatingRequest, split: str) -> tuple[InputList, tuple[InputFile, ...]]:
    """Return the list and the experts' files of one of a gating's splits.

    Raises:
        RequestError: `split-without-logits`.
    """
    if split not in request.splits:
        raise RequestError(
            "split-without-logits",
            f"The gating {request.name!r} has no logits of the split {split!r}. It has: {', '.join(request.splits)}.",
            available=list(request.splits),
        )
    return request.list_of(split), tuple(file for file in request.logits.files if file.split == split)
