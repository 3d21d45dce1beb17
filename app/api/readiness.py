"""Readiness: whether a job sent now would be done, and why not."""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.api.dependencies import Services
from app.api.schemas import ErrorView
from app.store.liveness import living


class WorkerView(BaseModel):
    """A living worker."""

    id: str
    pid: int
    device: str
    engine: str | None
    engine_version: str | None
    model: str | None = Field(description="The processor that it computes on.")
    precisions: list[str] | None
    silent_s: float | None = Field(description="Seconds without a heartbeat, of a worker that hangs.")


class WarmExpert(BaseModel):
    """An expert that a worker loads at its start."""

    worker: str
    expert: str
    state: Literal["loading", "ready", "failed"]
    error: ErrorView | None


class ReadinessCheck(BaseModel):
    """Whether one part of the service works."""

    ok: bool
    detail: str


class WorkerCheck(ReadinessCheck):
    """Whether a worker lives and none hangs."""

    workers: list[WorkerView]


class DiskCheck(ReadinessCheck):
    """Whether the disk of the outputs directory has room."""

    free_bytes: int | None = Field(None, description="Left out where it cannot be measured.")


class WarmStartCheck(ReadinessCheck):
    """Whether all workers have loaded what they load at their start."""

    experts: list[WarmExpert]


class ReadinessChecks(BaseModel):
    """All checks of readiness."""

    worker: WorkerCheck
    store: ReadinessCheck
    disk: DiskCheck
    warm_start: WarmStartCheck


class Readiness(BaseModel):
    """Whether a job sent now would be done."""

    ready: bool
    checks: ReadinessChecks


def check_readiness(services: Services) -> Readiness:
    """Check workers, store, disk and warm start."""
    workers = _living_workers(services)
    checks = ReadinessChecks(
        worker=_check_workers(services, workers),
        store=_check_store(services),
        disk=_check_disk(services),
        warm_start=_check_warm_start(workers),
    )
    return Readiness(ready=all(check.ok for _, check in checks), checks=checks)


def _living_workers(services: Services) -> list[dict[str, Any]]:
    """Return the records of living workers from the store."""
    alive = set(living(services.jobs, services.settings.locks_dir))
    return [worker for worker in services.jobs.workers() if worker["id"] in alive]


def _check_workers(services: Services, workers: list[dict[str, Any]]) -> WorkerCheck:
    if not workers:
        hint = "Start one with: python -m worker"
        if services.settings.workers != 0:
            hint = "The service is starting one; if that takes long, its log says why."
        return WorkerCheck(ok=False, detail=f"No worker is alive. {hint}", workers=[])
    silent = services.hangs.hanging()
    views = [_view(worker, silent.get(worker["id"])) for worker in workers]
    hanging = [str(view.pid) for view in views if view.silent_s is not None]
    detail = f"{len(views)} alive"
    if hanging:
        hung = f"{len(hanging)} of {len(views)} hang (pid {', '.join(hanging)})"
        detail = f"{hung}: no sign of life for {max(silent.values()):.0f} s."
    return WorkerCheck(ok=not hanging, detail=detail, workers=views)


def _view(worker: dict[str, Any], silent_s: float | None) -> WorkerView:
    environment = json.loads(worker["environment"])  # a worker of another version may have recorded less
    names = ("engine", "engine_version", "model", "precisions")
    computing = {name: environment.get(name) for name in names}
    return WorkerView(id=worker["id"], pid=worker["pid"], device=worker["device"], **computing, silent_s=silent_s)


def _check_store(services: Services) -> ReadinessCheck:
    path = services.settings.store_path
    try:
        services.database.probe()
    except sqlite3.Error as error:
        return ReadinessCheck(ok=False, detail=f"{path} cannot be written: {error}")
    return ReadinessCheck(ok=True, detail=str(path))


def _check_disk(services: Services) -> DiskCheck:
    folder, required = services.settings.outputs_dir, services.settings.min_free_bytes
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return DiskCheck(ok=False, detail=f"The free space of {folder} cannot be measured: {error.strerror}.")
    detail = f"{free:,} bytes are free"
    if free < required:
        room = "Make room: `relogit gc` and `relogit rows prune` remove what is kept."
        detail += f" where results go; RELOGIT_MIN_FREE_BYTES requires {required:,}. {room}"
    return DiskCheck(ok=free >= required, detail=detail, free_bytes=free)


def _check_warm_start(workers: list[dict[str, Any]]) -> WarmStartCheck:
    experts = [WarmExpert(worker=worker["id"], **entry) for worker in workers for entry in json.loads(worker["warm"])]
    failed = {expert.expert: expert.error.message for expert in experts if expert.error is not None}
    loading = dict.fromkeys(expert.expert for expert in experts if expert.state == "loading")
    if failed:
        detail = "Not loaded: " + " ".join(f"{expert}: {message}" for expert, message in failed.items())
    elif loading:
        detail = f"Loading: {', '.join(loading)}"
    else:
        detail = f"{len(experts)} loaded" if experts else "None was asked for"
    return WarmStartCheck(ok=not failed and not loading, detail=detail, experts=experts)
