"""Small test rows with ties, weights and repeated images, and methods for them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from app.domain.evaluations import Evaluation
from worker.combine.evaluation.evaluate import evaluate
from worker.combine.evaluation.method_rows import ClassifierRows, MethodRows, RuleRows

COVERAGES = (0.2, 0.35, 0.5, 0.55, 0.9, 1.0)


@dataclass(frozen=True)
class Case:
    """Rows and the methods that are evaluated on them."""

    labels: np.ndarray
    groups: np.ndarray
    weights: np.ndarray
    images: np.ndarray
    methods: tuple[MethodRows, ...]
    group_names: tuple[str, ...] = ("head", "tail")
    coverages: tuple[float, ...] = COVERAGES

    def evaluate(self, resamples: int = 40, seed: int = 0) -> Evaluation:
        """Evaluate the methods; the first one is the reference."""
        return evaluate(
            self.methods,
            self.labels,
            self.groups,
            self.group_names,
            self.weights,
            self.images,
            self.coverages,
            self.methods[0].name,
            lambda: None,
            resamples,
            seed,
        )

    def rows(self, places: np.ndarray) -> Case:
        """Take rows, in this order."""
        return replace(
            self,
            labels=self.labels[places],
            groups=self.groups[places],
            weights=self.weights[places],
            images=self.images[places],
            methods=tuple(taken(method, places) for method in self.methods),
        )


def taken(method: MethodRows, places: np.ndarray) -> MethodRows:
    """Take rows of a method, in this order."""
    weights = None if method.expert_weights is None else method.expert_weights[places]
    predictions, score = method.predictions[..., places], method.score[..., places]
    if isinstance(method, RuleRows):
        return replace(method, predictions=predictions, score=score, expert_weights=weights)
    nll = None if method.nll is None else method.nll[places]
    confidence = None if method.confidence is None else method.confidence[places]
    return replace(
        method, predictions=predictions, score=score, nll=nll, confidence=confidence, expert_weights=weights
    )


def random_case(
    rows: int = 60,
    seed: int = 0,
    *,
    classes: int = 6,
    groups: int = 2,
    ties: bool = True,
    weighted: bool = True,
    repeats: bool = True,
) -> Case:
    """Draw rows: scores on a coarse grid tie; weights depend on the class; some images repeat."""
    random = np.random.default_rng(seed)
    labels = np.sort(random.integers(0, classes, rows)) if rows > 1 else np.zeros(1, dtype=np.int64)
    images = np.arange(rows) * 10
    if repeats:
        for place in range(1, rows, 4):
            if labels[place] == labels[place - 1]:
                images[place] = images[place - 1]
    weights = np.exp(-0.7 * labels) if weighted else np.ones(rows)
    of_class = np.arange(classes) * groups // classes

    def score(*shape: int) -> np.ndarray:
        values = random.random(shape)
        return np.round(values, 1) if ties else values

    def predicted(*shape: int) -> np.ndarray:
        return np.where(random.random((*shape, rows)) < 0.5, labels, random.integers(0, classes, (*shape, rows)))

    coverages = len(COVERAGES)
    confidence = score(rows)
    shares = random.dirichlet(np.ones(3), rows)
    thresholds = np.linspace(0.9, 0.0, coverages)
    methods: tuple[MethodRows, ...] = (
        ClassifierRows("a", predicted(), confidence, None, random.exponential(size=rows), confidence, shares),
        ClassifierRows("b", predicted(), score(rows), thresholds),
        RuleRows("c", predicted(coverages), score(coverages, rows), thresholds),
    )
    names = ("head", "tail") if groups == 2 else tuple(f"g{number}" for number in range(groups))
    return Case(labels, of_class[labels], weights / weights.mean(), images, methods, names)


def reweighted(case: Case, places: list[int]) -> Case:
    """Give weight to these rows only, unequal ones."""
    weights = np.zeros(len(case.labels))
    weights[places] = np.arange(1, len(places) + 1)
    return replace(case, weights=weights / weights.mean())
