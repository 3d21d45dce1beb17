"""Responses about runs of the whole workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from app.api.schemas import ErrorView, JobSummary, ProblemItem, job_links, summarise_job
from app.domain.jobs import Job
from app.domain.run_requests import Step, StepState
from app.workflows.plans import RunPlan


class StepView(BaseModel):
    """One step of a run."""

    step: Step
    state: StepState = Field(description="`kept`: the result was there already, and right.")
    jobs: list[str] = Field(description="Ids of the jobs that carry it out, or did so before; none for `splits`.")
    reason: str | None = Field(description="Why it was kept, or what it made.")
    error: ErrorView | None
    done: int | None = Field(None, description="Of a running step's rows, those that are done.")
    total: int | None = Field(None, description="Rows of a running step.")


class RunView(JobSummary):
    """A run of the whole workflow, with its steps in order."""

    steps: list[StepView]
    links: dict[str, str] = Field(description="`evaluation` and `report` lead to the result, once it is there.")

    @classmethod
    def of(cls, job: Job, current: Sequence[Job] = ()) -> RunView:
        """Build the view of a run; `current` are the jobs of its running step."""
        done = {step.step: step.jobs for step in job.steps if step.done and step.jobs}
        links = job_links(job.id, f"/runs/{job.id}", ("cancel", *(["report"] if done else [])))
        links |= {"evaluation": f"/evaluations/{done['evaluation'][0]}"} if "evaluation" in done else {}
        names = ("step", "state", "jobs", "reason", "error")
        steps = [{name: getattr(step, name) for name in names} for step in job.steps]
        for step in steps:
            step |= _progress(current) if step["state"] == "running" else {}
        return cls.model_validate(summarise_job(job) | {"steps": steps, "links": links})


class RunPlanView(BaseModel):
    """What a run would keep and do, and what is wrong with its request."""

    ok: bool = Field(description="Whether there are no problems.")
    problems: list[ProblemItem]
    steps: list[StepView] = Field(description="`kept` with the reason, or `waiting`: it would be carried out.")

    @classmethod
    def of(cls, plan: RunPlan) -> RunPlanView:
        """Build the view of a plan."""
        names = ("step", "state", "jobs", "reason", "error")
        steps = [StepView(**{name: getattr(step, name) for name in names}) for step in plan.steps]
        return cls(ok=not plan.problems, problems=[ProblemItem.of(problem) for problem in plan.problems], steps=steps)


class RunList(BaseModel):
    """Runs, the newest first."""

    runs: list[RunView]


def _progress(jobs: Sequence[Job]) -> dict[str, Any]:
    units = [unit for job in jobs for unit in job.units]
    return {"done": sum(unit.done for unit in units), "total": sum(unit.total for unit in units)} if units else {}
