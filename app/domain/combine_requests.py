"""Requests for combinations of experts, rejectors and evaluations, as they are accepted and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from app.domain.combining import COVERAGES, GroupScheme, Method, Objective, Prior, Score
from app.domain.standards import Standards

CombineKind = Literal["gating", "rejector", "evaluation"]
GatingMode = Literal["pretrain", "selective"]

SELECTIVE = "selective"
"""In an evaluation, the name of the rule that a gating of this mode has itself."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A verified file of logits that is combined."""

    expert: str
    split: str
    sha256: str
    """Of the file, as it was verified."""
    name: str | None = None
    """Below the verified folder; None for an artifact of a job."""


@dataclass(frozen=True, slots=True)
class LogitsInput:
    """The verified logits of several experts: of a job, or of a verification of files."""

    job: str
    """Id of the job or verification that they were taken from."""
    files: tuple[InputFile, ...]
    path: str | None = None
    """The verified folder below the outputs directory; None for artifacts and uploads."""
    upload: str | None = None
    """Id of the verified upload."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LogitsInput:
        """Rebuild the input that `asdict` wrote."""
        return cls(**{**data, "files": tuple(InputFile(**file) for file in data["files"])})


@dataclass(frozen=True, slots=True)
class InputList:
    """An index list that combined rows belong to."""

    split: str
    base: str
    sha256: str
    """Of the index file."""
    rows: int


@dataclass(frozen=True, slots=True)
class NetOptions:
    """How the gating network is trained."""

    epochs: int = 25
    lr: float = 8e-4
    batch_size: int = 64
    seed: int = 42


@dataclass(frozen=True, slots=True)
class GatingRequest:
    """Fit a combination of experts, and apply it to every split."""

    kind: ClassVar[CombineKind] = "gating"

    dataset: str
    splits_dir: str
    """Below the data directory."""
    experts: tuple[str, ...]
    """In the order of all parameters."""
    splits: tuple[str, ...]
    """Those that all experts have logits for; the combination is applied to each."""
    fit: str
    validate: str
    mode: GatingMode
    name: str
    """Of the combination: its folder below `output_dir`, and its name among experts."""
    output_dir: str
    """Below the outputs directory."""
    logits: LogitsInput = field(repr=False)
    lists: tuple[InputList, ...] = field(repr=False)
    """Of `splits`."""
    fitted_before: tuple[InputList, ...] = field(default=(), repr=False)
    """Where experts are combinations themselves: the lists that those were fitted and chosen by."""
    method: Method | None = None
    """None: `pretrain` chooses."""
    prior: Prior = "listed"
    groups: GroupScheme = "head-tail"
    head_threshold: int = 20
    net: NetOptions = NetOptions()
    net_file: str | None = None
    """An old network to import, below the checkpoint directory; its weights are taken and nothing is fitted."""
    net_sha256: str | None = None
    """Of `net_file`, as it was accepted."""
    divided_by: Mapping[str, float] = field(default_factory=dict)
    """Expert → temperature that its files were divided by; the logits are multiplied by it."""
    coverages: tuple[float, ...] = COVERAGES
    """Of the rule that `selective` fits."""
    min_group_coverage: float = 0.0
    """Of the rule that `selective` fits."""
    allow_overlap: bool = False
    declaration: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The data set as `datasets.toml` declared it then."""
    counts_sha256: str = ""
    """Of the file that the train counts come from."""
    identity: str = ""
    """sha256 over everything that decides the result, code included: equal ones have equal results."""

    @property
    def standards(self) -> Standards:
        """What the combined logits are judged by."""
        return Standards(head_threshold=self.head_threshold)

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON-able fields, as stored."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GatingRequest:
        """Rebuild the request that `to_dict` wrote."""
        tuples = {name: tuple(data[name]) for name in ("experts", "splits", "coverages")}
        parts = {
            "logits": LogitsInput.from_dict(data["logits"]),
            "lists": tuple(InputList(**item) for item in data["lists"]),
            "fitted_before": tuple(InputList(**item) for item in data.get("fitted_before", ())),
            "net": NetOptions(**data["net"]),
        }
        return cls(**{**data, **tuples, **parts})

    def list_of(self, split: str) -> InputList:
        """Return the index list of one of the splits."""
        return next(item for item in self.lists if item.split == split)

    @property
    def fitted_lists(self) -> tuple[InputList, ...]:
        """The lists that parameters or the method depend on; a test sample may stand in none of them."""
        return tuple(dict.fromkeys((self.list_of(self.fit), self.list_of(self.validate), *self.fitted_before)))


@dataclass(frozen=True, slots=True)
class RejectorRequest:
    """Fit a rule that accepts or rejects the rows of a combination."""

    kind: ClassVar[CombineKind] = "rejector"

    dataset: str
    name: str
    gating: str
    """Id of the job that fitted the combination."""
    score: Score
    objective: Objective
    coverages: tuple[float, ...]
    min_group_coverage: float
    identity: str = ""
    """sha256 over everything that decides the result, code included."""

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON-able fields, as stored."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RejectorRequest:
        """Rebuild the request that `to_dict` wrote."""
        return cls(**{**data, "coverages": tuple(data["coverages"])})


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """Evaluate combinations and rejectors on rows that they were not fitted on."""

    kind: ClassVar[CombineKind] = "evaluation"

    dataset: str
    name: str
    """Of its folder below `output_dir`."""
    output_dir: str
    """Below the outputs directory."""
    test: str
    gatings: tuple[str, ...]
    """Ids of jobs; the first gives the reference, its experts' uniform average."""
    rejectors: tuple[str, ...]
    """Ids of jobs."""
    allow_overlap: bool = False
    identity: str = ""
    """sha256 over everything that decides the result, code included."""

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON-able fields, as stored."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EvaluationRequest:
        """Rebuild the request that `to_dict` wrote."""
        return cls(**{**data, "gatings": tuple(data["gatings"]), "rejectors": tuple(data["rejectors"])})


CombineRequest = GatingRequest | RejectorRequest | EvaluationRequest
