"""Memory that runs out in a job: it goes on with smaller batches, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from app.catalog import Catalog
from app.database import Database
from app.facts import FactStore
from app.intake import plan
from app.schemas import RecomputeBody
from app.store import JobStore
from tests.integration.workspace import build
from worker.context import Context
from worker.experts import Assumptions
from worker.pools import Pools
from worker.residents import Resident, Residents
from worker.tasks.recompute import Recompute


class _SmallDevice(nn.Module):
    """A network on a device that has room for 20 images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        logits: Tensor = self.network(images)
        return logits


class _SmallResidents(Residents):
    def get(self, path: Path, assumptions: Assumptions) -> Resident:
        found = super().get(path, assumptions)
        return Resident(_SmallDevice(found.network), found.passport)


def test_a_job_short_of_memory_goes_on_and_says_so(tmp_path: Path) -> None:
    """The rows are those of a job with room enough; unit and manifest name the smaller batch."""
    workspace = build(tmp_path)
    settings, device = workspace.settings, torch.device("cpu")
    database = Database(settings.store_path)
    jobs, facts, catalog = JobStore(database), FactStore(database), Catalog(settings)
    logits = []
    for residents in (Residents(device), _SmallResidents(device)):
        context = Context(settings, jobs, facts, catalog, Pools(catalog.bases), residents, device, lambda: False)
        body = RecomputeBody(dataset="tiny", experts=("alpha",), splits=("test",))
        job = jobs.submit(*plan(body.order(), catalog, facts))
        claim = jobs.claim("w")
        assert claim is not None
        Recompute(claim, context).run(claim.open_units[0])
        jobs.end_task(claim)
        assert jobs.claim("w") is not None  # the job's verification, left alone here
        shown = settings.outputs_dir / "logits_fixed" / "alpha" / "test_logits.npz"
        with np.load(shown) as arrays:
            logits.append(arrays["logits"])
    np.testing.assert_array_equal(logits[0], logits[1])
    [unit] = jobs.get(job.id).units
    assert unit.notes == (
        "out of memory at 64 images a batch; went on with 32",
        "out of memory at 32 images a batch; went on with 16",
    )
    compute = json.loads(shown.with_suffix(".json").read_text())["compute"]
    assert (compute["batch"]["used"], compute["notes"]) == (16, list(unit.notes))
    database.close()
