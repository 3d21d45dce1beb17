"""What tests of plans share: an installation of which a test says what its workers have found out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.errors import RelogitError
from app.domain.numerics import ComputeEnvironment, row_source
from app.files.row_store import RowStore
from app.store.database import Database
from app.store.inspection_requests.experts import PassportRequest
from app.store.inspection_requests.splits import PoolRequest
from app.store.inspections import InspectionStore
from app.store.rates import Rate, RateStore, rate_key
from app.submission.planner import Site, make_plan
from app.submission.plans import Plan
from tests.fakes import ARITHMETIC, BODY, Home, changed

NETWORK = {"kind": "CifarResNetSpec", "architecture": "cifar_resnet8"}
PLANNED = changed(BODY, experts=("ce",), batch_size=64)

ROW = 3 * 4 + 8
"""Bytes of a kept row of 3 classes with its checksum."""


@dataclass(frozen=True)
class World:
    """An installation of which a test says what its workers have found out."""

    home: Home
    inspections: InspectionStore
    rates: RateStore
    rows: RowStore

    @classmethod
    def make(cls, home: Home, database: Database) -> World:
        """Workers have read the expert `ce` and the base `test`; nothing is kept and nothing timed."""
        made = cls(home, InspectionStore(database), RateStore(database), RowStore(home.settings.rows_dir))
        home.settings.outputs_dir.mkdir()
        made.knows_expert("ce", "best_ce.pth")
        made.knows_pool("test", 6)
        return made

    def knows_expert(self, name: str, file: str, **passport: Any) -> None:
        card: dict[str, Any] = {"classes": 3, "temperature": None, "parameters": 1000, "largest_parameter": 2.5}
        card |= {"tensors_sha256": f"of {name}", "sha256": name}
        question = PassportRequest.of(self.home.experts / file, self.home.catalog().dataset("digits"))
        self.inspections.record(question, {**card, "network": NETWORK, **passport})

    def knows_pool(self, base: str, size: int, error: RelogitError | None = None) -> None:
        catalog = self.home.catalog()
        dataset = catalog.dataset("digits")
        question = PoolRequest.of(dataset, base, catalog)
        answer = {"pixels_sha256": f"of {base}", "images": [size, 2, 2, 3], "classes": 3}
        self.inspections.record(question, error or answer)

    def knows_rate(self, images_per_s: float, batch: int = 64) -> None:
        key = rate_key(NETWORK, (2, 2, 3), ARITHMETIC.numerics("fp32", batch))
        self.rates.record(key, Rate(images_per_s, 5_000_000))

    def keeps(self, indices: Sequence[int], *, expert: str = "ce", base: str = "test", batch: int = 64) -> Path:
        """Rows of those images of a base, as a job would have left them. Returns their folder."""
        transform = self.home.catalog().dataset("digits").transform(expert).model_dump(mode="json")
        passport = {"tensors_sha256": f"of {expert}", "network": NETWORK, "classes": 3}
        source = row_source(passport, f"of {base}", transform, ARITHMETIC.numerics("fp32", batch))
        kept = self.rows.open(source, {"test": 6, "train": 9}[base], {})
        places = np.asarray(sorted(indices), np.int64)
        kept.write(places, np.ones((places.size, 3), np.float32))
        return kept.folder

    def plan(self, compute_environments: Sequence[ComputeEnvironment] = (ARITHMETIC,), **changes: Any) -> Plan:
        site = Site(self.home.catalog(), self.inspections, self.rates, self.rows, compute_environments)
        return make_plan(changed(PLANNED, **changes), site)

    def counts(self, **changes: Any) -> list[tuple[int | None, int | None]]:
        """Reused and computed of each unit."""
        return [(unit.reused, unit.computed) for unit in self.plan(**changes).units]
