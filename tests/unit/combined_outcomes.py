"""Outcomes of gatings, rejectors and evaluations, made small, and jobs that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.checks import Check, JobReport, warning_check
from app.domain.combine_requests import (
    EvaluationRequest,
    GatingRequest,
    InputFile,
    InputList,
    LogitsInput,
    RejectorRequest,
)
from app.domain.combining import (
    Candidate,
    LinearParameters,
    LogLinearParameters,
    Method,
    NetParameters,
    Parameters,
    Rule,
    Rules,
    ValidateFigures,
)
from app.domain.evaluations import (
    CalibrationBin,
    CoveragePoint,
    Difference,
    ErrorCurve,
    Evaluation,
    Interval,
    MethodEvaluation,
)
from app.domain.jobs import Job, JobState
from app.domain.outcomes import EvaluationOutcome, GatingOutcome, Outcome, RejectorOutcome, RoleRows

EXPERTS = ("ce", "la")
COVERAGES = (0.2, 0.6, 1.0)
REFERENCE = "uniform + msp"
FEW_ROWS = warning_check("effective-rows", False, {"rows": 60}, {"effective": 300.0}, "There are only 60 rows.")
VERSIONS = {"relogit": "0.1.0"}


def role(split: str, rows: int = 60, effective_rows: float | None = None) -> RoleRows:
    return RoleRows(
        InputList(split, "test", "a" * 64, rows), float(rows if effective_rows is None else effective_rows)
    )


def files(splits: Sequence[str], experts: Sequence[str] = EXPERTS) -> tuple[InputFile, ...]:
    return tuple(InputFile(expert, split, "b" * 64) for expert in experts for split in splits)


def candidate(
    method: Method, nll: float, interval: Interval | None, parameters: Parameters | None = None
) -> Candidate:
    """A fitted method; its parameters are for two experts."""
    by_method: dict[Method, Parameters] = {
        "uniform": LinearParameters((0.5, 0.5), (1.0, 1.0)),
        "linear": LinearParameters((0.25, 0.75), (1.5, 0.8)),
        "log-linear": LogLinearParameters((0.2, 0.4), -0.62),
        "net": NetParameters((1.5, 0.8), (), (), "", 7),
    }
    figures = ValidateFigures(nll, 0.5, 0.4, {"head": 0.6, "tail": None})
    return Candidate(method, parameters or by_method[method], nll / 2, figures, interval)


def gating(candidates: Sequence[Candidate], method: Method, chosen: Any, **more: Any) -> GatingOutcome:
    parts: dict[str, Any] = {
        "experts": EXPERTS,
        "groups": {"head": (0, 1), "tail": (2,)},
        "train_counts": (50, 40, 3),
        "prior": "listed",
        "seed": 42,
        "fit": role("tunev", 1000),
        "validate": role("val", 1000, 420.4),
        "inputs": files(("tunev", "val")),
        "divided_by": {},
        "versions": VERSIONS,
    }
    return GatingOutcome(method, chosen, tuple(candidates), **parts | more)


def rules(score: Any = "group", objective: Any = "worst", min_group_coverage: float = 0.0) -> Rules:
    """Rules that accept less of the tail than of the head."""
    grouped = score == "group"
    fitted = []
    for number, coverage in enumerate(COVERAGES):
        last = coverage == 1
        fitted.append(
            Rule(
                coverage,
                -1.7976931348623157e308 if last else 0.5 - number / 4,
                (0.5, 1.0) if grouped else (),
                (1.0, 0.25) if grouped else (),
                coverage,
                0.125 if grouped else None,
                (0.0625, 0.125),
                (1.0, 1.0) if last else (coverage + 0.1, coverage - 0.1),
            )
        )
    return Rules(score, objective, min_group_coverage, tuple(fitted))


def rejector(fitted: Rules | None = None, checks: Sequence[Check] = ()) -> RejectorOutcome:
    return RejectorOutcome(
        "linear", fitted or rules(), ("head", "tail"), 2000, 840.2, "c" * 64, VERSIONS, tuple(checks)
    )


def point(coverage: float, error: float, *, threshold: float | None = None) -> CoveragePoint:
    """The tail's error is twice the head's, and it is accepted less; bands go a tenth up and down."""
    mean = 1.5 * error
    band = {name: (value * 0.9, value * 1.1) for name, value in (("overall", error), ("balanced", mean))}
    band |= {"worst": (1.8 * error, 2.2 * error), "gap": (-error, 2 * error)}
    band |= {"head_acceptance": (coverage, coverage), "tail_acceptance": (coverage / 2, coverage)}
    groups = ((error, 2 * error), (coverage, coverage**2))
    kappa = coverage
    return CoveragePoint(
        kappa, coverage, error, mean, 2 * error, error, *groups, threshold, {} if threshold is not None else band
    )


def evaluated(
    name: str,
    figures: Mapping[str, float | None] | None = None,
    differences: Mapping[str, Difference | None] | None = None,
    *,
    error: float = 0.1,
    rule: bool = False,
    weights: Mapping[str, tuple[float, ...] | None] | None = None,
) -> MethodEvaluation:
    """A method whose error falls in proportion to coverage."""
    known: dict[str, float | None] = {"accuracy": 0.5, "aurc_grid": 0.25, **(figures or {})}
    points = tuple(point(coverage, error * coverage) for coverage in COVERAGES)
    stored = tuple(point(coverage, error, threshold=0.1) for coverage in COVERAGES)
    bins = (CalibrationBin(0.0, 0.5, 0.0, None, None), CalibrationBin(0.5, 1.0, 1.0, 0.9, 0.6))
    return MethodEvaluation(
        name,
        known,
        {n: None if v is None else (v - 0.01, v + 0.01) for n, v in known.items()},
        differences or {},
        points,
        stored if rule else None,
        ErrorCurve(COVERAGES, COVERAGES, COVERAGES, COVERAGES),
        None if rule else bins,
        weights,
    )


def evaluation(methods: Sequence[MethodEvaluation]) -> Evaluation:
    return Evaluation(tuple(methods), COVERAGES, ("head", "tail"), REFERENCE, 1000, 0.95, 0, 480, 480.0)


METHODS = (
    evaluated("ce + msp", error=0.8, weights={"head": (1.0,), "tail": (1.0,)}),
    evaluated("la + msp", error=0.7, weights={"head": (1.0,), "tail": (1.0,)}),
    evaluated(REFERENCE, weights={"head": (0.5, 0.5), "tail": (0.5, 0.5)}),
    evaluated("uniform + entropy", error=0.11),
    evaluated("linear + msp", error=0.09, weights={"head": (0.75, 0.25), "tail": None}),
    evaluated("linear + group-worst", error=0.05, rule=True),
    evaluated("other: net + msp", error=0.12, weights={"head": (0.125, 0.875), "tail": (0.5, 0.5)}),
)


def evaluation_outcome(methods: Sequence[MethodEvaluation] = METHODS, **more: Any) -> EvaluationOutcome:
    parts: dict[str, Any] = {
        "evaluation": evaluation(methods),
        "test": role("test", 480),
        "prior": "listed",
        "inputs": files(("test",)),
        "versions": VERSIONS,
        "checks": (FEW_ROWS,),
        "files": {"argse/main/curves.csv": "d" * 64},
    }
    return EvaluationOutcome(**parts | more)


GATING = GatingRequest(
    dataset="digits",
    splits_dir="digits_splits",
    experts=EXPERTS,
    splits=("tunev", "val", "test"),
    fit="tunev",
    validate="val",
    mode="pretrain",
    name="pretrained",
    output_dir="gating",
    logits=LogitsInput("0" * 32, files(("tunev", "val", "test"))),
    lists=tuple(role(split).list for split in ("tunev", "val", "test")),
)
REJECTOR = RejectorRequest("digits", "group-worst", "1" * 32, "group", "worst", COVERAGES, 0.0)
EVALUATION = EvaluationRequest("digits", "main", "argse", "test", ("1" * 32,), ("2" * 32,))


def job(
    request: GatingRequest | RejectorRequest | EvaluationRequest,
    outcome: Outcome | None,
    state: JobState = JobState.SUCCEEDED,
    **more: Any,
) -> Job:
    """A job without units."""
    return Job(
        "5944eeff", state, request, (), 1795379812.252, 1795379812.271, 1795379813.564, outcome=outcome, **more
    )


def report(outcome: Outcome) -> JobReport:
    """The report that a worker records with an outcome."""
    return JobReport("passed", outcome.checks)
