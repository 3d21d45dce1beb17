"""The page of comparisons: those that there are, and what can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.domain.errors import RelogitError
from app.domain.jobs import Job, JobState
from app.pages.commands import command_of
from app.pages.job_rows import shown_time, subject_of
from app.store.jobs import JobStore
from app.submission.compared_logits import compared_logits
from app.submission.resubmission import Submission

OFFERED = 8
"""Newest jobs of each kind."""

KINDS = ("recompute", "gating", "verification")


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of a list to choose from."""

    value: str
    """`JOB` or `JOB:EXPERT`."""
    text: str


@dataclass(frozen=True, slots=True)
class JobChoices:
    """What can be compared of one job."""

    title: str
    choices: Sequence[Choice]


@dataclass(frozen=True, slots=True)
class ShownPlan:
    """What a comparison would do, or why it would be refused."""

    problems: Sequence[str]
    pairs: Sequence[tuple[str, str]] = ()
    splits: Sequence[str] = ()
    doubts: Sequence[str] = ()
    kept: str | None = None
    """Id of a comparison that has this result already."""
    submission: Submission | None = None

    @property
    def command(self) -> str | None:
        """The command that does the same."""
        return None if self.submission is None else command_of(self.submission)


def job_choices(jobs: JobStore) -> list[JobChoices]:
    """List the newest jobs with logits that can be compared, the newest first."""
    found = [job for kind in KINDS for job in jobs.jobs(kind=kind, states=[JobState.SUCCEEDED], limit=OFFERED)]
    found.sort(key=lambda job: job.created_at, reverse=True)
    return list(_comparable(found))


def _comparable(jobs: Sequence[Job]) -> Iterator[JobChoices]:
    for job in jobs:
        try:
            experts = compared_logits(job).logits.experts
        except RelogitError:
            continue
        title = f"{job.request.kind} {job.id[:8]}, {shown_time(job.created_at)}: {subject_of(job)}"
        every = [Choice(job.id, f"all {len(experts)} experts of {job.id[:8]}")] if len(experts) > 1 else []
        yield JobChoices(
            title, [*every, *(Choice(f"{job.id}:{name}", f"{name} of {job.id[:8]}") for name in experts)]
        )
