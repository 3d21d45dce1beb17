"""The parts that all tasks of a worker share, made once by its composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from app.catalog.catalog import Catalog
from app.domain.numerics import ComputeEnvironment
from app.files.row_store import RowStore
from app.settings import Settings
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from app.store.rates import RateStore
from worker.compute.model_cache import ModelCache
from worker.datasets.pools import Pools
from worker.heartbeat import Heartbeat
from worker.inspections.normalisation import NormalisationInspector


class Stopped(BaseException):
    """The worker is to stop. Like KeyboardInterrupt, it is no error of the work."""


class Cancelled(BaseException):
    """The job is to be cancelled. It is no error of the work."""


@dataclass(frozen=True)
class Context:
    """Everything that one worker process shares; lives from its start to its end."""

    settings: Settings
    jobs: JobStore
    inspections: InspectionStore
    rates: RateStore
    catalog: Catalog
    pools: Pools
    model_cache: ModelCache
    kept: RowStore
    arithmetic: ComputeEnvironment
    device: torch.device
    normalisation: NormalisationInspector
    heartbeat: Heartbeat
    stopping: Callable[[], bool]
    """Whether a signal has asked the worker to end."""
