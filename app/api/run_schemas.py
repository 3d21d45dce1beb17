"""Responses about runs of the whole workflow."""

from __future__ import annotations

from pydantic import BaseModel, Field

from app.api.schemas import JobSummary, job_links, summarise_job
from app.domain.jobs import Job
from app.domain.run_requests import RunStep


class RunView(JobSummary):
    """A run of the whole workflow, with its steps in order."""

    steps: list[RunStep]
    links: dict[str, str] = Field(description="`evaluation` and `report` lead to the result, once it is there.")

    @classmethod
    def of(cls, job: Job) -> RunView:
        """Build the view of a run."""
        done = {step.step: step.jobs for step in job.steps if step.done and step.jobs}
        links = job_links(job.id, f"/runs/{job.id}", ("cancel", *(["report"] if done else [])))
        links |= {"evaluation": f"/evaluations/{done['evaluation'][0]}"} if "evaluation" in done else {}
        return cls.model_validate(summarise_job(job) | {"steps": job.steps, "links": links})


class RunList(BaseModel):
    """Runs, the newest first."""

    runs: list[RunView]
