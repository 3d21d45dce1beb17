"""What tests of computing share: a worker's context, and a source of rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from app.catalog.catalog import Catalog
from app.domain.numerics import ComputeEnvironment, RowSource
from app.files.row_store import RowStore
from app.settings import Settings
from app.store.database import Database
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from app.store.rates import RateStore
from tests.fakes import ARITHMETIC
from worker.compute.engines.choice import make_engine
from worker.compute.engines.engine import Engine, Setup
from worker.compute.model_cache import Build, ModelCache
from worker.context import Context
from worker.datasets.pools import Pools
from worker.heartbeat import Heartbeat
from worker.inspections.normalisation import NormalisationInspector


def row_source_of(classes: int, arithmetic: ComputeEnvironment = ARITHMETIC) -> RowSource:
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
        inspections=InspectionStore(database),
        rates=RateStore(database),
        catalog=catalog,
        pools=Pools(catalog.bases),
        normalisation=NormalisationInspector(settings.patches_dir),
        model_cache=ModelCache(build),
        kept=RowStore(settings.rows_dir),
        arithmetic=ARITHMETIC,
        device=torch.device("cpu"),
        heartbeat=Heartbeat(settings.locks_dir / "test.lock"),
        stopping=stopping,
    )
