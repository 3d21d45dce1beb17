"""Memory that runs out in a job: it goes on with smaller batches, and says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from app.store.database import Database
from app.submission.bodies import RecomputeBody
from app.submission.recompute import plan
from tests.computing import in_torch, worker_context
from tests.integration.workspace import build
from worker.compute.engines.engine import Engine, NoMemory, Setup
from worker.tasks.recompute import Recompute


class _SmallDevice:
    """An engine on a device that has room for 20 images."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.batch = engine.batch

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        if self.batch > 20:
            raise NoMemory("CUDA out of memory.")
        yield from self._engine.run(batches)


def _small(network: nn.Module, setup: Setup) -> Engine:
    return _SmallDevice(in_torch(network, setup))


def test_a_job_short_of_memory_goes_on_and_says_so(tmp_path: Path) -> None:
    """The rows are those of a job with room enough; unit and manifest name the smaller batch."""
    workspace = build(tmp_path)
    settings = workspace.settings
    database = Database(settings.store_path)
    logits = []
    for builder in (in_torch, _small):
        shutil.rmtree(settings.rows_dir, ignore_errors=True)  # else there would be nothing to compute
        context = worker_context(settings, database, build=builder)
        jobs = context.jobs
        body = RecomputeBody(dataset="tiny", experts=("alpha",), splits=("test",))
        job = jobs.submit(*plan(body, context.catalog, context.inspections))
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
    described = json.loads(shown.with_suffix(".json").read_text())
    assert described["compute"]["batch"]["used"] == 16
    assert described["rows"]["notes"] == list(unit.notes)
    database.close()
