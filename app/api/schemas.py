"""Requests and responses of the HTTP API."""

from __future__ import annotations

from dataclasses import asdict
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
from app.domain.jobs import Job, JobOptions, JobState, Unit
from app.domain.requests import HEAD_THRESHOLD, AccuracyName, Precision, Profile, Request, Standards
from app.domain.times import rfc3339
from app.submission.plans import Plan
from app.submission.recompute import RecomputeOrder
from app.submission.split_import import ImportedList, ImportOrder
from app.submission.splits import SplitsOrder
from app.submission.verification import VerificationOrder

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
    """What every request for a job takes."""

    model_config = ConfigDict(extra="forbid")

    deadline_s: Annotated[float, Field(gt=0, le=MAX_DEADLINE_S, allow_inf_nan=False)] | None = Field(
        None, description="Seconds from now in which the job has to end; else it is stopped, and has failed."
    )

    def terms(self, traceparent: str) -> JobOptions:
        """What comes with the job beside its request."""
        return JobOptions(self.deadline_s, traceparent)


class StandardsBody(JobBody):
    """What results are judged by, where that is a matter of choice."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    head_threshold: Annotated[int, Strict(), Field(ge=0)] = Field(
        HEAD_THRESHOLD, description="Train samples: a class with more is head, any other is tail."
    )
    floors: dict[AccuracyName, Annotated[float, Strict(), Field(ge=0, le=1)]] = Field(
        {}, description="Accuracy, by its name, below which a result gives a warning, as a fraction."
    )

    def standards(self) -> Standards:
        """The same as a value of the core."""
        return Standards(self.head_threshold, dict(self.floors))


class RecomputeBody(StandardsBody):
    """What `POST /jobs` takes. Every field may be left out."""

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
        "fp32", description="What the network computes in: `fp32` is exact, the others are faster where there are."
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

    def order(self) -> RecomputeOrder:
        """The same as a value of the core."""
        fields = {name: getattr(self, name) for name in RecomputeOrder.__slots__ if name != "standards"}
        return RecomputeOrder(**fields, standards=self.standards())


class VerificationBody(StandardsBody):
    """What `POST /verifications` takes: `path` or `upload`, and how to judge what is there."""

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

    def order(self) -> VerificationOrder:
        """The same as a value of the core."""
        fields = {name: getattr(self, name) for name in VerificationOrder.__slots__ if name != "standards"}
        return VerificationOrder(**fields, standards=self.standards())


class SplitsBody(JobBody):
    """What `POST /splits` takes. Only the name has no default."""

    name: str = Field(description="Of the folder below the data directory; a job names it with `splits_dir`.")
    dataset: str = Field(DEFAULT_DATASET, description="A data set of `datasets.toml`.")
    profile: Profile = Field("exponential", description="How the train counts fall from class to class.")
    imbalance_factor: float = Field(100.0, ge=1, le=1e6, allow_inf_nan=False, description="Most common over rarest.")
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**32)] = 42
    test_shares: tuple[Share, Share, Share] = Field(
        (8, 1, 1), description="Of each class of the test base, for `test`, `val` and `tunev`."
    )
    expert_share: float | None = Field(
        None, gt=0, lt=1, description="Of each class's train samples, for `expert`; the rest is `gating`."
    )
    overwrite: Annotated[bool, Strict()] = Field(False, description="Replace a set of that name, at once.")

    def order(self) -> SplitsOrder:
        """The same as a value of the core."""
        return SplitsOrder(**self.model_dump(exclude={"deadline_s"}))


class ImportedListBody(BaseModel):
    """One index list."""

    model_config = ConfigDict(extra="forbid")

    name: str
    base: str = Field(description="What the indices point into.")
    indices: Annotated[tuple[Annotated[int, Strict()], ...], Field(min_length=1)]


class ImportBody(BaseModel):
    """What `POST /splits/import` takes: lists that somebody else made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Of the new folder below the data directory.")
    dataset: str = Field(DEFAULT_DATASET, description="A data set of `datasets.toml`.")
    lists: Annotated[tuple[ImportedListBody, ...], Field(min_length=1)]
    class_weights: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] | None = None
    train_class_counts: tuple[Annotated[int, Strict()], ...] | None = None
    overwrite: Annotated[bool, Strict()] = False

    def order(self) -> ImportOrder:
        """The same as a value of the core."""
        lists = tuple(ImportedList(one.name, one.base, one.indices) for one in self.lists)
        beside = (self.class_weights, self.train_class_counts)
        return ImportOrder(self.name, self.dataset, lists, *beside, self.overwrite)


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


class ErrorView(BaseModel):
    """An error that is on record: of a job, a unit, or an inspection."""

    code: str = Field(description="Stable name of the error; scripts may rely on it.")
    message: str
    details: dict[str, Any] = Field({}, description="Facts behind the message, such as `available` names.")


