"""Which workers live: each holds a lock of the operating system, so that its death shows at once.

The kernel drops a lock with its holder, however that died; no clock is involved.
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
    """Lock a file while the returned handle is open.

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
    """Tell whether a living process holds the lock."""
    try:
        with path.open() as handle:
            # Shared, so that two processes that look at once do not take each other for the holder.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def worker_lock(locks_dir: Path, worker: str) -> Path:
    """Return the path of a worker's lock file."""
    return locks_dir / f"{worker}.lock"


def living(store: JobStore, locks_dir: Path) -> list[str]:
    """Return the recorded workers that hold their lock."""
    return [w["id"] for w in store.workers() if is_held(worker_lock(locks_dir, w["id"]))]


def has_open(pid: int, path: Path) -> bool:
    """Tell whether a local process has a file open.

    A worker in a container has a process id of that container, which may belong to another process here.
    """
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        lock = path.stat()
        for entry in entries:
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.path.samestat(entry.stat(), lock):
                    return True
    return False


LONGEST_STEP_S = 2.0


class Hangs:
    """Detects living workers that hang. One thread calls `look`; any thread may call `hanging`.

    A worker moves the time of its lock file as long as its threads go on (`worker/heartbeat.py`). More than
    `timeout_s` of silence is a hang. It is added up from look to look, up to `longest_step_s` for each: time in which
    this process itself was busy or stopped counts against no worker.
    """

    def __init__(
        self, store: JobStore, locks_dir: Path, timeout_s: float, longest_step_s: float = LONGEST_STEP_S
    ) -> None:
        self._store, self._locks_dir = store, locks_dir
        self._timeout_s, self._longest_step_s = timeout_s, longest_step_s
        self._last_look = time.monotonic()
        self._silence: dict[str, tuple[float, float]] = {}
        """Worker → the time of its file, and the seconds for which it has not moved."""

    def look(self) -> dict[str, float]:
        """Check the living workers' heartbeats; return as `hanging`.

        Call it about once a second.
        """
        now = time.monotonic()
        passed, self._last_look = min(now - self._last_look, self._longest_step_s), now
        silence = {}
        for worker in living(self._store, self._locks_dir):
            with contextlib.suppress(OSError):
                moved = worker_lock(self._locks_dir, worker).stat().st_mtime
                before = self._silence.get(worker)
                silent = before[1] + passed if before is not None and before[0] == moved else 0.0
                silence[worker] = (moved, silent)
        self._silence = silence
        return self.hanging()

    def hanging(self) -> dict[str, float]:
        """Return the hanging workers: seconds of silence by name.

        They hung at the last `look`.
        """
        return {worker: silent for worker, (_, silent) in self._silence.items() if silent > self._timeout_s}


def compute_environments(store: JobStore, locks_dir: Path) -> list[ComputeEnvironment]:
    """Return the distinct compute environments of the living workers."""
    alive = {w["environment"]: None for w in store.workers() if is_held(worker_lock(locks_dir, w["id"]))}
    environments = []
    for text in alive:
        with contextlib.suppress(KeyError):  # a worker of another version, with other fields
            environments.append(ComputeEnvironment.from_dict(json.loads(text)))
    return environments


def reap_dead_workers(store: JobStore, locks_dir: Path) -> list[str]:
    """Remove dead workers and free their claims.

    Returns the names of the workers.
    """
    dead = [w["id"] for w in store.workers() if not is_held(worker_lock(locks_dir, w["id"]))]
    dead += store.orphaned_claims()
    for worker in dead:
        store.reap(worker)
        worker_lock(locks_dir, worker).unlink(missing_ok=True)
    return dead
