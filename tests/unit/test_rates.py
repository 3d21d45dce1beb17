"""Measured rates: the last one of each computation, for a limited time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.store.database import Database
from app.store.rates import Rate, RateStore, rate_key
from tests.fakes import ARITHMETIC

NUMERICS = ARITHMETIC.numerics("fp32", 128)
KEY = rate_key({"architecture": "resnet"}, (32, 32, 3), NUMERICS)


@pytest.fixture
def rates(database: Database) -> RateStore:
    return RateStore(database)


def test_the_last_measurement_is_kept(rates: RateStore) -> None:
    """A plan goes by how fast the machine is now."""
    assert rates.get(KEY) is None
    rates.record(KEY, Rate(100.0, 2**30))
    rates.record(KEY, Rate(50.5, 2**31))
    assert rates.get(KEY) == Rate(50.5, 2**31)


def test_a_rate_is_of_one_network_image_and_numerics() -> None:
    """Each of them changes how fast an image is computed."""
    keys = {
        KEY,
        rate_key({"architecture": "vgg"}, (32, 32, 3), NUMERICS),
        rate_key({"architecture": "resnet"}, (64, 64, 3), NUMERICS),
        rate_key({"architecture": "resnet"}, (32, 32, 3), replace(NUMERICS, model="Other")),
    }
    assert len(keys) == 4
    assert rate_key({"architecture": "resnet"}, [32, 32, 3], NUMERICS) == KEY


def test_an_old_measurement_goes_with_the_next_one(rates: RateStore, database: Database) -> None:
    """Networks that nobody computes any more would pile up."""
    rates.record(KEY, Rate(100.0, 1))
    with database.transaction() as db:
        db.execute("UPDATE rates SET measured_at = measured_at - 91 * 24 * 3600")
    assert rates.get(KEY) == Rate(100.0, 1)
    rates.record("other", Rate(1.0, 1))
    assert rates.get(KEY) is None
