"""Bodies of the requests to combine experts, to fit rejectors and to evaluate them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from app.domain.combining import COVERAGES, GroupScheme, Method, Objective, Prior, Score
from app.domain.standards import HEAD_THRESHOLD
from app.submission.bodies import JobBody, Names

MAX_EPOCHS, MAX_NET_BATCH, MAX_COVERAGES = 10_000, 65536, 100

Coverage = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Temperature = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


def _check_coverages(values: tuple[float, ...]) -> tuple[float, ...]:
    rising = tuple(sorted({*values, 1.0}))
    if len(rising) > MAX_COVERAGES:
        raise ValueError(f"at most {MAX_COVERAGES} coverages are expected")
    return rising


Coverages = Annotated[tuple[Coverage, ...], AfterValidator(_check_coverages)]


class RuleBody(JobBody):
    """How the group rule is fitted."""

    coverages: Coverages = Field(
        COVERAGES, description="Target coverages of the rule, each a share of the rows; 1 is always one of them."
    )
    min_group_coverage: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        0.0, description="Least acceptance of every class group, as a share of the coverage: 0 allows any rule."
    )


class GatingBody(RuleBody):
    """The body of `POST /gatings`. Every field may be left out."""

    logits: str | None = Field(
        None,
        description="Id of the job or verification whose logits are combined; the newest recompute job that "
        "succeeded, if left out.",
    )
    experts: Names | None = Field(
        None, description="In the order of all parameters; all that the job has, if left out."
    )
    fit: str = Field("tunev", description="The split whose rows the combination is fitted on.")
    validate_: str = Field("val", alias="validate", description="The split whose rows the method is chosen by.")
    mode: Literal["pretrain", "selective"] = Field(
        "pretrain", description="`selective` also fits the group rule for the balanced error."
    )
    method: Method | None = Field(
        None, description="Fits this method alone. Left out: uniform, linear, log-linear and net; the best is chosen."
    )
    prior: Prior = Field(
        "listed", description="`train` weights rows as if classes were as common as in the train split."
    )
    groups: GroupScheme = Field("head-tail", description="The class groups of errors and rules.")
    head_threshold: Annotated[int, Strict(), Field(ge=0, lt=2**53)] = Field(
        HEAD_THRESHOLD, description="Train samples: a class with more is head, any other is tail."
    )
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**32)] = Field(42, description="Of the network's training.")
    epochs: Annotated[int, Strict(), Field(ge=1, le=MAX_EPOCHS)] = 25
    lr: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 8e-4
    batch_size: Annotated[int, Strict(), Field(ge=2, le=MAX_NET_BATCH)] = 64
    net_file: str | None = Field(
        None, description="An old gating network below the checkpoint directory; its weights are taken as they are."
    )
    divided_by: dict[str, Temperature] = Field(
        {}, description="Expert → temperature that its files were already divided by."
    )
    name: str | None = Field(None, description="Of the combination, among experts; by its mode, if left out.")
    output_dir: str = Field("gating", description="A folder name below the outputs directory.")
    allow_overlap: Annotated[bool, Strict()] = Field(
        False, description="Only warn where samples stand in both `fit` and `validate`."
    )


class RejectorBody(RuleBody):
    """The body of `POST /rejectors`. Every field may be left out."""

    gating: str | None = Field(None, description="Id of a gating; the newest that succeeded, if left out.")
    score: Score = Field("group", description="What rows are accepted by.")
    objective: Objective = Field("balanced", description="What the score `group` minimises.")
    name: str | None = Field(None, description="By score and objective, if left out.")


class EvaluationBody(JobBody):
    """The body of `POST /evaluations`. Every field may be left out."""

    test: str = Field("test", description="The split whose rows are evaluated; nothing may be fitted on them.")
    gatings: tuple[str, ...] | None = Field(
        None, description="Ids; those of the rejectors, or the newest that succeeded, if left out."
    )
    rejectors: tuple[str, ...] | None = Field(
        None, description="Ids; the newest of each name of each of these gatings, if left out."
    )
    name: str | None = Field(None, description="Of its folder; by the first rejector or gating, if left out.")
    output_dir: str = Field("argse", description="A folder name below the outputs directory.")
    allow_overlap: Annotated[bool, Strict()] = Field(
        False, description="Only warn where a test sample was fitted on; every result repeats it."
    )
