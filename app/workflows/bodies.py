"""The body of the request for a whole workflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, Field

from app.catalog.datasets import DEFAULT_DATASET
from app.domain.run_requests import Step
from app.submission.bodies import JobBody, RecomputeBody, SplitsOptions
from app.submission.combine_bodies import EvaluationBody, GatingBody, RejectorBody

MAX_REJECTORS = 20

OF_RUN = ("dataset", "deadline_s")
FILLED_IN = {
    "recompute": OF_RUN,
    "gating": (*OF_RUN, "logits"),
    "rejectors": (*OF_RUN, "gating"),
    "evaluation": (*OF_RUN, "gatings", "rejectors"),
}
"""Part of the body → the fields of its own request that the run fills in."""

Part = TypeVar("Part", bound=BaseModel)


def _left_out(part: str) -> Callable[[Part], Part]:
    def check(body: Part) -> Part:
        given = sorted(body.model_fields_set.intersection(FILLED_IN[part]))
        if given:
            raise ValueError(f"the run fills in {', '.join(given)} itself; leave it out here")
        return body

    return check


class RunBody(JobBody):
    """The body of `POST /runs`. Every field may be left out.

    A part has the fields of its own request, but for `dataset`, `deadline_s` and the ids of earlier steps.
    """

    dataset: str = Field(DEFAULT_DATASET, description="A data set of `datasets.toml`.")
    until: Step = Field("evaluation", description="The last step.")
    splits: SplitsOptions | None = Field(
        None,
        description="How the set of splits is drawn if it is not there. The set is `splits_dir` of `recompute`, or "
        "the data set's own.",
    )
    recompute: Annotated[RecomputeBody, AfterValidator(_left_out("recompute"))] = RecomputeBody()
    gating: Annotated[GatingBody, AfterValidator(_left_out("gating"))] = GatingBody()
    rejectors: Annotated[
        tuple[Annotated[RejectorBody, AfterValidator(_left_out("rejectors"))], ...],
        Field(min_length=1, max_length=MAX_REJECTORS),
    ] = (RejectorBody(objective="balanced"), RejectorBody(objective="worst"))
    evaluation: Annotated[EvaluationBody, AfterValidator(_left_out("evaluation"))] = EvaluationBody()
