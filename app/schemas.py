"""Requests and responses of the HTTP API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.intake import RecomputeOrder
from app.jobs import Job, JobState, Unit
from app.times import rfc3339

MAX_BATCH_SIZE = 65536


def _check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("the list is empty; at least one name is expected, or no such field")
    return names


Names = Annotated[tuple[str, ...], AfterValidator(_check_names)]


def _check_batch_size(value: object) -> object:
    if value == "auto" or (type(value) is int and 1 <= value <= MAX_BATCH_SIZE):
        return value
    raise ValueError(f"a whole number from 1 to {MAX_BATCH_SIZE}, or 'auto', is expected")


class RecomputeBody(BaseModel):
    """What `POST /jobs` takes. Every field may be left out."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    experts: Names | None = Field(None, description="Expert names; all that exist under the prefix, if left out.")
    checkpoint_prefix: str = Field(
        "best_",
        validation_alias=AliasChoices("checkpoint_prefix", "prefix"),
        description="What stands before the expert's name in its file name; may be empty. Alias: `prefix`.",
    )
    splits: Names = Field(("val", "test", "tunev"), description="Names of index files, `{split}_indices.json`.")
    batch_size: Annotated[int | Literal["auto"], BeforeValidator(_check_batch_size)] = Field(
        128, description="Images a forward pass, or `auto`: what suits the device."
    )
    output_dir: str = Field("logits_fixed", description="A folder name below the outputs directory.")
    dataset: str = Field("cifar100_lt_if100", description="A data set of `datasets.toml`.")
    splits_dir: str | None = Field(None, description="Below the data directory; the data set's own, if left out.")
    experts_dir: str | None = Field(None, description="Below the checkpoint directory; the data set's own.")
    calibration: Literal["none", "checkpoint"] = Field(
        "none", description="`none`: raw logits. `checkpoint`: divided by the temperature that the file stores."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_prefix(cls, data: Any) -> Any:
        if isinstance(data, dict) and {"prefix", "checkpoint_prefix"} <= data.keys():
            raise ValueError("prefix is another name for checkpoint_prefix: give one of them")
        return data

    def order(self) -> RecomputeOrder:
        """The same as a value of the core."""
        return RecomputeOrder(**{name: getattr(self, name) for name in RecomputeOrder.__slots__})


class ProblemItem(BaseModel):
    """One of a problem's causes."""

    code: str
    detail: str
    pointer: str | None = Field(None, description="Where in the body, as a JSON pointer (RFC 6901).")
    parameter: str | None = Field(None, description="Which query parameter.")
    available: list[str] | None = Field(None, description="Names that would have been right.")


class Problem(BaseModel):
    """application/problem+json (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable name of the problem; scripts may rely on it.")
    errors: list[ProblemItem] = []


class UnitView(BaseModel):
    """One (expert, split) of a job."""

    expert: str
    split: str
    state: str
    done: int
    total: int
    accuracy: float | None
    rate: float | None = Field(description="Samples a second.")
    remaining_s: float | None
    error: dict[str, Any] | None
    notes: list[str]

    @classmethod
    def of(cls, unit: Unit) -> UnitView:
        """As it is shown."""
        names = ("expert", "split", "done", "total", "accuracy", "rate", "remaining_s", "error")
        fields = {name: getattr(unit, name) for name in names}
        return cls(**fields, state=str(unit.state), notes=list(unit.notes))


class JobView(BaseModel):
    """A job."""

    id: str
    kind: Literal["recompute"] = "recompute"
    state: JobState
    verdict: Literal["passed", "failed"] | None
    error: dict[str, Any] | None = Field(description="What kept the job as a whole from being verified.")
    created_at: str
    started_at: str | None
    finished_at: str | None
    request: dict[str, Any]
    units: list[UnitView]
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> JobView:
        """As it is shown."""
        here = f"/jobs/{job.id}"
        return cls(
            id=job.id,
            state=job.state,
            verdict=job.verification["verdict"] if job.verification else None,
            error=(job.verification or {}).get("error"),
            created_at=rfc3339(job.created_at),
            started_at=None if job.started_at is None else rfc3339(job.started_at),
            finished_at=None if job.finished_at is None else rfc3339(job.finished_at),
            request={k: v for k, v in job.request.to_dict().items() if k != "declaration"},
            units=[UnitView.of(unit) for unit in job.units],
            links={"self": here} | {n: f"{here}/{n}" for n in ("verification", "artifacts", "archive", "cancel")},
        )


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobView]
