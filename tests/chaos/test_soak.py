"""The short form of `make soak`, and that what it calls flat is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.chaos.soak_flat import Allowance, trend
from tests.chaos.soak_run import ALLOWED, MIB, Plan, soak

SECONDS = 14.0
WARMING = 24 * MIB
"""That worker and API may still grow by in the second half of such a run: they are not warm yet."""
TIMES = np.arange(600.0)
MEMORY = ALLOWED["memory"]


def _noise(size: float) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, size, TIMES.size)


def _flat(values: NDArray[np.float64], allowance: Allowance = MEMORY) -> bool:
    return trend(TIMES.tolist(), values.tolist(), allowance).flat


def test_noise_is_flat() -> None:
    """What varies by more than it may grow, and does not grow, is flat."""
    assert _flat(300 * MIB + _noise(10 * MIB))


def test_what_is_collected_now_and_then_is_flat() -> None:
    """The teeth of a saw, one behind the other, are no growth."""
    assert _flat(300 * MIB + (TIMES % 20) * MIB + _noise(MIB))


def test_a_step_while_it_warms_up_is_flat() -> None:
    """What was loaded before half of the time was over, or bit by bit until then, does not count."""
    assert _flat(np.where(TIMES < 290, 100 * MIB, 300 * MIB))
    assert _flat(np.minimum(TIMES, 290) * MIB)


def test_a_peak_is_flat() -> None:
    """A minute of anything, and all is as before."""
    assert _flat(300 * MIB + np.where((TIMES > 500) & (TIMES < 560), 1000 * MIB, 0.0))


@pytest.mark.parametrize("at_rest", [100 * MIB, 300 * MIB])
def test_a_slow_leak_is_found(at_rest: float) -> None:
    """Of 1 MB a minute, in ten minutes, beneath the noise and the teeth."""
    assert not _flat(at_rest + TIMES / 60 * 1e6 + _noise(MIB) + (TIMES % 20) * MIB / 4)


def test_a_longer_run_finds_a_slower_leak() -> None:
    """A leak is allowed the same bytes, however long they take it."""
    slow = TIMES * 12 / 60 * 0.1e6
    assert not trend((12 * TIMES).tolist(), (100 * MIB + slow).tolist(), MEMORY).flat
    assert _flat(100 * MIB + TIMES / 60 * 0.1e6)


def test_descriptors_left_open_are_found() -> None:
    """One in twenty seconds, among many that come and go."""
    counted = 40 + np.random.default_rng(0).integers(0, 15, TIMES.size) + TIMES // 20
    assert not _flat(counted, ALLOWED["descriptors"])
    assert _flat(counted - TIMES // 20, ALLOWED["descriptors"])


def test_what_shrinks_is_flat() -> None:
    """Nobody minds less."""
    assert _flat(300 * MIB - TIMES * MIB / 10)


def test_too_few_samples_are_no_verdict() -> None:
    """Of what was hardly looked at, nothing is said."""
    with pytest.raises(ValueError, match="too few"):
        trend([0.0, 1.0, 2.0], [1.0, 1.0, 1.0], MEMORY)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_service_that_is_used_takes_no_more_and_more(tmp_path: Path) -> None:
    """In seconds: nothing is lost or left over while many use it and a worker dies; memory has only to be bounded."""
    outcome = soak(Plan(seconds=SECONDS, seed=1, kill_every_s=SECONDS / 2, warming=WARMING), tmp_path, _silent)
    assert outcome.faults == []
    assert outcome.kills >= 1
    assert {"API, memory", "worker 0, memory", "disk, store in use"} <= outcome.trends.keys()


def _silent(passed: float, standing: str) -> None:
    """Nobody watches."""
