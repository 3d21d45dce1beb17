"""Another precision through the real task: what it is compared with, and that a cancel is heard meanwhile."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from app.domain.checks import JobReport
from app.store.database import Database
from app.store.jobs import JobStore
from app.submission.bodies import RecomputeBody
from app.submission.recompute import plan
from tests.computing import in_torch, worker_context
from tests.integration.workspace import build
from worker.compute.engines.engine import Engine, Setup
from worker.context import Cancelled, Context
from worker.tasks import recompute
from worker.tasks.recompute import Recompute


def _claimed(context: Context) -> Recompute:
    body = RecomputeBody(dataset="tiny", experts=("alpha",), splits=("test",), precision="bf16")
    context.jobs.submit(*plan(body, context.catalog, context.inspections))
    claim = context.jobs.claim("w", ("fp32", "bf16"))
    assert claim is not None
    return Recompute(claim, context)


class _CancelledMeanwhile:
    """An engine whose job is cancelled as soon as it computes."""

    def __init__(self, engine: Engine, jobs: JobStore) -> None:
        self._engine = engine
        self._jobs = jobs
        self.batch = engine.batch

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        [job] = self._jobs.jobs()
        self._jobs.cancel(job.id)
        yield from self._engine.run(batches)


def test_a_cancel_is_heard_while_exact_rows_are_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison with fp32 may take longer than the job itself; it ends within a batch like all work."""
    monkeypatch.setattr(recompute, "PROGRESS_EVERY_S", 0.0)
    settings = build(tmp_path).settings
    database = Database(settings.store_path)

    def build_engine(network: nn.Module, setup: Setup) -> Engine:
        engine = in_torch(network, setup)
        return _CancelledMeanwhile(engine, context.jobs) if setup.precision == "fp32" else engine

    context = worker_context(settings, database, build=build_engine)
    task = _claimed(context)
    [unit] = context.jobs.jobs()[0].units
    with pytest.raises(Cancelled):
        task.run(unit)
    assert not list(settings.outputs_dir.glob("[!.]*/*/*.npz"))
    database.close()


def test_kept_exact_rows_are_compared_and_few_others_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row that is kept in fp32, and a sample of the others that spans the split."""
    monkeypatch.setattr(recompute, "SAMPLED", 10)
    settings = build(tmp_path).settings
    database = Database(settings.store_path)
    context = worker_context(settings, database)
    body = RecomputeBody(dataset="tiny", experts=("alpha",), splits=("again",))
    context.jobs.submit(*plan(body, context.catalog, context.inspections))
    claim = context.jobs.claim("w")
    assert claim is not None
    Recompute(claim, context).run(claim.open_units[0])
    context.jobs.end_task(claim)
    finish = context.jobs.claim("w")
    assert finish is not None
    context.jobs.finish_job(finish, JobReport("passed"))
    task = _claimed(context)
    [unit] = context.jobs.jobs()[0].units
    task.run(unit)
    [unit] = context.jobs.jobs()[0].units
    assert unit.report is not None
    [check] = [check for check in unit.report.checks if check.id == "precision"]
    assert check.measured["compared_rows"] == 5 + 9  # 5 of the 40 are in `again`; every fourth of the other 35
    database.close()
