"""How fast workers computed here: telemetry that plans use to estimate time and memory."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.domain.numerics import NumericsKey
from app.store.database import Database

KEPT_S = 90 * 24 * 3600.0
"""Older measurements are deleted."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The last measurement of one network on one kind of image."""

    images_per_s: float
    peak_bytes: int
    """Peak memory of the worker's process."""


def rate_key(network: Mapping[str, Any], image: Sequence[int], numerics: NumericsKey) -> str:
    """Hash a network, an image's [H, W, 3] and the numerics."""
    grounds = {"network": dict(network), "image": list(image), "numerics": asdict(numerics)}
    # "rate" was the kind of inspection that held these until schema 5; migrated measurements keep their key.
    return hashlib.sha256(json.dumps(["rate", grounds], sort_keys=True).encode()).hexdigest()


class RateStore:
    """Measured rates, in the job store's file. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Rate | None:
        """Return the last measurement under a key, if any."""
        query = "SELECT images_per_s, peak_bytes FROM rates WHERE key = ?"
        row = self._database.connection.execute(query, (key,)).fetchone()
        return None if row is None else Rate(row["images_per_s"], row["peak_bytes"])

    def record(self, key: str, rate: Rate) -> None:
        """Record a measurement and replace the key's last one."""
        now = time.time()
        with self._database.transaction() as db:
            db.execute("DELETE FROM rates WHERE measured_at < ?", (now - KEPT_S,))
            db.execute(
                "INSERT OR REPLACE INTO rates (key, images_per_s, peak_bytes, measured_at) VALUES (?, ?, ?, ?)",
                (key, rate.images_per_s, rate.peak_bytes, now),
            )
