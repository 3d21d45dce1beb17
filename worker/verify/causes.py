"""Search for the cause of an accuracy no better than chance: another base, list or order that fits.

A cause is named only where chance does not explain it, however many were tried; a wrong hint costs more than none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.verify.chance import permutation_chance

FALSE_ALARM = 0.001  # probability that a search over logits that fit nothing names a cause all the same
ALONE = 4  # times as far above chance as under another naming of the classes; see `_stands_alone`
MAX_TRIED = 30  # trials reported, the best ones
FOURIER_PAIRS = 8  # times N: pairs of rows of one class beyond which two Fourier transforms are quicker; measured
PAIRS_AT_ONCE = 1 << 20  # 8 MB

LISTED = "as listed"
SAID = {
    LISTED: "",
    "sorted by index": " in ascending order of the index",
    "reversed": " in reversed order",
    "sorted by class": " in ascending order of the class",
}


@dataclass(frozen=True, eq=False)
class Candidate:
    """Another list of equal length, or the same indices into another base.

    `indices` [N] int64 point into the base, `labels` [N] int64 are those there.
    """

    base: str
    split: str
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """One candidate in one order.

    `order` is `as listed`, `sorted by index`, `reversed`, `sorted by class`, or `shifted by k rows`: row i of the
    logits is entry (i + k) mod N of the list, k being the shift that fits best. `accuracy` is a fraction, `by_chance`
    what is expected of shuffled rows; it `fits` where chance is ruled out, by the rule of `search`.
    """

    base: str
    split: str
    order: str
    accuracy: float
    by_chance: float
    fits: bool


@dataclass(frozen=True)
class Causes:
    """The outcome of a search.

    Attributes:
        found: the trial of the highest accuracy among those that fit, or None.
        tried: the MAX_TRIED best trials, best first.
        untried: what could not be tried, each with `base` and `reason`.
    """

    found: Trial | None
    tried: tuple[Trial, ...]
    untried: tuple[dict[str, str], ...]
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return the search as it is stored and sent."""
        return asdict(self) | {"tried": [asdict(t) for t in self.tried], "untried": list(self.untried)}


def search(
    predictions: NDArray[np.int64],
    classes: int,
    own: Candidate,
    candidates: Sequence[Candidate] = (),
    untried: Sequence[tuple[str, str]] = (),
) -> Causes:
    """Compare the predictions with every candidate in every order.

    A trial fits if its accuracy is above `Chance.bound` and if shuffled rows would reach it in fewer than FALSE_ALARM
    of such searches: half of that is shared among the fixed orders of all candidates, half among all their shifts
    (Bonferroni). It must also stand alone, see `_stands_alone`. Predictions are [N] in 0…classes−1; `own` is the list
    and base that they are said to be of. A candidate whose length or labels do not fit is reported as untried, beside
    `untried`: names with reasons.
    """
    left_out = [{"base": base, "reason": reason} for base, reason in untried]
    usable: list[Candidate] = []
    for candidate in (own, *candidates):
        if problem := _problem(candidate, len(predictions), classes):
            left_out.append({"base": candidate.base, "reason": problem})
        else:
            usable.append(candidate)
    trials = [trial for candidate in usable for trial in _trials(predictions, classes, candidate, len(usable))]
    trials.sort(key=lambda trial: -trial.accuracy)  # stable: of equals the own list and the simpler order lead
    found = next((trial for trial in trials if trial.fits), None)
    message = _found_message(found, own) if found else _nothing_message(trials, left_out)
    return Causes(found, tuple(trials[:MAX_TRIED]), tuple(left_out), message)


