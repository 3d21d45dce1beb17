"""Health: whether the API lives, and whether jobs can be done."""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import Any

from fastapi import APIRouter, Response

from app import VERSION
from app.api.dependencies import Services, Used
from app.store.liveness import living

router = APIRouter(tags=["system"])


@router.get("/healthz")
def healthz(used: Used) -> dict[str, str]:
    """The API answers. Says nothing about workers: a load balancer asks this, a job's sender asks /readyz.

    `instance` is `<token>:<inode>` of the file `.relogit/instance` in the outputs directory: who sees that file
    above a folder, with that token and inode, looks at the server's own outputs, not at a copy.
    """
    return {"status": "ok", "version": VERSION, "instance": used.instance}


@router.get("/readyz")
def readyz(used: Used, response: Response) -> dict[str, Any]:
    """200 when a job sent now would be done; else 503, and `checks` says what is in the way.

    A worker lives and does not hang, the store can be written, the disk is not nearly full, and the experts that were
    to be loaded at the start are.
    """
    workers = _workers(used)
    checks = {
        "worker": _worker(used, workers),
        "store": _store(used),
        "disk": _disk(used),
        "warm_start": _warm(workers),
    }
    ready = all(check["ok"] for check in checks.values())
    response.status_code = 200 if ready else 503
    return {"ready": ready, "checks": checks}


def _workers(used: Services) -> list[dict[str, Any]]:
    """Those that live, as they are recorded."""
    alive = set(living(used.jobs, used.settings.locks_dir))
    return [worker for worker in used.jobs.workers() if worker["id"] in alive]


def _worker(used: Services, workers: list[dict[str, Any]]) -> dict[str, Any]:
    if not workers:
        hint = "Start one with: python -m worker"
        if used.settings.workers != 0:
            hint = "The service is starting one; if that lasts, its log says why."
        return {"ok": False, "detail": f"No worker is alive. {hint}", "workers": []}
    silent = used.hangs.hanging()
    shown = [_shown(worker) | {"silent_s": silent.get(worker["id"])} for worker in workers]
    hanging = [worker["pid"] for worker in shown if worker["silent_s"] is not None]
    if hanging:
        who = ", ".join(str(pid) for pid in hanging)
        detail = f"{len(hanging)} of {len(shown)} hang (pid {who}): no sign of life for {max(silent.values()):.0f} s."
        return {"ok": False, "detail": detail, "workers": shown}
    return {"ok": True, "detail": f"{len(shown)} alive", "workers": shown}


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


def _disk(used: Services) -> dict[str, Any]:
    least = used.settings.min_free_bytes
    try:
        free = shutil.disk_usage(used.settings.outputs_dir).free
    except OSError as error:
        return {"ok": False, "detail": f"{used.settings.outputs_dir} cannot be looked at: {error.strerror}."}
    if free < least:
        hint = "Make room: `relogit gc` and `relogit rows prune` remove what is kept."
        detail = f"{free:,} bytes are free where results go; RELOGIT_MIN_FREE_BYTES wants {least:,}. {hint}"
        return {"ok": False, "detail": detail, "free_bytes": free}
    return {"ok": True, "detail": f"{free:,} bytes are free", "free_bytes": free}


def _warm(workers: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether every living worker has loaded what it was to load at its start."""
    experts = [{"worker": worker["id"], **entry} for worker in workers for entry in json.loads(worker["warm"])]
    failed = {entry["expert"]: entry["error"]["message"] for entry in experts if entry["state"] == "failed"}
    loading = dict.fromkeys(entry["expert"] for entry in experts if entry["state"] == "loading")
    if failed:
        detail = "Not loaded: " + " ".join(f"{expert}: {why}" for expert, why in failed.items())
    elif loading:
        detail = f"Being loaded: {', '.join(loading)}"
    else:
        detail = f"{len(experts)} loaded" if experts else "None was asked for"
    return {"ok": not failed and not loading, "detail": detail, "experts": experts}
