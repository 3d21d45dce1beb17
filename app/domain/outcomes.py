"""What gatings, rejectors and evaluations result in, as it is recorded beside their jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from app.domain.checks import Check
from app.domain.combine_requests import InputFile, InputList
from app.domain.combining import Candidate, Method, Prior, Rules
from app.domain.comparisons import ComparisonOutcome
from app.domain.evaluations import Evaluation

Choice = Literal["named", "lowest", "simplest"]
"""Why a method was chosen: the request named it; the lowest validate NLL; the simplest that is not told from it."""


@dataclass(frozen=True, slots=True)
class RoleRows:
    """The rows that took one part."""

    list: InputList
    effective_rows: float
    """(Σw)² / Σw² of the row weights."""


@dataclass(frozen=True, slots=True)
class GatingOutcome:
    """A fitted combination of experts."""

    method: Method
    chosen: Choice
    candidates: tuple[Candidate, ...]
    """All fitted methods, the simplest first."""
    experts: tuple[str, ...]
    """In the order of all parameters."""
    groups: Mapping[str, tuple[int, ...]]
    """Class group → its classes."""
    train_counts: tuple[int, ...]
    """[C] train samples by class, for priors and groups."""
    prior: Prior
    seed: int
    fit: RoleRows
    validate: RoleRows
    inputs: tuple[InputFile, ...]
    """The files of logits that the rows of `fit` and `validate` came from."""
    divided_by: Mapping[str, float]
    """Expert → temperature that its files were declared to be divided by."""
    versions: Mapping[str, str]
    rules: Rules | None = None
    """Of `selective`: the group rule for the balanced error."""
    checks: tuple[Check, ...] = ()

    @property
    def candidate(self) -> Candidate:
        """The chosen method."""
        return next(candidate for candidate in self.candidates if candidate.method == self.method)

    @property
    def group_names(self) -> tuple[str, ...]:
        """The names of the class groups, in the order of all figures by group."""
        return tuple(self.groups)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GatingOutcome:
        """Rebuild the outcome that `to_dict` wrote."""
        parts = {
            "candidates": tuple(Candidate.from_dict(item) for item in data["candidates"]),
            "experts": tuple(data["experts"]),
            "groups": {name: tuple(classes) for name, classes in data["groups"].items()},
            "train_counts": tuple(data["train_counts"]),
            "fit": _role(data["fit"]),
            "validate": _role(data["validate"]),
            "inputs": tuple(InputFile(**item) for item in data["inputs"]),
            "rules": None if data["rules"] is None else Rules.from_dict(data["rules"]),
            "checks": tuple(Check.from_dict(check) for check in data["checks"]),
        }
        return cls(**{**data, **parts})

    def to_dict(self) -> dict[str, Any]:
        """Write it as stored and sent."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RejectorOutcome:
    """A fitted rule that accepts or rejects."""

    method: Method
    """Of the combination that it decides over."""
    rules: Rules
    group_names: tuple[str, ...]
    rows: int
    """That it was fitted on: of `fit` and `validate` together."""
    effective_rows: float
    gating_identity: str
    versions: Mapping[str, str]
    checks: tuple[Check, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RejectorOutcome:
        """Rebuild the outcome that `to_dict` wrote."""
        parts = {
            "rules": Rules.from_dict(data["rules"]),
            "group_names": tuple(data["group_names"]),
            "checks": tuple(Check.from_dict(check) for check in data["checks"]),
        }
        return cls(**{**data, **parts})

    def to_dict(self) -> dict[str, Any]:
        """Write it as stored and sent."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class EvaluationOutcome:
    """Figures of all methods on the test rows."""

    evaluation: Evaluation
    test: RoleRows
    prior: Prior
    inputs: tuple[InputFile, ...]
    versions: Mapping[str, str]
    checks: tuple[Check, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Written file, below the outputs directory → sha256."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EvaluationOutcome:
        """Rebuild the outcome that `to_dict` wrote."""
        parts = {
            "evaluation": Evaluation.from_dict(data["evaluation"]),
            "test": _role(data["test"]),
            "inputs": tuple(InputFile(**item) for item in data["inputs"]),
            "checks": tuple(Check.from_dict(check) for check in data["checks"]),
        }
        return cls(**{**data, **parts})

    def to_dict(self) -> dict[str, Any]:
        """Write it as stored and sent."""
        return {**asdict(self), "evaluation": self.evaluation.to_dict()}


Outcome = GatingOutcome | RejectorOutcome | EvaluationOutcome | ComparisonOutcome


def _role(data: Mapping[str, Any]) -> RoleRows:
    return RoleRows(InputList(**data["list"]), data["effective_rows"])
