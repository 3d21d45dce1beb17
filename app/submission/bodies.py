"""Bodies of the requests for jobs and for splits: the wire's shape, as the API takes it and submission checks it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    model_validator,
)

from app.catalog.datasets import DEFAULT_DATASET
from app.domain.jobs import JobOptions
from app.domain.requests import Precision, Profile
from app.domain.standards import HEAD_THRESHOLD, AccuracyName, Standards

MAX_BATCH_SIZE = 65536
MAX_RECOMPUTED = 10**6
MAX_DEADLINE_S = 366 * 24 * 3600.0


def _check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("the list is empty; at least one name is expected, or no such field")
    return names


Names = Annotated[tuple[str, ...], AfterValidator(_check_names)]
Share = Annotated[int, Strict(), Field(ge=1, le=1000)]


def _check_batch_size(value: object) -> object:
    if value == "auto" or (type(value) is int and 1 <= value <= MAX_BATCH_SIZE):
        return value
    raise ValueError(f"a whole number from 1 to {MAX_BATCH_SIZE}, or 'auto', is expected")


class JobBody(BaseModel):
    """What every request for a job has."""

    model_config = ConfigDict(extra="forbid")

    deadline_s: Annotated[float, Field(gt=0, le=MAX_DEADLINE_S, allow_inf_nan=False)] | None = Field(
        None, description="Seconds from now in which the job has to end; else it is stopped, and has failed."
    )

    def options(self, traceparent: str) -> JobOptions:
        """Gather what comes with the job beside its request."""
        return JobOptions(self.deadline_s, traceparent)


class StandardsBody(JobBody):
    """What results are judged by, where that is a matter of choice."""

    model_config = ConfigDict(populate_by_name=True)

    head_threshold: Annotated[int, Strict(), Field(ge=0)] = Field(
        HEAD_THRESHOLD, description="Train samples: a class with more is head, any other is tail."
    )
    floors: dict[AccuracyName, Annotated[float, Strict(), Field(ge=0, le=1)]] = Field(
        {}, description="Accuracy, by its name, below which a result gives a warning, as a fraction."
    )

    def standards(self) -> Standards:
        """Return them as the stored request has them."""
        return Standards(self.head_threshold, dict(self.floors))


class RecomputeBody(StandardsBody):
    """The body of `POST /jobs` and `POST /jobs/plan`. Every field may be left out."""

    experts: Names | None = Field(None, description="Expert names; all that exist under the prefix, if left out.")
    checkpoint_prefix: str = Field(
        "best_",
        validation_alias=AliasChoices("checkpoint_prefix", "prefix"),
        description="What stands before the expert's name in its file name; may be empty. Alias: `prefix`.",
    )
    splits: Names = Field(("val", "test", "tunev"), description="Names of index files, `{split}_indices.json`.")
    batch_size: Annotated[int | Literal["auto"], BeforeValidator(_check_batch_size)] = Field(
        128, description="Images a forward pass at most, or `auto`: what suits the device."
    )
    output_dir: str = Field("logits_fixed", description="A folder name below the outputs directory.")
    dataset: str = Field(DEFAULT_DATASET, description="A data set of `datasets.toml`.")
    splits_dir: str | None = Field(None, description="Below the data directory; the data set's own, if left out.")
    experts_dir: str | None = Field(None, description="Below the checkpoint directory; the data set's own.")
    calibration: Literal["none", "checkpoint"] = Field(
        "none", description="`none`: raw logits. `checkpoint`: divided by the temperature that the file stores."
    )
    precision: Precision = Field(
        "fp32", description="What the network computes in: `fp32` is exact, the others are faster where supported."
    )
    reuse: Annotated[bool, Strict()] = Field(
        True, description="Take rows that were computed before. False: compute all again, and compare with them."
    )
    weights: str | None = Field(
        None,
        description="Which of a checkpoint's sets of weights to take, such as `state_dict_ema`; needed only where a "
        "file holds several.",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_prefix(cls, data: Any) -> Any:
        if isinstance(data, dict) and {"prefix", "checkpoint_prefix"} <= data.keys():
            raise ValueError("prefix is another name for checkpoint_prefix: give one of them")
        return data


class VerificationBody(StandardsBody):
    """The body of `POST /verifications`: `path` or `upload`, and how to judge what is there."""

    path: str | None = Field(None, description="A folder or a file below the server's outputs directory.")
    upload: str | None = Field(None, description="Id of an upload, instead of `path`.")
    dataset: str = Field(DEFAULT_DATASET, description="A data set of `datasets.toml`.")
    splits_dir: str | None = Field(None, description="Below the data directory; the data set's own, if left out.")
    expert: str | None = Field(None, description="Of a single file; the name of its folder, if left out.")
    split: str | None = Field(None, description="Of a single file; what stands before `_logits`, if left out.")
    recompute: Annotated[int, Strict(), Field(ge=0, le=MAX_RECOMPUTED)] = Field(
        0, description="Rows of each result to compute anew with its checkpoint and compare; all, if there are fewer."
    )
    checkpoint_prefix: str = Field(
        "best_", description="Before the expert's name in its checkpoint's, where no manifest names the checkpoint."
    )
    experts_dir: str | None = Field(
        None, description="Below the checkpoint directory, where no manifest names it; the data set's own."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.upload is None):
            raise ValueError("give path (in the server's outputs directory) or upload (an id), one of them")
        return self


class SplitsOptions(BaseModel):
    """How a set of splits is drawn."""

    model_config = ConfigDict(extra="forbid")

    profile: Profile = Field("exponential", description="How the train counts fall from class to class.")
    imbalance_factor: float = Field(100.0, ge=1, le=1e6, allow_inf_nan=False, description="Most common over rarest.")
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**32)] = 42
    test_shares: tuple[Share, Share, Share] = Field(
        (8, 1, 1), description="Of each class of the test base, for `test`, `val` and `tunev`."
    )
    expert_share: float | None = Field(
        None, gt=0, lt=1, description="Of each class's train samples, for `expert`; the rest is `gating`."
    )


class SplitsBody(SplitsOptions):
    """The body of `POST /splits`. Only the name has no default."""

    name: str = Field(description="Of the folder below the data directory; a job names it with `splits_dir`.")
    dataset: str = Field(DEFAULT_DATASET, description="A data set of `datasets.toml`.")
    overwrite: Annotated[bool, Strict()] = Field(False, description="Replace a set of that name, at once.")


class ImportedList(BaseModel):
    """One index list."""

    model_config = ConfigDict(extra="forbid")

    name: str
    base: str = Field(description="What the indices point into.")
    indices: Annotated[tuple[Annotated[int, Strict()], ...], Field(min_length=1)]


class ImportBody(BaseModel):
    """The body of `POST /splits/import`: lists that another tool wrote."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Of the new folder below the data directory.")
    dataset: str = Field(DEFAULT_DATASET, description="A data set of `datasets.toml`.")
    lists: Annotated[tuple[ImportedList, ...], Field(min_length=1)]
    class_weights: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] | None = None
    train_class_counts: tuple[Annotated[int, Strict()], ...] | None = None
    overwrite: Annotated[bool, Strict()] = False
