"""A plain, slow evaluation of counted and weighted rows, one Python loop each, to hold the fast one against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Row = tuple[float, float, int, bool]
"""Score, mass, group, wrong."""


@dataclass(frozen=True)
class Errors:
    """Errors at one coverage; a group's is None if `strict` is off and nothing of it is accepted."""

    overall: float
    balanced: float
    worst: float
    by_group: list[float | None]
    acceptance: list[float | None]


def counted(
    counts: np.ndarray, score: np.ndarray, weights: np.ndarray, groups: np.ndarray, wrong: np.ndarray
) -> list[Row]:
    """List the rows with mass count·weight."""
    masses = counts * weights
    return [
        (float(s), float(m), int(g), bool(x))
        for s, m, g, x in zip(score, masses, groups, wrong, strict=True)
        if m > 0
    ]


def accept(rows: list[Row], target: float) -> list[tuple[float, Row]]:
    """Accept rows of falling score up to mass `target`, the last ones of equal score in equal part."""
    accepted, left = [], target
    for score in sorted({row[0] for row in rows}, reverse=True):
        tied = [row for row in rows if row[0] == score]
        mass = sum(row[1] for row in tied)
        share = min(1.0, left / mass)
        if share < 1e-7:
            break
        accepted += [(share, row) for row in tied]
        left -= mass
        if left <= 1e-7:
            break
    return accepted


def errors(rows: list[Row], accepted: list[tuple[float, Row]], groups: int, empty: float | None) -> Errors:
    """Compute errors and acceptance; a group with nothing accepted has the error `empty`."""
    by_group: list[float | None] = []
    acceptance: list[float | None] = []
    for group in range(groups):
        total = sum(mass for _, mass, g, _ in rows if g == group)
        weight = sum(share * mass for share, (_, mass, g, _) in accepted if g == group)
        wrong = sum(share * mass for share, (_, mass, g, x) in accepted if g == group and x)
        by_group.append(None if not total else wrong / weight if weight else empty)
        acceptance.append(weight / total if total else None)
    weight = sum(share * mass for share, (_, mass, _, _) in accepted)
    wrong = sum(share * mass for share, (_, mass, _, x) in accepted if x)
    known = [e for e in by_group if e is not None]
    overall = wrong / weight if weight else 1.0
    return Errors(overall, sum(known) / len(known), max(known), by_group, acceptance)


def at_coverage(rows: list[Row], coverage: float, groups: int) -> Errors:
    """Compute the errors where exactly this share of the mass is accepted."""
    return errors(rows, accept(rows, coverage * sum(row[1] for row in rows)), groups, 1.0)


def above(rows: list[Row], threshold: float, groups: int) -> Errors:
    """Compute the errors of the rows with score ≥ threshold."""
    return errors(rows, [(1.0, row) for row in rows if row[0] >= threshold], groups, 1.0)


def areas(rows: list[Row], size: int, groups: int) -> dict[str, float]:
    """Average the errors over the coverages 1/N…1, N = size; AUGRC by trapezoids between all borders."""
    total = sum(row[1] for row in rows)
    curve = [errors(rows, accept(rows, k * total / size), groups, None) for k in range(1, size + 1)]
    area = before_wrong = 0.0
    for score in sorted({row[0] for row in rows}, reverse=True):
        mass = sum(row[1] for row in rows if row[0] == score)
        wrong = before_wrong + sum(row[1] for row in rows if row[0] == score and row[3])
        area += mass * (before_wrong + wrong) / 2
        before_wrong = wrong
    return {
        "aurc": sum(point.overall for point in curve) / size,
        "balanced_aurc": sum(point.balanced for point in curve) / size,
        "worst_aurc": sum(point.worst for point in curve) / size,
        "augrc": area / total**2,
    }


def balanced_accuracy(masses: np.ndarray, labels: np.ndarray, wrong: np.ndarray) -> float:
    """Average the accuracies of the classes with mass."""
    recalls = [
        masses[(labels == label) & ~wrong].sum() / masses[labels == label].sum()
        for label in np.unique(labels)
        if masses[labels == label].sum() > 0
    ]
    return float(np.mean(recalls))


def calibration_error(masses: np.ndarray, confidence: np.ndarray, wrong: np.ndarray, bins: int = 15) -> float:
    """Sum over bins of mass share times |accuracy − confidence|."""
    total = 0.0
    for number in range(bins):
        inside = (confidence >= number / bins) & ((confidence < (number + 1) / bins) | (number == bins - 1))
        mass = masses[inside].sum()
        if mass > 0:
            accuracy = masses[inside & ~wrong].sum() / mass
            total += mass * abs(accuracy - np.average(confidence[inside], weights=masses[inside]))
    return float(total / masses.sum())
