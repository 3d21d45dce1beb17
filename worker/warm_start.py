"""Loads experts when a worker starts, so that the first job does not wait for them."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

from app.catalog.checkpoints import check_classes
from app.catalog.datasets import DEFAULT_BASE
from app.domain.errors import FatalError, RelogitError, RequestError
from app.domain.names import check_name
from worker.compute.engines.engine import NoMemory
from worker.compute.logit_source import ExpertFile, LogitSource
from worker.context import Context
from worker.experts.loading import Assumptions

log = logging.getLogger(__name__)

DEFAULT_PREFIX = "best_"
DEFAULT_BATCH = 128


def parse_entries(setting: str) -> list[str]:
    """Split `RELOGIT_WARM_START` into its entries."""
    return [entry.strip() for entry in setting.split(",") if entry.strip()]


def warm_up(context: Context, worker: str) -> None:
    """Load the experts of `RELOGIT_WARM_START` and record their states.

    The worker goes on without an expert that cannot be loaded; `/readyz` shows the reason.

    Raises:
        FatalError: the device is lost.
    """
    entries: list[dict[str, Any]] = [
        {"expert": entry, "state": "loading", "error": None} for entry in parse_entries(context.settings.warm_start)
    ]
    for entry in entries:
        context.heartbeat.beat()
        if context.stopping():
            return
        try:
            _load(entry["expert"], context)
        except FatalError:
            raise
        except RelogitError as error:
            entry |= {"state": "failed", "error": error.to_dict()}
        except (NoMemory, MemoryError, OSError, sqlite3.OperationalError) as error:
            failure = RelogitError("not-loaded", f"It could not be loaded: {error}.")
            entry |= {"state": "failed", "error": failure.to_dict()}
        else:
            entry["state"] = "ready"
        if entry["error"] is not None:
            log.error("warm start: %s: %s", entry["expert"], entry["error"]["message"])
        context.jobs.record_warm_start(worker, entries)


def _load(entry: str, context: Context) -> None:
    parts = entry.split("/")
    if len(parts) not in (2, 3):
        message = f"{entry!r} is not like data_set/expert, or data_set/prefix/expert for another prefix."
        raise RequestError("warm-start-unclear", message)
    prefix = parts[1] if len(parts) == 3 else DEFAULT_PREFIX
    name, expert = check_name("dataset", parts[0]), check_name("expert", parts[-1])
    catalog, dataset = context.catalog, context.catalog.dataset(name)
    folder = catalog.experts_folder(name, dataset, None)
    path = catalog.checkpoint(folder, check_name("checkpoint_prefix", prefix, may_be_empty=True), expert)
    dataset.check_override(path.stem, expert)
    assumptions = Assumptions(**dataset.assumptions(path.stem))
    passport = context.model_cache.passport(path, assumptions)
    check_classes(path.name, passport.classes, name, catalog.bases.classes(dataset))
    description = {"expert": expert, "file": path.name, "dataset": name}
    file = ExpertFile(path, assumptions, passport, dataset.transform(path.stem), description)
    LogitSource(file, DEFAULT_BATCH, "fp32", True, context).prepare(context.pools.get(dataset, DEFAULT_BASE))
