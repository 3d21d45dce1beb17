"""Garbage collection: remove what is kept beyond a limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from app.api.dependencies import ServicesDep
from app.api.row_schemas import RowsView, RowTotals
from app.domain.times import rfc3339
from app.retention.retention import Collected, Limits, StoredJob, collect

router = APIRouter(tags=["gc"])

Seconds = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, Strict(), Field(ge=0)]


def _refuse_removed_limit(value: object) -> None:
    if value is not None:
        raise ValueError("files are no longer limited by size; jobs_older_than_s limits the jobs by age")


class GcBody(BaseModel):
    """The limits of `POST /gc`. One that is left out is that of the service's settings, which may be none."""

    model_config = ConfigDict(extra="forbid")

    jobs_older_than_s: Seconds | None = Field(
        None, description="Jobs that ended longer ago are deleted, with their own files."
    )
    artifacts_max_bytes: Annotated[None, BeforeValidator(_refuse_removed_limit)] = Field(
        None, description="Not supported any more: only null is accepted."
    )
    rows_older_than_s: Seconds | None = Field(None, description="Rows that no job has used for longer are removed.")
    rows_max_bytes: Bytes | None = Field(
        None, description="The longest unused rows are removed until the rest takes at most so many bytes on disk."
    )
    dry_run: Annotated[bool, Strict()] = Field(False, description="Remove nothing; answer what would be removed.")

    def limits(self, defaults: Limits) -> Limits:
        """Fill in the defaults for the limits that are left out."""
        given = self.model_dump(exclude={"dry_run", "artifacts_max_bytes"}, exclude_none=True)
        return replace(defaults, **given)


class GcJob(BaseModel):
    """A job that was deleted."""

    id: str
    kind: str
    state: str
    finished_at: str
    bytes: int = Field(description="Freed with it: no other job refers to them.")

    @classmethod
    def of(cls, job: StoredJob) -> GcJob:
        """Build the view of a deleted job."""
        return cls(
            id=job.id, kind=job.kind, state=job.state, finished_at=rfc3339(job.finished_at or 0), bytes=job.bytes
        )


class JobTotals(BaseModel):
    """Jobs, summed."""

    jobs: int
    bytes: int = Field(description="Of their own files; what several refer to counts once.")


class GcLeft(BaseModel):
    """What is still there."""

    jobs: JobTotals
    rows: RowTotals


class GcAnswer(BaseModel):
    """The outcome of `POST /gc`."""

    dry_run: bool
    jobs: list[GcJob] = Field(description="The longest ended first.")
    rows: list[RowsView]
    unreferred_bytes: int = Field(description="On disk, of files that nothing refers to.")
    freed_bytes: int = Field(description="All together.")
    kept_back: list[str] = Field(description="Why files could not be removed.")
    left: GcLeft

    @classmethod
    def of(cls, collected: Collected, *, dry_run: bool) -> GcAnswer:
        """Build the answer from what was collected."""
        return cls(
            dry_run=dry_run,
            jobs=[GcJob.of(job) for job in collected.jobs],
            rows=[RowsView.of(entry) for entry in collected.rows],
            unreferred_bytes=collected.orphan_bytes,
            freed_bytes=collected.freed_bytes,
            kept_back=list(collected.kept_back),
            left=GcLeft(
                jobs=JobTotals(jobs=collected.jobs_left, bytes=collected.bytes_left),
                rows=RowTotals.of(collected.rows_left),
            ),
        )


@router.post("/gc")
def collect_garbage(services: ServicesDep, body: GcBody | None = None) -> GcAnswer:
    """Remove jobs and rows beyond the limits, and orphans older than an hour.

    Whatever a job refers to that has not ended stays, and so does everything under `outputs/<output_dir>`.
    """
    body = body or GcBody()
    collected = collect(body.limits(Limits.of(services.settings)), services.storage, dry_run=body.dry_run)
    return GcAnswer.of(collected, dry_run=body.dry_run)
