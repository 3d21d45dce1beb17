"""Selective prediction: risk-coverage curves, and the areas under them.

Rows are accepted in order of falling confidence, the largest softmax probability. Coverage k/N means that k of N
rows are accepted; the selective risk is the share of wrong rows among them. Rows of equal confidence (as float64)
are accepted in random order, and every figure is the expectation over these orders, so the order of rows never
matters. All risks and areas are fractions, 0…1, and smaller is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.verify.metrics.ties import TieGroups


@dataclass(frozen=True, eq=False)
class Curve:
    """A risk-coverage curve: the `risk` [N] float64 at each `coverage` 1/N…1."""

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Areas:
    """The areas under B samples' risk-coverage curves, [B] float64 fractions each.

    Attributes:
        aurc: (1/N)·Σ_k r(k/N), the mean risk over the coverages 1/N…1. Source: Geifman & El-Yaniv, "Selective
            classification for deep neural networks", NeurIPS 2017, and Geifman et al., "Bias-reduced uncertainty
            estimation for deep neural classifiers", ICLR 2019.
        e_aurc: AURC − AURC*, where AURC* = (1/N)·Σ_{k>N−m} (k − (N−m))/k is that of the best order of the same rows,
            with all m wrong rows last, exactly; not its limit e + (1−e)·ln(1−e) for the error rate e. Source: Geifman
            et al., ICLR 2019.
        augrc: 0…1/2, the area under (k/N)·r(k/N), the share of all rows that are accepted and wrong, exactly, under
            straight lines between the coverages 0, 1/N, …, 1 (at coverage 0 the risk is 0). It equals (1 −
            AUROC)·acc·(1 − acc) + (1 − acc)²/2, AUROC being that of confidence for right against wrong. Source: Traub
            et al., "Overcoming common flaws in the evaluation of selective classification systems", NeurIPS 2024.
    """

    aurc: NDArray[np.float64]
    e_aurc: NDArray[np.float64]
    augrc: NDArray[np.float64]


def risk_coverage(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> Curve:
    """Compute r(k/N) = wrong rows among the k most confident / k.

    Its last risk is 1 − accuracy. Source: El-Yaniv & Wiener, "On the foundations of noise-free selective
    classification", JMLR 2010.
    """
    accepted = _accepted(confidence, (~correct)[None].astype(np.float64))[0]  # [N] expected errors
    return _curve(accepted / np.arange(1, len(confidence) + 1))


def areas(ties: TieGroups) -> Areas:
    """Compute the areas of samples with the same N.

    A group of n rows, e of them wrong, that comes after s rows, f of them wrong, has the expected errors
    f + j·e/n after its j-th row, so it adds Σ_j (f + j·e/n)/(s + j) = (f − s·e/n)·(H(s+n) − H(s)) + e to Σ_k r(k/N),
    where H(i) = 1 + 1/2 + … + 1/i.
    """
    rows, errors = ties.rows, ties.errors  # [B, G]
    before = rows.cumsum(axis=1)
    total = int(before[0, -1])
    np.subtract(total, before, out=before)  # s: the more confident rows stand behind in rising order
    wrong = errors.cumsum(axis=1)
    all_wrong = wrong[:, -1].copy()  # [B]
    np.subtract(all_wrong[:, None], wrong, out=wrong)  # f
    harmonic = np.concatenate(([0.0], np.cumsum(1 / np.arange(1, total + 1))))  # [N+1], H
    at = harmonic[before.astype(np.int64)]  # [B, G], H(s)
    spread = -np.diff(at, axis=1, prepend=harmonic[total])  # H(s+n) − H(s): s+n is the s of the group before
    share = np.divide(errors, rows, out=np.zeros_like(rows), where=rows > 0)  # e/n; an empty group spreads nothing
    risks = np.einsum("bg,bg->b", wrong - before * share, spread) + all_wrong
    generalised = np.einsum("bg,bg->b", rows, wrong + errors / 2)

    right = total - all_wrong
    best = all_wrong - right * (harmonic[total] - harmonic[right.astype(np.int64)])  # [B]
    excess = np.maximum(risks - best, 0.0)  # never below 0 but for rounding
    return Areas(risks / total, excess / total, generalised / total**2)


def group_risk_coverage(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], group: NDArray[np.int64], groups: int
) -> tuple[Curve, Curve]:
    """Compute balanced and worst-group error at each coverage.

    They are the mean and the largest of the groups' P(wrong | accepted, row of the group). `group` is [N] in
    0…groups−1: a class each, or head and tail. A group of which no row is accepted yet has no such error: it is left
    out at that coverage, rather than counted as 0, which would flatter, or as 1. Where rows of equal confidence leave
    open which of them is accepted, a group's error is its expected wrong among its expected accepted rows. Source:
    Narasimhan, Menon, Jitkrittum, Gupta & Kumar, "Learning to reject meets long-tail learning", ICLR 2024.
    """
    rows = len(confidence)
    total, taking_part, worst = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    for number in range(groups):  # one at a time, so that many groups (classes) need no [K, N]
        member = group == number  # [N]
        if not member.any():
            continue
        accepted, wrong = _accepted(confidence, np.stack([member, member & ~correct]).astype(np.float64))
        error = np.divide(wrong, accepted, out=np.zeros(rows), where=accepted > 0)
        total += error
        taking_part += accepted > 0
        np.maximum(worst, error, out=worst)
    return _curve(total / taking_part), _curve(worst)


def area(curve: Curve) -> float:
    """Compute AURC: an unthinned curve's mean risk."""
    return float(curve.risk.mean())


def thinned(curve: Curve, points: int = 200) -> Curve:
    """Thin a curve to even coverages, keeping its ends."""
    size = len(curve.coverage)
    if size <= points:
        return curve
    chosen = np.round(np.linspace(0, size - 1, points)).astype(np.int64)
    return Curve(curve.coverage[chosen], curve.risk[chosen])


def _curve(risk: NDArray[np.float64]) -> Curve:
    return Curve(np.arange(1, len(risk) + 1) / len(risk), risk)


def _accepted(confidence: NDArray[np.float64], marks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum marks [K, N] over the 1…N most confident rows, [K, N].

    It is the expected sum over the orders of equally confident rows.
    """
    order = (-confidence).argsort()
    ordered = confidence[order]
    last = np.flatnonzero(np.concatenate((ordered[1:] != ordered[:-1], [True])))  # of each group of equals
    ends = np.concatenate(([0], last + 1))  # rows accepted
    sums = np.cumsum(marks[:, order], axis=1)[:, last]
    every = np.arange(1, len(confidence) + 1)
    return np.stack([np.interp(every, ends, np.concatenate(([0.0], line))) for line in sums])
