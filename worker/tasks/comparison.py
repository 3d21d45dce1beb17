"""Compare logits of the same samples, pair by pair."""

from __future__ import annotations

from app.domain.jobs import Claim
from worker.context import Context


def compare_sides(claim: Claim, context: Context) -> None:
    """Compare all pairs of a request and record their figures."""
    raise NotImplementedError
