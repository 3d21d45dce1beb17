"""How a worker loses its claim: what tests of the store share."""

from __future__ import annotations

from collections.abc import Callable

from app.domain.jobs import Claim
from app.store.jobs import JobStore
from tests.fakes import take


def reap(store: JobStore, claim: Claim) -> None:
    store.reap(claim.worker)


def bury_and_take_again(store: JobStore, claim: Claim) -> None:
    store.reap(claim.worker)
    assert take(store, "other").expert == claim.expert


def hand_back(store: JobStore, claim: Claim) -> None:
    store.hand_back(claim)


LOSSES: list[Callable[[JobStore, Claim], None]] = [reap, bury_and_take_again, hand_back]
"""Those that leave the task open."""
