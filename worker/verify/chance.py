"""Chance: the accuracy that is expected if the logits have nothing to do with the samples.

The null hypothesis is that of shuffled rows: predictions and labels keep how often each class occurs, and only the
pairing of rows and labels is random. Unlike 1/C it accounts for guesses that favour the common classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import Check, error_check, skipped, warning_check
from worker.verify.json_values import finite_or_name, first_rows

DEVIATIONS = 3  # standard deviations above chance; shuffled rows reach it about once in 700 large splits
CHANCE_ROWS = 100  # with fewer rows a real expert may fail by chance: at 30 % on 10 classes and 20 rows, half do
TELLING = 0.1  # share of the range above chance; where the bound is higher, a weak but real expert may miss it
MANY_ROWS = 1000  # enough rows to judge a split of few of the classes
SURE = 0.2  # mean confidence minus accuracy; untrained networks, whose logits are nearly equal, rarely reach it


@dataclass(frozen=True)
class Chance:
    """The accuracy of predictions whose rows are shuffled, in fractions.

    `expected` and `deviation` are over all orders of the N ≥ 1 rows. The deviation is 0 where every order has the
    same accuracy, as when all labels or all predictions are of one class. Then the null hypothesis cannot be tested.
    """

    rows: int
    expected: float
    deviation: float

    @property
    def shuffled_bound(self) -> float | None:
        """Expected + DEVIATIONS standard deviations, or None where every order has the same accuracy."""
        return self.expected + DEVIATIONS * self.deviation if self.deviation else None

    def bound(self, classes: int) -> float:
        """Return the accuracy to exceed to be better than chance.

        The larger of `shuffled_bound` and the bound of uniform guesses, p + 3·sqrt(p·(1−p)/N) with p = 1/C
        (binomial), which is there where the first is None or a single match exceeds it. It can be 1 or more.
        """
        share = 1 / classes
        uniform = share + DEVIATIONS * math.sqrt(share * (1 - share) / self.rows)
        return max(uniform, self.shuffled_bound or 0.0)

    def surprise(self, accuracy: float) -> float:
        """Return s: shuffled rows reach the accuracy with probability ≤ 2·e^−s.

        s = t²/(4·E + 2·t), for t matches more than the E expected; 0 up to the mean. The inequality holds for every
        N, so that it can be divided among many trials; normal tails cannot: at E = 0.01 matches, a single match is
        10 deviations.
        Source: Chatterjee, "Stein's method for concentration inequalities", Probability Theory and Related
        Fields 138, 2007, proposition 1.1.
        """
        expected = self.expected * self.rows
        excess = accuracy * self.rows - expected
        return excess**2 / (4 * expected + 2 * excess) if excess > 0 else 0.0


def permutation_chance(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Chance:
    """Compute the accuracy's mean and deviation over all row orders.

    With r_c predictions and n_c labels of class c, matches have the mean Σ r_c·n_c / N and the variance [Σ r·n − Σ
    r·n·(r + n)/N + (Σ r·n)²/N²] / (N − 1). Predictions and labels are [N] in 0…classes−1, N ≥ 1. Source: Hubert,
    "Kappa revisited", Psychological Bulletin 84, 1977: the permutation moments of the numerator of Cohen's kappa.
    """
    # Python's integers are exact, so that no variance is negative, and one of 0 is 0.
    predicted: list[int] = np.bincount(predictions, minlength=classes).tolist()
    labelled: list[int] = np.bincount(labels, minlength=classes).tolist()
    rows = len(labels)
    both = sum(r * n for r, n in zip(predicted, labelled, strict=True))
    cubic = sum(r * n * (r + n) for r, n in zip(predicted, labelled, strict=True))
    scaled = rows**2 * both - rows * cubic + both**2  # variance of matches · N²·(N − 1)
    variance = scaled / (rows**4 * (rows - 1)) if rows > 1 else 0.0  # of the fraction
    return Chance(rows, both / rows**2, math.sqrt(variance))


def check_accuracy(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], confidence: NDArray[np.float64], classes: int
) -> Check:
    """Check that the accuracy beats chance; see `Chance.bound`.

    Skipped where even perfect predictions could not pass. A failure is an error where it can only mean that something
    is wrong (see `_is_certain`); else it is a warning. Logits that beat their shuffled rows and only miss the bound
    for uniform guesses are a warning as well. Predictions of one class alone fail whatever their accuracy: they do no
    better than shuffled rows. Predictions and labels are [N] in 0…classes−1, `confidence` [N] is the largest softmax
    probability of each row.
    """
    rows = len(labels)
    accuracy = float(np.mean(predictions == labels)) if rows else 0.0
    if not rows or permutation_chance(labels, labels, classes).bound(classes) >= 1:
        reason = f"{rows} rows of {classes} classes are too few to tell an accuracy of {accuracy:.2%} from chance."
        if classes == 1:
            reason = "With one class every prediction is right by chance."
        return skipped("accuracy", "warning" if rows < CHANCE_ROWS else "error", reason)
    outcome = _Outcome.of(predictions, labels, float(np.mean(confidence)), classes)
    make = error_check if outcome.certain and (outcome.good or not outcome.beats_shuffled) else warning_check
    wrong = [
        {"row": row, "predicted": int(predictions[row]), "label": int(labels[row])}
        for row in first_rows(predictions != labels)
    ]
    return make(
        "accuracy",
        outcome.good,
        {"accuracy": accuracy, "mean_confidence": finite_or_name(outcome.confidence)},
        {"above": outcome.bound, "by_chance": outcome.by_chance},
        _message(outcome, int(predictions[0]), classes),
        [] if outcome.good else wrong,
    )


@dataclass(frozen=True)
class _Outcome:
    """An accuracy compared with chance.

    Attributes:
        bound, by_chance: of chance, and what is expected by it.
        one_answer: whether all predictions are of one class, though the labels are not.
        beats_shuffled: whether shuffled rows do worse; `testable`, whether the order of rows matters at all.
        certain: whether a failure can only mean that something is wrong.
    """

    accuracy: float
    confidence: float
    bound: float
    by_chance: float
    one_answer: bool
    beats_shuffled: bool
    testable: bool
    certain: bool

    @property
    def good(self) -> bool:
        """Whether the accuracy is better than chance."""
        return self.accuracy > self.bound and not self.one_answer

    @classmethod
    def of(
        cls, predictions: NDArray[np.int64], labels: NDArray[np.int64], confidence: float, classes: int
    ) -> _Outcome:
        """Compare predictions [N] with labels [N], N ≥ 1."""
        chance = permutation_chance(predictions, labels, classes)
        bound, shuffled = chance.bound(classes), chance.shuffled_bound
        present = int(np.unique(labels).size)
        accuracy = float(np.mean(predictions == labels))
        by_chance = chance.expected if present > 1 else 1 / classes
        return cls(
            accuracy=accuracy,
            confidence=confidence,
            bound=bound,
            by_chance=by_chance,
            one_answer=present > 1 and shuffled is None,
            beats_shuffled=shuffled is not None and accuracy > shuffled,
            testable=shuffled is not None,
            certain=_is_certain(len(labels), present, classes, bound, by_chance),
        )


def _is_certain(rows: int, present: int, classes: int, bound: float, by_chance: float) -> bool:
    """Tell whether a failure proves that something is wrong.

    It needs CHANCE_ROWS, a bound so low that a weak but real expert passes it (TELLING), and labels of half the
    classes, or of more than one in MANY_ROWS rows: a real expert may know nothing of a few rare classes.
    """
    low_bound = (bound - by_chance) <= TELLING * (1 - by_chance)
    varied = present > 1 and (2 * present >= classes or rows >= MANY_ROWS)
    return rows >= CHANCE_ROWS and low_bound and varied


def _message(outcome: _Outcome, first_prediction: int, classes: int) -> str:
    accuracy, bound = f"{outcome.accuracy:.2%}", f"{outcome.bound:.2%}"
    comparison = f"he accuracy of {accuracy} is no better than chance (it should be above {bound})"
    if outcome.one_answer:
        return (
            f"All predictions are class {first_prediction}, so the accuracy of {accuracy} is that of shuffled "
            "rows: the expert may be untrained, or the logits are not its own."
        )
    if outcome.good:
        return f"The accuracy of {accuracy} is better than chance (above {bound})."
    if outcome.beats_shuffled:
        return (
            f"For {classes} classes t{comparison}, though shuffled rows would reach only {outcome.by_chance:.2%}: "
            "the expert hardly knows the classes of this split."
        )
    if outcome.certain and outcome.testable and outcome.confidence > outcome.accuracy + SURE:
        return (
            "The logits do not belong to these samples: an expert this sure (mean confidence "
            f"{outcome.confidence:.1%}) is trained, yet t{comparison}; the indices may point into another base, or "
            "the rows or the classes are in another order."
        )
    return f"T{comparison}: the expert may be untrained, or the logits belong to other samples."
