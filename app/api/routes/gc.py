"""Garbage collection: what is kept beyond a limit goes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, Strict

from app.api.dependencies import Used
from app.api.routes.rows import RowsView, RowTotals
from app.domain.times import rfc3339
from app.retention.retention import Collected, Limits, RemovedJob, collect

router = APIRouter(tags=["gc"])

Seconds = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, Strict(), Field(ge=0)]


class GcBody(BaseModel):
    """What `POST /gc` takes. A limit that is left out is that of the service's settings, which may be none."""

    model_config = ConfigDict(extra="forbid")

    jobs_older_than_s: Seconds | None = Field(
        None, description="Jobs that ended longer ago go, with their own files."
    )
    artifacts_max_bytes: Bytes | None = Field(
        None,
        description="The longest ended jobs go until the jobs' own files, results and uploads, take at most so many "
        "bytes.",
    )
    rows_older_than_s: Seconds | None = Field(None, description="Rows that no job has used for longer go.")
    rows_max_bytes: Bytes | None = Field(
        None, description="The longest unused rows go until the rest takes at most so many bytes on disk."
    )
    dry_run: Annotated[bool, Strict()] = Field(False, description="Remove nothing, and tell what would go.")

    def limits(self, defaults: Limits) -> Limits:
        """Those that are given, and for the others the defaults."""
        given = self.model_dump(exclude={"dry_run"}, exclude_none=True)
        return Limits(**(asdict(defaults) | given))


class GcJob(BaseModel):
    """A job that went."""

    id: str
    kind: str
    state: str
    finished_at: str
    bytes: int = Field(description="Freed with it: no other job refers to them.")

    @classmethod
    def of(cls, job: RemovedJob) -> GcJob:
        """As it is shown."""
        return cls(id=job.id, kind=job.kind, state=job.state, finished_at=rfc3339(job.finished_at), bytes=job.bytes)


class JobTotals(BaseModel):
    """Jobs, summed."""

    jobs: int
    bytes: int = Field(description="Of their own files; what several refer to counts once.")


class GcLeft(BaseModel):
    """What is still there."""

    jobs: JobTotals
    rows: RowTotals


class GcAnswer(BaseModel):
    """What `POST /gc` did, or would do."""

    dry_run: bool
    jobs: list[GcJob] = Field(description="The longest ended first.")
    rows: list[RowsView]
    unreferred_bytes: int = Field(description="Of files that no job refers to, and of what killed processes left.")
    freed_bytes: int = Field(description="All together.")
    kept_back: list[str] = Field(description="What should have gone and could not be removed, with the reason.")
    left: GcLeft

    @classmethod
    def of(cls, found: Collected, *, dry_run: bool) -> GcAnswer:
        """As it is shown."""
        return cls(
            dry_run=dry_run,
            jobs=[GcJob.of(job) for job in found.jobs],
            rows=[RowsView.of(entry) for entry in found.rows],
            unreferred_bytes=found.unreferred_bytes,
            freed_bytes=found.freed_bytes,
            kept_back=list(found.kept_back),
            left=GcLeft(
                jobs=JobTotals(jobs=found.left.jobs, bytes=found.left.files_bytes),
                rows=RowTotals.of(found.left.rows),
            ),
        )


@router.post("/gc")
def collect_garbage(used: Used, body: GcBody | None = None) -> GcAnswer:
    """Remove what is kept beyond the limits, and what nobody refers to and is older than an hour.

    Never what a job that has not ended refers to, and never anything under `outputs/<output_dir>`.
    """
    asked = body or GcBody()
    found = collect(asked.limits(Limits.of(used.settings)), used.storage, dry_run=asked.dry_run)
    return GcAnswer.of(found, dry_run=asked.dry_run)
