"""What a paired comparison shows, in words, and what it does not show."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.comparisons import CauseKind, ComparisonOutcome, PairComparison, Pairing
from app.report.caveats import Caveat
from app.report.figures import in_percent
from app.report.words import count, percent, signed

CAUSES: Mapping[CauseKind, str] = {
    "identical": "identical",
    "precision": "precision only",
    "temperature": "a temperature",
    "prior": "a class prior",
    "row-constant": "a constant a row",
    "permuted-rows": "permuted rows",
    "other-split": "another split",
    "other-data": "other images",
    "other-calibration": "other calibration",
    "other-normalisation": "other normalisation",
    "other-network": "another network",
    "other-weights": "other weights",
    "unknown": "not known",
}


def p_text(p: float) -> str:
    """Write a p value: four digits, or the power of ten where these would be 0."""
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}".replace("-", "−")


def cause_word(pair: PairComparison) -> str:
    """Name the cause in a word or two."""
    cause = pair.cause
    word = CAUSES.get(cause.kind, cause.kind)
    return f"{word} {cause.value}" if cause.kind == "temperature" and cause.value else word


def accuracy_sentence(pair: PairComparison, level: float) -> str:
    """Compare the accuracies of A and B, by the interval of their difference."""
    accuracy = pair.figure("accuracy")
    difference = accuracy.difference
    if accuracy.a is None or accuracy.b is None or difference is None:
        return f"{pair.a} and {pair.b} have no accuracy to compare."
    values = f"{pair.a} is right in {_percent(accuracy.a)} of {count(pair.pairing.rows, 'row')}, {pair.b} in "
    values += _percent(accuracy.b)
    if difference.value == difference.low == difference.high == 0:
        return f"{values}: no difference."
    ends = f"{_points(difference.low)} to {_points(difference.high)}"
    moved = f"{values}: {_points(difference.value)} points ({percent(level)} interval {ends})"
    apart = not difference.low <= 0 <= difference.high
    return f"{moved}." if apart else f"{moved}, which may be chance."


def mcnemar_sentence(pair: PairComparison, level: float) -> str:
    """Tell how often one is right where the other is wrong, and whether that is beyond chance."""
    test = pair.mcnemar
    if not test.only_a + test.only_b:
        return f"{pair.a} and {pair.b} are right in the same samples."
    adjusted = f" ({p_text(test.p_holm)} after Holm over {test.pairs} pairs)" if test.pairs > 1 else ""
    apart = test.p_holm < 1 - level
    verdict = "the two differ in accuracy beyond chance" if apart else "these samples do not tell the two apart"
    return (
        f"{pair.a} is right where {pair.b} is wrong in {count(test.only_a, 'sample')}, the other way round in "
        f"{test.only_b:,}; p = {p_text(test.p)}{adjusted}: {verdict}."
    )


def gap_sentence(pair: PairComparison) -> str:
    """Tell how far the logits are apart, and how many predictions flip."""
    flips, rows = pair.flips[0].flips, pair.pairing.rows
    flipped = (
        f"{count(flips, 'row')} of {rows:,} ({in_percent(flips / rows):.2f} %) flip" if flips else "No row flips"
    )
    if pair.logits is None:
        return f"{flipped}. The numbers of classes differ, so the logits themselves cannot be compared."
    gap = pair.logits
    return f"{flipped}. The logits differ by at most {gap.largest:.3g} and by {gap.mean:.3g} on average."


def pairing_sentence(pairing: Pairing) -> str:
    """Tell which rows were paired."""
    rows = "Row by row: both have the same list" if pairing.by == "order" else "By sample: the lists differ"
    left = pairing.left_out_a + pairing.left_out_b
    out = f"; {pairing.left_out_a:,} rows of A and {pairing.left_out_b:,} of B have no partner" if left else ""
    repeated = pairing.rows - pairing.samples
    distinct = f", {pairing.samples:,} distinct samples" if repeated else ""
    return f"{rows}{out}. {count(pairing.rows, 'pair')}{distinct}."


def comparison_caveats(outcome: ComparisonOutcome, *, doubtful: bool) -> list[Caveat]:
    """Explain the figures of a comparison."""
    level = percent(outcome.level)
    caveats: list[Caveat] = [
        (
            "B − A",
            "All differences are what changes where B takes the place of A. Accuracies and recalls are better above "
            "0; NLL, ECE and AURC below.",
        ),
        (
            "p",
            "The exact two-sided McNemar test looks only at samples that one alone has right; one that the list "
            "repeats counts once. Its p is how often chance would give so uneven a count if both were equally often "
            "right. It is not the probability that they are, and a large p does not show that they are equal.",
        ),
        (
            "Many pairs",
            "Holm's adjustment allows for the pairs of one split, not for several splits or for the figures beside "
            "it. Who looks at all of them and names the best will find a smaller difference next time.",
        ),
        (
            "Intervals",
            f"{level} intervals of {outcome.resamples:,} resamples of the paired rows, drawn by class, seed "
            f"{outcome.seed}. A and B share each resample, so their difference is told more sharply than by two "
            "intervals of their own.",
        ),
        (
            "Rows, not trainings",
            "Rows are drawn again, experts are not trained again. Another seed of the same recipe may differ by more "
            "than the interval; only several trainings show that.",
        ),
        (
            "Flips and margins",
            "A flip is a row whose predicted class differs. A margin is the largest minus the second largest logit: "
            "flips of a small margin are near a boundary, those of a large one are a change of mind.",
        ),
        (
            "Cause",
            "Named only where numbers, manifests or recomputed rows prove it. Where none is proved, the report lists "
            "what was tried.",
        ),
    ]
    if doubtful:
        text = "They failed checks, which stand above. Compare them to find out why; do not publish figures of them."
        caveats.insert(0, ("Doubtful files", text))
    return caveats


def _percent(share: float) -> str:
    return f"{in_percent(share):.2f} %"


def _points(share: float) -> str:
    return signed(f"{in_percent(share):.2f}")