class UnitView(BaseModel):
    """One (expert, split) of a job."""

    expert: str
    split: str
    state: str
    done: int
    total: int
    reused: int = Field(description="Rows that needed no forward pass.")
    computed: int = Field(description="Rows computed for this unit; with `reused` they are `done`.")
    attempts: int = Field(description="How often a worker has begun with it.")
    accuracy: float | None
    rate: float | None = Field(description="Samples a second.")
    remaining_s: float | None
    error: ErrorView | None
    notes: list[str]

    @classmethod
    def of(cls, unit: Unit) -> UnitView:
        """Build the view of a unit."""
        names = ("expert", "split", "done", "total", "reused", "computed", "attempts", "accuracy", "rate",
                 "remaining_s", "error")  # fmt: skip
        fields = {name: getattr(unit, name) for name in names}
        return cls(**fields, state=str(unit.state), notes=list(unit.notes))


class JobSummary(BaseModel):
    """A job without its units."""

    id: str
    kind: str = Field(description="`recompute`, `verification` or `splits`.")
    state: JobState
    verdict: Literal["passed", "failed"] | None
    error: ErrorView | None = Field(description="What stopped the job as a whole, or its verification.")
    created_at: str
    started_at: str | None
    finished_at: str | None
    deadline_at: str | None = Field(description="The time by which it has to end.")
    traceparent: str | None = Field(description="Of the request that submitted it (W3C Trace Context), as in logs.")
    request: dict[str, Any]


class JobView(JobSummary):
    """A job."""

    units: list[UnitView]
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> JobView:
        """Build the view of a job."""
        base = f"/jobs/{job.id}"
        names = ("verification", "analysis", "report", "artifacts", "archive", "cancel")
        links = {"self": base} | {name: f"{base}/{name}" for name in names}
        return cls(**_summarise(job), units=[UnitView.of(unit) for unit in job.units], links=links)


class VerificationView(JobSummary):
    """A verification job with its checks and results in place of units."""

    checks: list[dict[str, Any]]
    results: list[dict[str, Any]]
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> VerificationView:
        """Build the view of a verification job."""
        verification, base = job.verification or {}, f"/jobs/{job.id}"
        links = {
            "self": f"/verifications/{job.id}",
            "analysis": f"{base}/analysis",
            "report": f"{base}/report",
            "cancel": f"{base}/cancel",
        }
        checks, results = verification.get("checks", []), verification.get("results", [])
        return cls(**_summarise(job), checks=checks, results=results, links=links)


class VerificationList(BaseModel):
    """Verification jobs, the newest first."""

    verifications: list[VerificationView]


def _summarise(job: Job) -> dict[str, Any]:
    """Return the fields of `JobSummary`."""
    times = {name: getattr(job, name) for name in ("started_at", "finished_at", "deadline_at")}
    return {
        "id": job.id,
        "kind": job.request.kind,
        "state": job.state,
        "verdict": job.verification["verdict"] if job.verification else None,
        "error": job.error or (job.verification or {}).get("error"),
        "created_at": rfc3339(job.created_at),
        **{name: None if time is None else rfc3339(time) for name, time in times.items()},
        "traceparent": job.traceparent,
        "request": _shown_request(job.request),
    }


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobView]


class PlannedUnitView(BaseModel):
    """What one (expert, split) would cost."""

    expert: str
    split: str
    total: int = Field(description="Rows of the split.")
    reused: int | None = Field(description="Rows that need no forward pass; null where that cannot be known yet.")
    computed: int | None = Field(description="Rows to compute.")
    seconds: float | None = Field(description="On one worker, at the rate measured before; null without one.")
    bytes: int = Field(description="To be written: the file twice, and new kept rows; at most, where not known.")
    reasons: dict[str, str] = Field(description="Why a figure is null.")


class PlanView(BaseModel):
    """What a job would reuse, compute and write, and what would make it fail."""

    ok: bool = Field(description="Whether there are no problems.")
    problems: list[dict[str, Any]] = Field(
        description="As in a refused POST /jobs: code, detail, pointer, available."
    )
    warnings: list[dict[str, str]] = Field(description="What does not stop the job: code, detail.")
    request: dict[str, Any] | None = Field(description="With every default filled in, as far as it can be.")
    arithmetic: dict[str, Any] | None = Field(description="How a living worker would compute it.")
    normalisation: dict[str, dict[str, Any] | None] = Field(
        description="By expert, what its checkpoint says about its mean and std; null where no worker has looked."
    )
    units: list[PlannedUnitView] = Field(description="Those that can be planned.")
    totals: dict[str, float | int | None] = Field(description="The units' figures summed; null where one is.")
    memory: dict[str, int | None] | None = Field(
        description="Bytes that a worker would hold: pools, logits, weights, needed (their sum); measured: the most "
        "that a worker took before; host: of this machine."
    )

    @classmethod
    def of(cls, plan: Plan) -> PlanView:
        """Build the view of a plan."""
        return cls(
            ok=not plan.problems,
            problems=[{"code": p.code, "detail": p.message, **p.details} for p in plan.problems],
            warnings=plan.warnings,
            request=None if plan.request is None else _shown_request(plan.request),
            arithmetic=plan.arithmetic,
            normalisation=plan.normalisation,
            units=[PlannedUnitView(**asdict(unit)) for unit in plan.units],
            totals=plan.totals(),
            memory=None if plan.memory is None else asdict(plan.memory),
        )


def _shown_request(request: Request) -> dict[str, Any]:
    return {name: value for name, value in request.to_dict().items() if name not in ("declaration", "grounds")}
