"""Requests of jobs as they are accepted and stored, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from app.domain.combine_requests import EvaluationRequest, GatingRequest, RejectorRequest
from app.domain.compare_requests import ComparisonRequest
from app.domain.run_requests import RunRequest
from app.domain.standards import Standards

Kind = Literal["recompute", "verification", "splits", "gating", "rejector", "evaluation", "comparison", "run"]
Calibration = Literal["none", "checkpoint"]
BatchSize = int | Literal["auto"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]

Profile = Literal["exponential", "step"]


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a recompute request was checked against. A worker that reads something else fails the unit."""

    bases: Mapping[str, str] = field(default_factory=dict)
    """Split → base that its list points into."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Base → identity of its files."""
    checkpoints: Mapping[str, Any] = field(default_factory=dict)
    """Expert → identity of its checkpoint file."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """Expert → sha256 of its checkpoint, where a worker had read it."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A value that is stored as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON-able fields, as stored."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RecomputeRequest(_Stored):
    """Recompute the logits of experts for splits."""

    kind: ClassVar[Kind] = "recompute"

    dataset: str
    experts: tuple[str, ...]
    splits: tuple[str, ...]
    checkpoint_prefix: str
    experts_dir: str
    """Below the checkpoint directory."""
    splits_dir: str
    """Below the data directory."""
    output_dir: str
    """Below the outputs directory."""
    batch_size: BatchSize
    calibration: Calibration
    declaration: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The data set as `datasets.toml` declared it then: an edit while a job runs must not split it in two."""
    precision: Precision = "fp32"
    """What the network computes in; `fp32` is exact."""
    reuse: bool = True
    """Whether kept rows are taken; False: everything is computed again and compared with them."""
    standards: Standards = field(default_factory=Standards)
    weights: str | None = None
    """The set of weights to take, by its path in the checkpoint; None: the only or declared one."""
    grounds: Grounds = field(default=Grounds(), repr=False)
    """Empty for jobs of earlier versions."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RecomputeRequest:
        """Rebuild the request that `to_dict` wrote."""
        standards = Standards(**data.get("standards", {}))
        grounds = Grounds(**data.get("grounds", {}))
        lists = {name: tuple(data[name]) for name in ("experts", "splits")}
        return cls(**{**data, **lists, "standards": standards, "grounds": grounds})


@dataclass(frozen=True, slots=True)
class LogitFile:
    """A file that claims to hold the logits of an expert for a split."""

    name: str
    """Below the folder that is verified, with `/` between folders."""
    expert: str
    split: str
    targets: str | None = None
    """Name of the file beside it that holds its targets; only a bare tensor has one."""


@dataclass(frozen=True, slots=True)
class VerificationRequest(_Stored):
    """Verify files of logits, with or without a manifest."""

    kind: ClassVar[Kind] = "verification"

    dataset: str
    splits_dir: str
    """Below the data directory."""
    path: str | None
    """The folder below the outputs directory; None for an upload."""
    upload: str | None
    """Id of the upload; None for files in the outputs directory."""
    files: tuple[LogitFile, ...]
    """The files of logits, sorted by expert and split; two of them may claim the same unit."""
    others: tuple[str, ...]
    """Files that look like arrays, but whose names tell no expert and split."""
    declaration: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The data set as `datasets.toml` declared it then."""
    standards: Standards = field(default_factory=Standards)
    recompute: int = 0
    """Rows of each result that are computed anew with its checkpoint and compared with the file."""
    checkpoint_prefix: str = "best_"
    """Before an expert's name in the name of its checkpoint, for files without a manifest."""
    experts_dir: str | None = None
    """Below the checkpoint directory, for files without a manifest; None for the data set's own."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VerificationRequest:
        """Rebuild the request that `to_dict` wrote."""
        files = tuple(LogitFile(**file) for file in data["files"])
        standards = Standards(**data["standards"])
        return cls(**{**data, "files": files, "others": tuple(data["others"]), "standards": standards})


@dataclass(frozen=True, slots=True)
class SplitsRequest(_Stored):
    """Create a set of splits: a long-tailed train list, and balanced parts of the test base."""

    kind: ClassVar[Kind] = "splits"

    dataset: str
    name: str
    """Of the folder below the data directory."""
    train_base: str
    test_base: str
    profile: Profile
    imbalance_factor: float
    """At least 1: samples of the most common class over those of the rarest, but for rounding."""
    seed: int
    test_shares: tuple[int, int, int]
    """Of the test base, for `test`, `val` and `tunev`."""
    expert_share: float | None
    """Of each class's train samples, for `expert`; the rest is `gating`. None: no such lists."""
    overwrite: bool
    declaration: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The data set as `datasets.toml` declared it then."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SplitsRequest:
        """Rebuild the request that `to_dict` wrote."""
        return cls(**{**data, "test_shares": tuple(data["test_shares"])})


UnitsRequest = RecomputeRequest | GatingRequest
"""Requests whose jobs have units, each with an artifact of logits."""

LogitsRequest = UnitsRequest | VerificationRequest
"""Requests whose results are logits over the lists of a set of splits."""

Request = LogitsRequest | SplitsRequest | RejectorRequest | EvaluationRequest | ComparisonRequest | RunRequest
