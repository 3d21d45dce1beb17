"""What tests of computing share: a worker's context, and a source of rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from app.catalog.catalog import Catalog
from app.store.database import Database
from app.store.inspections import FactStore
from app.domain.numerics import Arithmetic, RowSource
from app.files.row_store import RowStore
from app.settings import Settings
from app.store.jobs import JobStore
from tests.fakes import ARITHMETIC
from worker.context import Context
from worker.compute.engines.choice import make_engine
from worker.compute.engines.engine import Engine, Setup
from worker.inspections.normalisation import NormalisationInspector
from worker.datasets.pools import Pools
from worker.heartbeat import Pulse
from worker.compute.model_cache import Build, Residents


def row_source_of(classes: int, arithmetic: Arithmetic = ARITHMETIC) -> RowSource:
    """The source of rows of nothing in particular."""
    return RowSource(
        tensors_sha256="t",
        network={},
        classes=classes,
        pixels_sha256="p",
        transform={},
        numerics=arithmetic.numerics("fp32", 64),
    )


def in_torch(network: nn.Module, setup: Setup) -> Engine:
    """Build what a worker without OpenVINO would."""
    return make_engine("torch", network, setup)


def worker_context(
    settings: Settings,
    database: Database,
    *,
    build: Build = in_torch,
    stopping: Callable[[], bool] = lambda: False,
) -> Context:
    """What a worker process would share, on the CPU."""
    catalog = Catalog(settings)
    return Context(
        settings=settings,
        jobs=JobStore(database),
        facts=FactStore(database),
        catalog=catalog,
        pools=Pools(catalog.bases),
        normalisation=NormalisationInspector(settings.patches_dir),
        residents=Residents(build),
        kept=RowStore(settings.rows_dir),
        arithmetic=ARITHMETIC,
        device=torch.device("cpu"),
        pulse=Pulse(settings.locks_dir / "test.lock"),
        stopping=stopping,
    )
