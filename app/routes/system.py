"""Health: whether the API lives, and whether jobs can be done."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from fastapi import APIRouter, Response

from app.liveness import living
from app.services import Services, Used

router = APIRouter(tags=["system"])


@router.get("/healthz")
def healthz(used: Used) -> dict[str, str]:
    """The API answers. Says nothing about workers: a load balancer asks this, a job's sender asks /readyz.

    `instance` is `<token>:<inode>` of the file `.relogit/instance` in the outputs directory: who sees that file
    above a folder, with that token and inode, looks at the server's own outputs, not at a copy.
    """
    return {"status": "ok", "instance": used.instance}


@router.get("/readyz")
def readyz(used: Used, response: Response) -> dict[str, Any]:
    """200 when a job sent now would be done: a worker lives and the store can be written. Else 503."""
    checks = {"worker": _worker(used), "store": _store(used)}
    ready = all(check["ok"] for check in checks.values())
    response.status_code = 200 if ready else 503
    return {"ready": ready, "checks": checks}


def _worker(used: Services) -> dict[str, Any]:
    alive = living(used.jobs, used.settings.locks_dir)
    recorded = {worker["id"]: worker for worker in used.jobs.workers()}
    if not alive:
        hint = "Start one with: python -m worker"
        if used.settings.workers != 0:
            hint = "The service is starting one; if that lasts, its log says why."
        return {"ok": False, "detail": f"No worker is alive. {hint}", "workers": []}
    shown = [_shown(recorded[i]) for i in alive if i in recorded]
    return {"ok": True, "detail": f"{len(alive)} alive", "workers": shown}


def _shown(worker: dict[str, Any]) -> dict[str, Any]:
    arithmetic = json.loads(worker["arithmetic"])
    names = ("engine", "engine_version", "model", "precisions")
    return {name: worker[name] for name in ("id", "pid", "device")} | {name: arithmetic.get(name) for name in names}


def _store(used: Services) -> dict[str, Any]:
    try:
        used.database.probe()
        return {"ok": True, "detail": str(used.settings.store_path)}
    except sqlite3.Error as error:
        return {"ok": False, "detail": f"{used.settings.store_path} cannot be written: {error}"}
