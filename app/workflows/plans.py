"""Plan combinations and runs: what would be kept, what would be done, and all that is wrong. Nothing is queued."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app.domain.combine_requests import CombineRequest
from app.domain.compare_requests import ComparisonRequest
from app.domain.errors import Refused, RelogitError, RequestError
from app.domain.jobs import Job, JobState
from app.domain.run_requests import RunRequest, RunStep
from app.submission.combine_bodies import EvaluationBody, GatingBody, RejectorBody
from app.submission.comparison import plan_comparison
from app.submission.comparison_bodies import ComparisonBody
from app.submission.gating import plan_gating
from app.submission.rejection import plan_evaluation, plan_rejector
from app.workflows.bodies import RunBody
from app.workflows.earlier import earlier_comparison, earlier_evaluation, earlier_gating, earlier_rejector
from app.workflows.planning import OF_THIS_RUN, find_set, plan_run
from app.workflows.site import WorkflowSite
from app.workflows.steps import StepInputs, take_step

Asked = TypeVar("Asked", bound=CombineRequest | ComparisonRequest)


@dataclass(frozen=True, slots=True)
class CombinePlan:
    """What a request to combine, to reject, to evaluate or to compare would do."""

    problems: Sequence[RequestError]
    request: CombineRequest | ComparisonRequest | None = None
    """With every default filled in; None where there are problems."""
    kept: str | None = None
    """Id of a job that has the same result already."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run would do."""

    problems: Sequence[RequestError]
    steps: Sequence[RunStep] = ()
    """Those that are `kept`, with the reason; from the first that is not on, `waiting`."""


def plan_new_gating(body: GatingBody, site: WorkflowSite) -> CombinePlan:
    """Plan a combination of experts."""
    return _plan(lambda: plan_gating(body, site.catalog, site.jobs)[0], lambda request: earlier_gating(request, site))


def plan_new_rejector(body: RejectorBody, site: WorkflowSite) -> CombinePlan:
    """Plan a rejector."""
    return _plan(lambda: plan_rejector(body, site.jobs), lambda request: earlier_rejector(request, site))


def plan_new_evaluation(body: EvaluationBody, site: WorkflowSite) -> CombinePlan:
    """Plan an evaluation."""
    return _plan(
        lambda: plan_evaluation(body, site.catalog, site.jobs), lambda request: earlier_evaluation(request, site)
    )


def plan_new_comparison(body: ComparisonBody, site: WorkflowSite) -> CombinePlan:
    """Plan a comparison."""
    return _plan(
        lambda: plan_comparison(body, site.catalog, site.jobs), lambda request: earlier_comparison(request, site)
    )


def plan_new_run(body: RunBody, site: WorkflowSite) -> RunPlan:
    """Plan a run; what follows the first step to carry out depends on its result."""
    try:
        request = plan_run(body, site.catalog, site.inspections, site.compute_environments())
    except RequestError as error:
        return RunPlan(_problems(error))
    steps = [RunStep(step) for step in request.steps]
    for number, step in enumerate(steps):
        try:
            taken = _look(step, steps, request, site)
        except RequestError as error:
            return RunPlan(_problems(error), steps)
        except RelogitError:  # such as a file that was changed: the step would be carried out
            break
        steps[number] = taken
        if not taken.done:
            break
    return RunPlan((), steps)


def _plan(ask: Callable[[], Asked], earlier: Callable[[Asked], Job | None]) -> CombinePlan:
    try:
        request = ask()
    except RequestError as error:
        return CombinePlan(_problems(error))
    job = earlier(request)
    return CombinePlan((), request, None if job is None else job.id)


def _look(step: RunStep, steps: Sequence[RunStep], request: RunRequest, site: WorkflowSite) -> RunStep:
    """Return the step as kept, or as it would be carried out."""
    if step.step == "splits":
        [body] = request.bodies["splits"]
        dataset = site.catalog.dataset(request.dataset)
        if find_set(site.catalog, dataset, str(body["name"])) is None:
            return step  # taking this step would create the set
    run = Job(OF_THIS_RUN, JobState.QUEUED, request, (), time.time(), steps=tuple(steps))
    return take_step(step, StepInputs(run, request, site)).step


def _problems(error: RequestError) -> Sequence[RequestError]:
    return error.problems if isinstance(error, Refused) else [error]
