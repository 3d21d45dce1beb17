"""Garbage collection: remove what is kept beyond a limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from app.api.dependencies import ServicesDep
from app.api.schemas import RowsView, RowTotals
from app.domain.times import rfc3339
from app.retention.retention import Limits, collect

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


class GcJob(BaseModel):
    """A job that was deleted."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    kind: str
    state: str
    finished_at: Annotated[str, BeforeValidator(rfc3339)]
    bytes: int = Field(description="Freed with it: no other job refers to them.")


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


@router.post("/gc")
def collect_garbage(services: ServicesDep, body: GcBody | None = None) -> GcAnswer:
    """Remove jobs and rows beyond the limits, and orphans older than an hour.

    Whatever a job refers to that has not ended stays, and so does everything under `outputs/<output_dir>`.
    """
    body = body or GcBody()
    given = body.model_dump(exclude={"dry_run", "artifacts_max_bytes"}, exclude_none=True)
    limits = replace(Limits.of(services.settings), **given)
    collected = collect(limits, services.storage, dry_run=body.dry_run)
    left = JobTotals(jobs=collected.jobs_left, bytes=collected.bytes_left)
    return GcAnswer(
        dry_run=body.dry_run,
        jobs=[GcJob.model_validate(job) for job in collected.jobs],
        rows=[RowsView.of(entry) for entry in collected.rows],
        unreferred_bytes=collected.orphan_bytes,
        freed_bytes=collected.freed_bytes,
        kept_back=list(collected.kept_back),
        left=GcLeft(jobs=left, rows=RowTotals.of(collected.rows_left)),
    )
