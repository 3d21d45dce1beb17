"""Checks of what combined experts were fitted and evaluated on: warnings, repeated with every result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.split_lists import TRAIN_SPLIT, Split
from app.domain.checks import MAX_EVIDENCE, Check, ResultReport, skipped, warning_check

LOGITS = "log-probabilities"
"""What a combination's files hold, in the words of their manifests."""
FEW_ROWS = 300.0
"""Effective rows below which fitted parameters are mostly noise."""
TRAINED_GAIN = 0.15
"""Accuracy by which experts are better on rows that they were trained on."""


def check_effective_rows(split: str, effective: float, rows: int) -> Check:
    """Check that a list's weighted rows are enough to fit on."""
    good = effective >= FEW_ROWS
    message = f"The {rows} rows of {split!r} count as {effective:.0f} equally weighted ones."
    if not good:
        message += f" Below {FEW_ROWS:.0f}, fitted parameters differ much from sample to sample."
    return warning_check(
        "effective-rows", good, {"rows": rows, "effective": effective}, {"effective": FEW_ROWS}, message
    )


def check_fit_rows(base: str, split: str, fit_accuracy: Sequence[float], validate_accuracy: Sequence[float]) -> Check:
    """Check that experts were not trained on the rows to fit on.

    Both are accuracies by expert, fractions of 1. An expert that knows its own train rows is certain and right there,
    which teaches a combination to trust it.
    """
    fit, validate = float(np.mean(fit_accuracy)), float(np.mean(validate_accuracy))
    trained = base == TRAIN_SPLIT and fit - validate > TRAINED_GAIN
    message = f"The experts' mean accuracy is {fit:.1%} on {split!r} and {validate:.1%} on the rows to validate."
    if trained:
        message += " They were probably trained on these rows, which makes them look certain: fit on other rows."
    measured = {"base": base, "fit": fit, "validate": validate}
    return warning_check("fit-rows", not trained, measured, {"gain_at_most": TRAINED_GAIN}, message)


def check_shared_rows(split: Split, fitted: Sequence[Split]) -> Check:
    """Check that a list shares no sample with those fitted on."""
    shared = {other.name: _shared(split, other) for other in fitted}
    counts = {name: int(samples.size) for name, samples in shared.items() if samples.size}
    if not counts:
        names = " and ".join(repr(other.name) for other in fitted)
        message = f"{split.name!r} shares no sample with {names}."
        return warning_check("fitted-samples", True, {}, {}, message)
    named = " and ".join(f"{count} samples with {name!r}" for name, count in counts.items())
    message = f"{split.name!r} shares {named}, which was fitted on: figures on them are better than on new samples."
    evidence = [
        {"base": split.base, "index": int(index), "split": name}
        for name, samples in shared.items()
        for index in samples[:MAX_EVIDENCE]
    ]
    return warning_check("fitted-samples", False, counts, {}, message, evidence[:MAX_EVIDENCE])


def check_divisors(divided_by: Mapping[str, float]) -> Check:
    """Report the temperatures that files were declared to be divided by."""
    named = ", ".join(f"{expert} by {value:g}" for expert, value in divided_by.items())
    reason = f"Declared, and not provable from the files: logits were divided ({named}); they were multiplied back."
    return skipped("divided-logits", "warning", reason)


def is_combination(manifest: Mapping[str, Any] | None) -> bool:
    """Tell whether a manifest describes the logits of a combination."""
    described = None if manifest is None else manifest.get("combination")
    return isinstance(described, dict) and described.get("logits") == LOGITS


def expect_log_probabilities(report: ResultReport) -> ResultReport:
    """Replace the check of raw logits, which a combination has not."""
    reason = "A combination is a distribution, so its logits are log-probabilities."
    expected = skipped("raw-logits", "warning", reason)
    checks = tuple(expected if check.id == expected.id else check for check in report.checks)
    return replace(report, checks=checks)


def check_imported_net(name: str) -> Check:
    """Report what an old network's file does not say."""
    reason = (
        f"{name} holds weights alone. Assumed: the experts in this order, features of softmax(z) with T = 1, not "
        "standardised. Nothing was fitted."
    )
    return skipped("imported-net", "warning", reason)


def _shared(first: Split, second: Split) -> NDArray[Any]:
    if first.base != second.base:
        return np.empty(0, np.int64)
    return np.intersect1d(first.indices, second.indices)
