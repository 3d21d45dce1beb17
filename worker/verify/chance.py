"""Agreement by chance: what the accuracy would be if the logits had nothing to do with the samples.

The null is that of shuffled rows: predictions and labels keep how often each class occurs, and only which row
goes with which label is random. Unlike 1/C it knows that a guesser who favours the common classes is right
more often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import Check, error_check, skipped, warning_check
from worker.verify.json_values import finite_or_name, first_rows

DEVIATIONS = 3  # standard deviations above chance; shuffled rows get there about once in 700 large splits
CHANCE_ROWS = 100  # below that a real expert can fail by bad luck: of 30 % on 10 classes, half do at 20 rows
TELLING = 0.1  # of what is left above chance: where the bound lies higher, an honest weak expert may well miss it
MANY_ROWS = 1000  # from there on even a split of few classes tells
SURE = 0.2  # mean confidence minus accuracy; an untrained network, its logits nearly alike, is hardly ever so sure


@dataclass(frozen=True)
class Chance:
    """The accuracy of predictions whose rows are shuffled, in fractions.

    Attributes:
        rows: N ≥ 1.
        expected: its mean over all orders of the rows.
        deviation: its standard deviation; 0 where every order has the same accuracy, as it has when all labels or
            all predictions are of one class. Then this null says nothing.
    """

    rows: int
    expected: float
    deviation: float

    @property
    def shuffled_bound(self) -> float | None:
        """Expected + DEVIATIONS standard deviations, or None where every order has the same accuracy."""
        return self.expected + DEVIATIONS * self.deviation if self.deviation else None

    def bound(self, classes: int) -> float:
        """What an accuracy must exceed to count as better than chance; can be 1 or more.

        The larger of `shuffled_bound` and the same for uniform guesses, p + 3·sqrt(p·(1−p)/N) with p = 1/C
        (binomial). The second guards the places where the first says nothing or where a single match is much.
        """
        share = 1 / classes
        uniform = share + DEVIATIONS * math.sqrt(share * (1 - share) / self.rows)
        return max(uniform, self.shuffled_bound or 0.0)

    def surprise(self, accuracy: float) -> float:
        """s such that shuffled rows reach this accuracy with a probability of at most 2·e^−s; 0 up to the mean.

        s = t²/(4·E + 2·t), t matches more than the E expected. It holds for every N, so it can be divided among
        many trials, where normal tails cannot: at E = 0.01 matches a single one is 10 deviations.
        Source: Chatterjee, "Stein's method for concentration inequalities", Probability Theory and Related
        Fields 138, 2007, proposition 1.1.
        """
        expected = self.expected * self.rows
        excess = accuracy * self.rows - expected
        return excess**2 / (4 * expected + 2 * excess) if excess > 0 else 0.0


def permutation_chance(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Chance:
    """Mean and deviation of the accuracy over all orders of the rows.

    With r_c predictions and n_c labels of class c, matches have the mean Σ r_c·n_c / N and the variance
    [Σ r·n − Σ r·n·(r + n)/N + (Σ r·n)²/N²] / (N − 1). Source: Hubert, "Kappa revisited", Psychological Bulletin
    84, 1977: the permutation moments of the numerator of Cohen's kappa.

    Args:
        predictions: [N] in 0…classes−1, N ≥ 1.
        labels: [N] in 0…classes−1.
        classes: C.
    """
    # Python's integers: the sums are exact, so a variance of 0 is 0 and none is negative.
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
    """The accuracy is better than chance, as `Chance.bound` says.

    Skipped where even perfect predictions could not pass. A failure is an error where it can only mean that
    something is wrong: if the rows do no better than shuffled ones, there are CHANCE_ROWS, the bound is so low that
    an honest weak expert passes it (TELLING), and the labels are of half the classes, or of more than one in
    MANY_ROWS rows: an expert may honestly know nothing of a few rare ones. Else it is a warning; as it is for logits
    that beat their shuffled rows and miss only the bound for uniform guesses. Predictions of one class alone do no
    better than shuffled rows, whatever their accuracy.

    Args:
        predictions: [N] in 0…classes−1.
        labels: [N] in 0…classes−1.
        confidence: [N] largest softmax probability of each row.
        classes: C ≥ 1.
    """
    rows = len(labels)
    accuracy = float(np.mean(predictions == labels)) if rows else 0.0
    if not rows or permutation_chance(labels, labels, classes).bound(classes) >= 1:
        reason = f"{rows} rows of {classes} classes are too few to tell an accuracy of {accuracy:.2%} from chance."
        if classes == 1:
            reason = "With one class every prediction is right by chance."
        return skipped("accuracy", "warning" if rows < CHANCE_ROWS else "error", reason)

    chance = permutation_chance(predictions, labels, classes)
    bound, shuffled = chance.bound(classes), chance.shuffled_bound
    present = np.unique(labels).size
    one_answer = present > 1 and shuffled is None
    by_chance = chance.expected if present > 1 else 1 / classes
    beats_shuffled = shuffled is not None and accuracy > shuffled
    good = accuracy > bound and not one_answer
    telling = rows >= CHANCE_ROWS and (bound - by_chance) <= TELLING * (1 - by_chance)
    telling = telling and present > 1 and (2 * present >= classes or rows >= MANY_ROWS)
    mean_confidence = float(np.mean(confidence))
    figures = f"the accuracy of {accuracy:.2%} is no better than chance (it should be above {bound:.2%})"
    if one_answer:
        message = (
            f"All predictions are class {int(predictions[0])}, so the accuracy of {accuracy:.2%} is that of shuffled "
            "rows: the expert may be untrained, or the logits are not its own."
        )
    elif good:
        message = f"The accuracy of {accuracy:.2%} is better than chance (above {bound:.2%})."
    elif beats_shuffled:
        message = (
            f"For {classes} classes {figures}, though shuffled rows would reach only {by_chance:.2%}: "
            "the expert hardly knows the classes of this split."
        )
    elif telling and shuffled is not None and mean_confidence > accuracy + SURE:
        message = (
            "The logits do not belong to these samples: an expert this sure (mean confidence "
            f"{mean_confidence:.1%}) is trained, yet {figures}; the indices may point into another base, or the "
            "rows or the classes are in another order."
        )
    else:
        message = f"T{figures[1:]}: the expert may be untrained, or the logits belong to other samples."

    certain = telling and (good or not beats_shuffled)
    evidence = [
        {"row": row, "predicted": int(predictions[row]), "label": int(labels[row])}
        for row in first_rows(predictions != labels)
    ]
    done = error_check if certain else warning_check
    measured = {"accuracy": accuracy, "mean_confidence": finite_or_name(mean_confidence)}
    expected = {"above": bound, "by_chance": by_chance}
    return done("accuracy", good, measured, expected, message, [] if good else evidence)