def count_shifts(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count the matches under every cyclic shift, [N] int64.

    They are Σ_i [predictions[i] = labels[(i + k) mod N]] for k = 0…N−1, and sum to Σ_c r_c·n_c. Both are [N] in
    0…classes−1, N ≥ 1. Class by class: a rare one by its pairs of rows, a common one by the cross-correlation
    theorem. At most sqrt(N / FOURIER_PAIRS) classes can be common, so this is quick for any number of classes: 50,000
    rows take 0.1 s for 10 classes, 0.3 s for 100 and 0.1 s for 1,000, on one core and within 40 MB.
    """
    rows = len(labels)
    counts = np.zeros(rows, dtype=np.int64)
    size = 1 << (2 * rows - 1).bit_length()  # padded, since transforms of a length with large factors are slow
    spectrum = np.zeros(size // 2 + 1, dtype=np.complex128)
    pairs: list[NDArray[np.int64]] = []
    waiting = 0
    for predicted, labelled in zip(
        _rows_by_class(predictions, classes), _rows_by_class(labels, classes), strict=True
    ):
        if not predicted.size * labelled.size:
            continue
        if predicted.size * labelled.size > FOURIER_PAIRS * rows:
            spectrum += _transform(predicted, size).conj() * _transform(labelled, size)
            continue
        pairs.append((np.subtract.outer(labelled, predicted) % rows).ravel())
        waiting += predicted.size * labelled.size
        if waiting > PAIRS_AT_ONCE:
            counts += np.bincount(np.concatenate(pairs), minlength=rows)
            pairs.clear()
            waiting = 0
    if pairs:
        counts += np.bincount(np.concatenate(pairs), minlength=rows)
    lags = np.rint(np.fft.irfft(spectrum, size)).astype(np.int64)  # lag −k stands at size − k
    counts += lags[:rows]
    counts[1:] += lags[size - rows + 1 :]
    return counts


def _trials(predictions: NDArray[np.int64], classes: int, candidate: Candidate, candidates: int) -> Iterator[Trial]:
    """Try a candidate in each fixed order and the best shift.

    `candidates` is how many there are, this one included.
    """
    labels, rows = candidate.labels, len(predictions)
    chance = permutation_chance(predictions, labels, classes)

    def attempt(order: str, ordered: NDArray[np.int64], orders: int) -> Trial:
        accuracy = float(np.mean(predictions == ordered))
        enough = math.log(2 * 2 * candidates * orders / FALSE_ALARM)
        fits = accuracy > chance.bound(classes) and chance.surprise(accuracy) >= enough
        fits = fits and _stands_alone(predictions, ordered, classes)
        return Trial(candidate.base, candidate.split, order, accuracy, chance.expected, fits)

    fixed_orders = {
        LISTED: labels,
        "sorted by index": labels[np.argsort(candidate.indices, kind="stable")],
        "reversed": labels[::-1],
        "sorted by class": np.sort(labels),
    }
    for order, ordered in fixed_orders.items():
        if order == LISTED or not np.array_equal(ordered, labels):
            yield attempt(order, ordered, len(SAID))
    if rows > 1:
        shift = 1 + int(count_shifts(predictions, labels, classes)[1:].argmax())
        yield attempt(f"shifted by {shift} rows", np.roll(labels, -shift), rows)


def _stands_alone(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> bool:
    """Tell whether no other class naming matches nearly as well.

    The matches have to exceed chance by at least ALONE times as much as under any other naming.

    Shuffled rows are no null for a list that is sorted by class: there some whole classes match in one order or
    another, whatever the predictions are of. But then as many match if every class is called by the name d places
    on, for some d; where the predictions fit, none do. Held are the matches for each d against those expected of
    shuffled rows, Σ_c r_c·n_(c+d) / N. Measured on sorted lists with the classes renamed at random, an order is named
    in 6 of 100 searches at 10 classes and in none of 1,000 at 100; with five classes or fewer a renaming often is an
    order, and cannot be told from one.
    """
    matches = np.bincount((labels - predictions) % classes, minlength=classes)  # [C], by d
    predicted, labelled = (np.fft.rfft(np.bincount(values, minlength=classes)) for values in (predictions, labels))
    by_chance = np.fft.irfft(predicted.conj() * labelled, classes) / len(labels)
    excess = matches - by_chance
    return bool(excess[0] >= ALONE * excess[1:].max(initial=0.0))


def _problem(candidate: Candidate, rows: int, classes: int) -> str | None:
    labels = candidate.labels
    if labels.shape != (rows,) or candidate.indices.shape != (rows,):
        return f"the list {candidate.split!r} has {len(labels)} entries, the logits have {rows} rows"
    if not rows:
        return "there are no rows"
    if labels.min() < 0 or labels.max() >= classes:
        return f"its labels are not among the classes 0 to {classes - 1}"
    return None


def _rows_by_class(values: NDArray[np.int64], classes: int) -> list[NDArray[np.int64]]:
    """Return the rows of each class, C arrays."""
    ends = np.cumsum(np.bincount(values, minlength=classes))
    return np.split(np.argsort(values, kind="stable"), ends[:-1])


def _transform(rows: NDArray[np.int64], size: int) -> NDArray[np.complex128]:
    """Compute the Fourier transform of a mask of `rows`."""
    places = np.zeros(size)
    places[rows] = 1
    return np.fft.rfft(places)


def _found_message(trial: Trial, own: Candidate) -> str:
    order = SAID.get(trial.order)
    if order is None:
        shift = trial.order.split()[2]
        order = f" {trial.order} (row 0 of the logits is entry {shift} of the list)"
    if trial.base != own.base and trial.split == own.split:
        against = f"the labels of base {trial.base!r} at the same indices{order}"
        verdict = f"the logits were computed on images of {trial.base!r}"
    elif (trial.base, trial.split) != (own.base, own.split):
        against = f"the labels of the list {trial.split!r} of base {trial.base!r}{order}"
        verdict = f"the logits are those of {trial.split!r}"
    else:
        against = f"the same labels{order}"
        verdict = "the rows are in that order, not in the list's" if order else "the logits fit as they are"
        order = ""
    more = ", and the rows are in that order" if order else ""
    return (
        f"Against {against} the accuracy is {trial.accuracy:.2%} ({trial.by_chance:.2%} by chance): {verdict}{more}."
    )


def _nothing_message(trials: Sequence[Trial], left_out: Sequence[dict[str, str]]) -> str:
    sentence = (
        "No base and no order was found under which the predictions fit" if trials else "Nothing could be tried"
    )
    if left_out:
        sentence += "; not tried: " + ", ".join(f"{item['base']} ({item['reason']})" for item in left_out)
    return f"{sentence}."
