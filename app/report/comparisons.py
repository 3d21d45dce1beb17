"""What an evaluation shows, in words: the best method by each figure, and whether it is told from the reference."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.evaluations import Evaluation, MethodEvaluation
from app.report.figures import Figure
from app.report.words import count, listing, percent


@dataclass(frozen=True, slots=True)
class Criterion:
    """A figure by which methods are compared."""

    figure: Figure
    larger_is_better: bool
    phrase: str
    """Of the best one, such as `the highest accuracy`."""

    def best(self, evaluation: Evaluation) -> list[MethodEvaluation]:
        """Return the methods with the best value; empty where none has one."""
        known = [(value, method) for method in evaluation.methods if (value := self.value(method)) is not None]
        if not known:
            return []
        pick = max if self.larger_is_better else min
        best = pick(value for value, _ in known)
        return [method for value, method in known if abs(value - best) <= 1e-12]

    def value(self, method: MethodEvaluation) -> float | None:
        """Return a method's value."""
        return method.figures.get(self.figure.name)


CRITERIA = (
    Criterion(Figure("accuracy", "", "%", "", 2), True, "the highest accuracy"),
    Criterion(Figure("balanced_accuracy", "", "%", "", 2), True, "the highest balanced accuracy"),
    Criterion(Figure("nll", "", "nats", "", 3), False, "the lowest NLL"),
    Criterion(Figure("aurc_grid", "", "", "", 4), False, "the lowest AURC"),
    Criterion(Figure("balanced_aurc_grid", "", "", "", 4), False, "the lowest balanced AURC"),
    Criterion(Figure("worst_aurc_grid", "", "", "", 4), False, "the lowest worst-group AURC"),
)


def comparisons(evaluation: Evaluation) -> list[str]:
    """Write a sentence for each criterion that a method has a value of."""
    return [text for criterion in CRITERIA if (text := comparison(evaluation, criterion)) is not None]


def comparison(evaluation: Evaluation, criterion: Criterion) -> str | None:
    """Compare the best method by a criterion with the reference.

    The result is None where no method has a value.
    """
    best = criterion.best(evaluation)
    if not best:
        return None
    value = _text(criterion.figure, criterion.value(best[0]))
    names = [method.name for method in best]
    if evaluation.reference in names:
        others = len(names) - 1
        shared = f"; {count(others, 'other method')} {'have' if others > 1 else 'has'} the same" if others else ""
        return f"{evaluation.reference}, the reference, has {criterion.phrase}, {value}{shared}."
    verb = "have" if len(names) > 1 else "has"
    sentence = f"{listing(names)} {verb} {criterion.phrase}, {value}"
    return f"{sentence}: {_against(best[0], evaluation, criterion)}."


def _against(method: MethodEvaluation, evaluation: Evaluation, criterion: Criterion) -> str:
    """Compare with the reference, by the interval of the paired difference."""
    difference = method.differences.get(criterion.figure.name)
    if difference is None:
        return f"{evaluation.reference} has no such figure to compare with"
    figure, level = criterion.figure, percent(evaluation.level)
    low, high = sorted((abs(difference.low), abs(difference.high)))
    direction = "above" if difference.value > 0 else "below"
    size = _text(figure, abs(difference.value)).removesuffix(" %") + (" points" if figure.unit == "%" else "")
    if difference.low <= 0 <= difference.high:
        ends = f"{_bare(figure, difference.low)} to {_bare(figure, difference.high)}"
        return f"not told apart from {evaluation.reference} ({level} interval of the difference {ends})"
    ends = f"{_bare(figure, low)} to {_bare(figure, high)}"
    return f"{size} {direction} {evaluation.reference} ({level} interval {ends})"


def _bare(figure: Figure, value: float) -> str:
    return figure.text(value).replace("-", "−")


def _text(figure: Figure, value: float | None) -> str:
    unit = f" {figure.unit}" if figure.unit else ""
    return f"{figure.text(value)}{unit}".replace("-", "−")
