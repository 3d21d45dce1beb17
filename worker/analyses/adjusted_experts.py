"""Point out experts that were trained for the tail and are worse there than a plain one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from app.domain.checks import Check, skipped, warning_check
from app.domain.seeds import SEPARATORS

ADJUSTED = frozenset(
    "balsoftmax bsoftmax balancedsoftmax bs logitadjust logitadjusted logitadjustment la".split()  # noqa: SIM905
)
"""Parts of a name that say logit adjustment or balanced softmax."""
ADJUSTED_PAIRS = frozenset({
    ("balanced", "softmax"), ("bal", "softmax"), ("logit", "adjust"), ("logit", "adjusted"), ("logit", "adjustment"),
})  # fmt: skip
PLAIN = frozenset({"ce", "crossentropy"})
PLAIN_PAIRS = frozenset({("cross", "entropy")})
CHECK_ID = "adjusted-tail"
LEVEL = 0.05
"""Above this p-value chance may explain the difference, and the check is skipped."""

Parts = tuple[str, ...]


def training_of(expert: str) -> tuple[bool, Parts] | None:
    """Tell from an expert's name whether its training was adjusted.

    Returns True for logit adjustment or balanced softmax and False for plain cross-entropy, with the other parts of
    the name; None where the name says neither. Only whole parts between `_`, `-`, `.` and blanks count, and `bs` with
    a number after it is a batch size.
    """
    parts = tuple(part for part in SEPARATORS.split(expert.lower()) if part)
    for adjusted, words, pairs in ((True, ADJUSTED, ADJUSTED_PAIRS), (False, PLAIN, PLAIN_PAIRS)):
        for place, part in enumerate(parts):
            after = parts[place + 1 : place + 2]
            if (part, *after) in pairs:
                return adjusted, parts[:place] + parts[place + 2 :]
            batch_size = part == "bs" and after and after[0].isdigit()
            if part in words and not batch_size:
                return adjusted, parts[:place] + parts[place + 1 :]
    return None


def check_adjusted_experts(
    right: Mapping[str, NDArray[np.bool_]],
    tail: NDArray[np.bool_] | None,
    distinct: NDArray[np.bool_] | None = None,
) -> tuple[Check, ...]:
    """Check that no adjusted expert is worse on the tail than the plain one.

    It fails if the tail accuracy is lower and chance does not explain it, and is skipped where chance may.
    `right` is [N] for each expert, `tail` [N] the rows of the tail, `distinct` [N] the first row of each sample; None
    where no sample is repeated. An adjusted expert is compared with the plain one whose name is otherwise the same,
    else with the only plain one; with several it is not compared. The p-value is that of McNemar's exact test on the
    tail's distinct samples, which alone are independent. Source: McNemar, "Note on the sampling error of the
    difference between correlated proportions or percentages", Psychometrika 1947.
    """
    trained = {name: training for name in right if (training := training_of(name)) is not None}
    plain = {rest: name for name, (adjusted, rest) in trained.items() if not adjusted}
    only = next(iter(plain.values())) if sum(not adjusted for adjusted, _ in trained.values()) == 1 else None
    checks = []
    for name, (adjusted, rest) in trained.items():
        other = plain.get(rest, only)
        if not adjusted or other is None:
            continue
        if tail is None or not tail.any():
            reason = "There are no train counts." if tail is None else "The split has no row of a tail class."
            checks.append(skipped(CHECK_ID, "warning", f"{name} was not compared with {other}. {reason}"))
        else:
            once = np.ones(tail.sum(), dtype=np.bool_) if distinct is None else distinct[tail]
            checks.append(_check((name, right[name][tail]), (other, right[other][tail]), once))
    return tuple(checks)


def _check(
    adjusted: tuple[str, NDArray[np.bool_]], plain: tuple[str, NDArray[np.bool_]], once: NDArray[np.bool_]
) -> Check:
    """Compare two experts over the rows of the tail; the test takes those of `once`."""
    (name, own), (other, others) = adjusted, plain
    gained, lost = int(np.count_nonzero(own & ~others & once)), int(np.count_nonzero(others & ~own & once))
    p = float(binomtest(lost, gained + lost).pvalue) if gained + lost else 1.0
    share, other_share = float(own.mean()), float(others.mean())
    figures = f"right in {share:.2%} of the {len(own):,} rows of the tail, {other} in {other_share:.2%}"
    measured = {"expert": name, "tail_accuracy": share, "p_value": p}
    expected = {"expert": other, "tail_accuracy": other_share}
    if share >= other_share:
        message = f"{name}, by its name trained for the tail, is {figures}."
        return warning_check(CHECK_ID, True, measured, expected, message)
    worse = f"{name} is by its name trained for the tail, but worse there than the plain {other}: {figures}"
    test = f"McNemar's exact test: p = {p:.2g}"
    if p > LEVEL or lost <= gained:  # of distinct samples none may be lost, where repeats made the difference
        return skipped(CHECK_ID, "warning", f"{worse}. Chance may explain it ({test}).")
    return warning_check(CHECK_ID, False, measured, expected, f"{worse} ({test}).")
