"""The functions behind gating, rejector and evaluation, called one after the other without the service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from app.domain.combine_requests import NetOptions
from app.domain.combining import COVERAGES, PRETRAINED, Candidate, LinearParameters
from benchmarks.installation import EXPERTS, Installation
from benchmarks.synthetic_logits import FOLDER, Sizes
from worker.combine.combiners import combiner_of
from worker.combine.decisions import decide, score_rows
from worker.combine.evaluation.evaluate import evaluate
from worker.combine.evaluation.method_rows import ClassifierRows, MethodRows, RuleRows
from worker.combine.fitting import FitData, fit_method, pretrain
from worker.combine.prior import log_prior
from worker.combine.rejection import concatenate, fit_rules
from worker.combine.rows import ClassGroups, Combiner, ExpertRows, RowSummary
from worker.combine.summary import summarise

REFERENCE = "uniform + msp"


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step, and seconds that it kept cores busy, which other programs hardly change."""

    wall_s: float
    cpu_s: float


def time_steps(installation: Installation, sizes: Sizes) -> dict[str, StepTime]:
    """Time each step on an installation's logits, by its name; the first ones are the methods alone."""
    seconds: dict[str, StepTime] = {}
    fit, validate, test = (_read(installation, split) for split in ("tunev", "val", "test"))
    prior, counts = log_prior(sizes.train_counts), sizes.train_counts
    groups = ClassGroups(("head", "tail"), (counts <= 20).astype(np.int64))
    for method in PRETRAINED:
        with _clock(seconds, method):
            fit_method(method, fit, validate, prior, NetOptions(), _nothing)
    with _clock(seconds, "all four, and the choice"):
        candidates, chosen = pretrain(FitData(fit, validate, prior), groups)
    best = next(candidate for candidate in candidates if candidate.method == chosen)
    combiner = combiner_of(chosen, best.parameters, prior)
    rules = {}
    for objective in ("balanced", "worst"):
        with _clock(seconds, f"rules of the objective {objective}"):
            both = concatenate(*(summarise(part, combiner, groups) for part in (fit, validate)))
            rules[objective] = fit_rules("group", objective, COVERAGES, 0.0, both, _nothing)
    with _clock(seconds, "combining the test rows"):
        methods = list(_experts(test, groups))
        for candidate in candidates:
            summary = summarise(test, _combiner(candidate, prior), groups)
            methods += _classifiers(candidate.method, summary, all_scores=candidate.method in ("uniform", chosen))
            if candidate.method == chosen:
                decided = {name: decide(fitted, summary) for name, fitted in rules.items()}
                methods += [
                    RuleRows(name, item.predictions, item.score, item.thresholds) for name, item in decided.items()
                ]
    with _clock(seconds, f"figures of {len(methods)} methods, 1,000 resamples"):
        own = groups.of_class[test.labels]
        images = np.arange(len(test.labels))
        evaluate(methods, test.labels, own, groups.names, test.weights, images, COVERAGES, REFERENCE, _nothing)
    return seconds


def _read(installation: Installation, split: str) -> ExpertRows:
    labels = installation.pool()[1][installation.split(split)]
    logits = []
    for name in EXPERTS:
        with np.load(installation.root / "outputs" / FOLDER / name / f"{split}_logits.npz") as arrays:
            logits.append(arrays["logits"])
    return ExpertRows(tuple(logits), labels, np.ones(len(labels)))


def _combiner(candidate: Candidate, prior: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Combiner:
    return combiner_of(candidate.method, candidate.parameters, prior)


def _experts(test: ExpertRows, groups: ClassGroups) -> Iterator[MethodRows]:
    alone = combiner_of("uniform", LinearParameters((1.0,), (1.0,)), None)
    for name, logits in zip(EXPERTS, test.logits, strict=True):
        summary = summarise(ExpertRows((logits,), test.labels, test.weights), alone, groups)
        yield from _classifiers(name, summary, all_scores=False)


def _classifiers(name: str, summary: RowSummary, *, all_scores: bool) -> Iterator[MethodRows]:
    """Give the methods of one combination, as `worker.tasks.evaluated_methods` does."""
    for score in ("msp", "margin", "entropy") if all_scores else ("msp",):
        yield ClassifierRows(
            f"{name} + {score}",
            summary.predictions,
            score_rows(score, summary),
            nll=summary.nll,
            confidence=summary.confidence,
            expert_weights=summary.expert_weights,
        )


def _nothing() -> None: ...


@contextmanager
def _clock(seconds: dict[str, StepTime], name: str) -> Iterator[None]:
    started, cpu = time.perf_counter(), time.process_time()
    yield
    seconds[name] = StepTime(time.perf_counter() - started, time.process_time() - cpu)
