"""Responses about comparisons."""

from __future__ import annotations

from pydantic import BaseModel

from app.api.schemas import JobSummary, job_links, summarise_job
from app.domain.comparisons import ComparisonOutcome
from app.domain.jobs import Job


class ComparisonView(JobSummary):
    """A paired comparison; `result` has the figures of all pairs, once they are known. All differences are B − A."""

    result: ComparisonOutcome | None
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> ComparisonView:
        """Build the view of a comparison."""
        links = job_links(job.id, f"/comparisons/{job.id}", ("report", "cancel"))
        return cls.model_validate(summarise_job(job) | {"result": job.outcome, "links": links})


class ComparisonList(BaseModel):
    """Comparisons, the newest first."""

    comparisons: list[ComparisonView]
