"""Responses about gatings, rejectors and evaluations."""

from __future__ import annotations

from pydantic import BaseModel

from app.api.schemas import JobSummary, UnitView, job_links, summarise_job
from app.domain.jobs import Job
from app.domain.outcomes import EvaluationOutcome, GatingOutcome, RejectorOutcome


class GatingView(JobSummary):
    """A combination of experts; `result` has its parameters, once they are fitted."""

    units: list[UnitView]
    result: GatingOutcome | None
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> GatingView:
        """Build the view of a gating."""
        names = ("verification", "analysis", "report", "artifacts", "archive", "cancel")
        links = job_links(job.id, f"/gatings/{job.id}", names)
        return cls.model_validate(summarise_job(job) | {"units": job.units, "result": job.outcome, "links": links})


class RejectorView(JobSummary):
    """A rejector; `result` has its rules, once they are fitted."""

    result: RejectorOutcome | None
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> RejectorView:
        """Build the view of a rejector."""
        links = job_links(job.id, f"/rejectors/{job.id}", ("report", "cancel"))
        return cls.model_validate(summarise_job(job) | {"result": job.outcome, "links": links})


class EvaluationView(JobSummary):
    """An evaluation; `result` has the figures of all methods, once they are known."""

    result: EvaluationOutcome | None
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> EvaluationView:
        """Build the view of an evaluation."""
        links = job_links(job.id, f"/evaluations/{job.id}", ("report", "cancel"))
        return cls.model_validate(summarise_job(job) | {"result": job.outcome, "links": links})


class GatingList(BaseModel):
    """Gatings, the newest first."""

    gatings: list[GatingView]


class RejectorList(BaseModel):
    """Rejectors, the newest first."""

    rejectors: list[RejectorView]


class EvaluationList(BaseModel):
    """Evaluations, the newest first."""

    evaluations: list[EvaluationView]
