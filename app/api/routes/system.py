"""Health and metrics: whether the API lives, whether jobs can be done, and what Prometheus reads."""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, Field

from app import VERSION
from app.api.dependencies import Services, ServicesDep
from app.api.schemas import ErrorView
from app.store.liveness import living

router = APIRouter(tags=["system"])


class Health(BaseModel):
    """The API lives."""

    status: Literal["ok"]
    version: str
    instance: str = Field(description="`<token>:<inode>` of the file that marks the outputs directory.")


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


@router.get("/healthz")
def healthz(services: ServicesDep) -> Health:
    """Tell that the API lives, for load balancers.

    It says nothing about workers; `GET /readyz` does. `instance` is `<token>:<inode>` of the file
    `.relogit/instance` in the outputs directory: a client that finds that file, with that token and inode, above a
    folder sees the server's own outputs and not a copy of them.
    """
    return Health(status="ok", version=VERSION, instance=services.instance)


@router.get("/readyz", response_model_exclude_unset=True, responses={503: {"model": Readiness}})
def readyz(services: ServicesDep, response: Response) -> Readiness:
    """Tell whether a job sent now would be done: 200, or 503.

    A worker has to live and none to hang, the store to be writable, the disk not nearly full, and the experts that
    workers load at their start to be loaded. `checks` says which of it is not so.
    """
    workers = _living_workers(services)
    checks = ReadinessChecks(
        worker=_check_workers(services, workers),
        store=_check_store(services),
        disk=_check_disk(services),
        warm_start=_check_warm_start(workers),
    )
    ready = all(check.ok for _, check in checks)
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, checks=checks)


# async although it awaits nothing: FastAPI would run a plain function in a thread for each request.
async def _registry(request: Request) -> CollectorRegistry:
    registry: CollectorRegistry = request.app.state.registry
    return registry


@router.get("/metrics", response_class=PlainTextResponse)
def get_metrics(request: Request, registry: Annotated[CollectorRegistry, Depends(_registry)]) -> Response:
    """Show metrics in Prometheus' text format, or as OpenMetrics.

    They cover jobs, units, rows, seconds by phase, the queue, workers, disk, memory and requests. `Accept` chooses
    the format.
    """
    try:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    except TypeError:  # Accept names a malformed version
        encode, content_type = choose_encoder("")
    return Response(encode(registry), media_type=content_type)


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
