"""Who lives: an operating-system lock that a process holds while it does, so that its death shows at once.

The kernel drops a lock with its holder, however that died; no clock and no heartbeat is involved.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from pathlib import Path
from typing import IO

from app.errors import FatalError
from app.numerics import Arithmetic
from app.store import JobStore


def hold_lock(path: Path) -> IO[str]:
    """Lock a file for as long as the returned handle is open.

    Raises:
        FatalError: `already-running`, another process holds it; or `outputs-dir-unusable`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise FatalError(
            "outputs-dir-unusable",
            f"{path} cannot be made: {error.strerror}. RELOGIT_OUTPUTS_DIR has to be a folder that this user can "
            "write to.",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise FatalError(
            "already-running",
            f"Another relogit service already uses {path.parent}. Stop it, or give this one its own "
            "RELOGIT_OUTPUTS_DIR.",
        ) from error
    return handle


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock. A shared lock is tried, so that two who look do not meet."""
    try:
        with path.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def worker_lock(locks_dir: Path, worker: str) -> Path:
    """The lock file of a worker; a worker's name is never used twice."""
    return locks_dir / f"{worker}.lock"


def living(store: JobStore, locks_dir: Path) -> list[str]:
    """The workers that hold their lock."""
    return [w["id"] for w in store.workers() if is_held(worker_lock(locks_dir, w["id"]))]


def arithmetics(store: JobStore, locks_dir: Path) -> list[Arithmetic]:
    """How the living workers compute, each way once. Workers of another relogit may not say all of it."""
    alive = [w["arithmetic"] for w in store.workers() if is_held(worker_lock(locks_dir, w["id"]))]
    found = []
    for text in dict.fromkeys(alive):
        with contextlib.suppress(KeyError):
            found.append(Arithmetic.from_dict(json.loads(text)))
    return found


def bury_the_dead(store: JobStore, locks_dir: Path) -> list[str]:
    """Free what dead workers had claimed.

    Returns:
        The dead workers' names.
    """
    dead = [w["id"] for w in store.workers() if not is_held(worker_lock(locks_dir, w["id"]))]
    for worker in dead:
        store.bury(worker)
        worker_lock(locks_dir, worker).unlink(missing_ok=True)
    return dead
