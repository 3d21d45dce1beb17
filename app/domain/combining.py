"""Combined experts, rules of rejection and their evaluation as values; docs/downstream.md defines them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Method = Literal["uniform", "temperature", "linear", "geometric", "logit-adjustment", "log-linear", "net"]
Prior = Literal["listed", "train"]
GroupScheme = Literal["head-tail", "many-medium-few"]
Score = Literal["msp", "margin", "entropy", "energy", "group"]
Objective = Literal["balanced", "worst"]
Role = Literal["fit", "validate", "test"]

PRETRAINED: tuple[Method, ...] = ("uniform", "linear", "log-linear", "net")
"""What `pretrain` fits and chooses from, the simplest first."""

COVERAGES = tuple(round(0.05 * step, 2) for step in range(4, 21))
"""Target coverages that a rejector is fitted for, if a request names none: 0.20, 0.25 … 1.00."""


@dataclass(frozen=True, slots=True)
class LinearParameters:
    """Of η = Σ_e q_e softmax(z_e / T_e); `uniform` and `temperature` are special cases."""

    weights: tuple[float, ...]
    """q, by expert: 0…1, sum 1."""
    temperatures: tuple[float, ...]
    """T, by expert: positive."""


@dataclass(frozen=True, slots=True)
class LogLinearParameters:
    """Of η ∝ exp(Σ_e a_e z_e + b·log π); `geometric` and `logit-adjustment` are special cases."""

    exponents: tuple[float, ...]
    """a, by expert."""
    prior_exponent: float
    """b; below 0 it favours the tail."""


@dataclass(frozen=True, slots=True)
class NetParameters:
    """Of η = Σ_e g_e(x) softmax(z_e / T_e), where a small network gives the weights g."""

    temperatures: tuple[float, ...]
    """T, by expert: positive."""
    feature_means: tuple[float, ...]
    """Subtracted from the features; zeros for an imported net."""
    feature_scales: tuple[float, ...]
    """The features are divided by these; ones for an imported net."""
    tensors: str = field(repr=False)
    """The net's weights as safetensors, in base64."""
    best_epoch: int | None = None
    """The epoch, from 1, whose weights were kept; None for an imported net."""


Parameters = LinearParameters | LogLinearParameters | NetParameters

PARAMETERS: Mapping[Method, type[LinearParameters] | type[LogLinearParameters] | type[NetParameters]] = {
    "uniform": LinearParameters,
    "temperature": LinearParameters,
    "linear": LinearParameters,
    "geometric": LogLinearParameters,
    "logit-adjustment": LogLinearParameters,
    "log-linear": LogLinearParameters,
    "net": NetParameters,
}


def read_parameters(method: Method, data: Mapping[str, Any]) -> Parameters:
    """Rebuild the parameters that `asdict` wrote."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return PARAMETERS[method](**values)


@dataclass(frozen=True, slots=True)
class ValidateFigures:
    """How a combination does on the rows of `validate`, weighted by the prior. Fractions of 1; NLL in nats."""

    nll: float
    accuracy: float
    balanced_accuracy: float
    group_accuracy: Mapping[str, float | None]
    """By class group; None for a group without rows."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fitted combination of experts."""

    method: Method
    parameters: Parameters
    fit_nll: float
    """On the rows that it was fitted on, in nats."""
    validate: ValidateFigures
    nll_difference: tuple[float, float] | None = None
    """95 % interval of its validate NLL minus the lowest candidate's; None for that one."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Candidate:
        """Rebuild the candidate that `asdict` wrote."""
        interval = data.get("nll_difference")
        return cls(
            data["method"],
            read_parameters(data["method"], data["parameters"]),
            data["fit_nll"],
            ValidateFigures(**data["validate"]),
            None if interval is None else (interval[0], interval[1]),
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """When to accept, for one target coverage: score ≥ threshold.

    The scores `msp`, `margin`, `entropy` and `energy` need no `u` and `v`.
    """

    coverage: float
    """κ, the target: a share of the rows' weight, 0…1."""
    threshold: float
    u: tuple[float, ...] = ()
    """[K] by class group: score = max_k u_k M_k − Σ_k v_k P_k."""
    v: tuple[float, ...] = ()
    fitted_coverage: float = 1.0
    """On the rows that it was fitted on; above κ where rows tie."""
    objective: float | None = None
    """Balanced or worst-group error on those rows; None for scores that optimise neither."""
    group_errors: tuple[float, ...] = ()
    """[K] on those rows: P(wrong | accepted, group); 1 with nothing accepted."""
    group_acceptance: tuple[float, ...] = ()
    """[K] on those rows: P(accepted | group)."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rule:
        """Rebuild the rule that `asdict` wrote."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Rules:
    """A fitted rejector: one rule for each target coverage, rising."""

    score: Score
    objective: Objective
    """Means nothing but for the score `group`."""
    min_group_coverage: float
    rules: tuple[Rule, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rules:
        """Rebuild the rules that `to_dict` wrote."""
        return cls(**{**data, "rules": tuple(Rule.from_dict(rule) for rule in data["rules"])})

    def to_dict(self) -> dict[str, Any]:
        """Write them as stored and sent."""
        return asdict(self)
