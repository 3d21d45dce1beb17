"""Responses about gatings, rejectors and evaluations."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from app.api.schemas import JobSummary, ProblemItem, UnitView, job_links, shown_request, summarise_job
from app.domain.jobs import Job
from app.domain.outcomes import EvaluationOutcome, GatingOutcome, RejectorOutcome
from app.workflows.plans import CombinePlan


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


class CombinePlanView(BaseModel):
    """What a request would do, and what is wrong with it."""

    ok: bool = Field(description="Whether there are no problems.")
    problems: list[ProblemItem]
    request: dict[str, Any] | None = Field(description="With every default filled in; null where there are problems.")
    kept: str | None = Field(description="Id of a job that has the same result already.")

    @classmethod
    def of(cls, plan: CombinePlan) -> CombinePlanView:
        """Build the view of a plan."""
        return cls(
            ok=not plan.problems,
            problems=[ProblemItem.of(problem) for problem in plan.problems],
            request=None if plan.request is None else shown_request(plan.request),
            kept=plan.kept,
        )


class GatingList(BaseModel):
    """Gatings, the newest first."""

    gatings: list[GatingView]


class RejectorList(BaseModel):
    """Rejectors, the newest first."""

    rejectors: list[RejectorView]


class EvaluationList(BaseModel):
    """Evaluations, the newest first."""

    evaluations: list[EvaluationView]
