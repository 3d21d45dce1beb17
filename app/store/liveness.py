"""Who lives: an operating-system lock that a process holds while it does, so that its death shows at once.

The kernel drops a lock with its holder, however that died; no clock and no heartbeat is involved.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO

from app.domain.errors import FatalError
from app.domain.numerics import ComputeEnvironment
from app.store.jobs import JobStore


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


def has_open(pid: int, path: Path) -> bool:
    """Whether that process here is the one that has a file open. A worker in a container of its own counts processes
    from one as well: the same number may be another one's.
    """
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        wanted = path.stat()
        for entry in entries:
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.path.samestat(entry.stat(), wanted):
                    return True
    return False


LOOKED_S = 2.0
"""Between two looks no more than this counts as silence."""


class Hangs:
    """Which living workers show no sign of life any more. Looked at by one thread; may be asked by any.

    A worker moves the time of its lock file as long as its threads go on (`worker/heartbeat.py`). Silence is what was
    seen of it from look to look, two seconds for each at most: where this process did not look, for it was busy or
    stood still itself, nobody is blamed for that time.

    Args:
        store: where the workers are on record.
        locks_dir: where their lock files are.
        timeout_s: so long without a move is a hang.
    """

    def __init__(self, store: JobStore, locks_dir: Path, timeout_s: float) -> None:
        self._store, self._locks_dir, self._timeout_s = store, locks_dir, timeout_s
        self._looked = time.monotonic()
        self._seen: dict[str, tuple[float, float]] = {}
        """Worker → the time of its file, and for how many seconds it was seen to be that."""

    def look(self) -> dict[str, float]:
        """Look at every living worker's file; to be called every second or so.

        Returns:
            Those that hang: seconds of silence by name.
        """
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, LOOKED_S), now
        seen = {}
        for worker in living(self._store, self._locks_dir):
            with contextlib.suppress(OSError):
                moved = worker_lock(self._locks_dir, worker).stat().st_mtime
                before = self._seen.get(worker)
                silent = before[1] + passed if before is not None and before[0] == moved else 0.0
                seen[worker] = (moved, silent)
        self._seen = seen
        return self.hanging()

    def hanging(self) -> dict[str, float]:
        """Seconds of silence by name, as far as it was looked at."""
        return {worker: silent for worker, (_, silent) in self._seen.items() if silent > self._timeout_s}


def compute_environments(store: JobStore, locks_dir: Path) -> list[ComputeEnvironment]:
    """How the living workers compute, each way once. Workers of another relogit may not say all of it."""
    alive = [w["arithmetic"] for w in store.workers() if is_held(worker_lock(locks_dir, w["id"]))]
    found = []
    for text in dict.fromkeys(alive):
        with contextlib.suppress(KeyError):
            found.append(ComputeEnvironment.from_dict(json.loads(text)))
    return found


def reap_dead_workers(store: JobStore, locks_dir: Path) -> list[str]:
    """Free what dead workers had claimed.

    Returns:
        The dead workers' names.
    """
    dead = [
        w["id"] for w in store.workers() if not is_held(worker_lock(locks_dir, w["id"]))
    ] + store.orphaned_claims()
    for worker in dead:
        store.reap(worker)
        worker_lock(locks_dir, worker).unlink(missing_ok=True)
    return dead
