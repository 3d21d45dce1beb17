"""Maintenance of the running service: deadlines, hanging workers, retention."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable

from app.processes.background import BackgroundThread
from app.store.jobs import JobStore
from app.store.liveness import Hangs

log = logging.getLogger(__name__)

EVERY_S = 1.0
TIDY_EVERY_S = 3600.0


class Maintenance(BackgroundThread):
    """A thread that stops jobs after their deadline, and kills workers that hang. Lives as long as the API.

    Args:
        store: the jobs and workers.
        hangs: tells which workers hang.
        kill: kills a worker by its name and process id; False for one that this service did not start.
        tidy: applies retention every `tidy_every_s` seconds; it may take long.
    """

    def __init__(
        self,
        store: JobStore,
        hangs: Hangs,
        kill: Callable[[str, int], bool],
        tidy: Callable[[], None] = lambda: None,
        tidy_every_s: float = TIDY_EVERY_S,
        every_s: float = EVERY_S,
    ) -> None:
        super().__init__("maintenance")
        self._store, self._hangs, self._kill = store, hangs, kill
        self._tidy, self._every_s = tidy, every_s
        self._rounds_per_tidy = max(1, round(tidy_every_s / every_s))

    def _run(self) -> None:
        rounds, tidying = 0, threading.Thread()
        while not self._stop.wait(self._every_s):
            # Hangs first, and each chore guarded: a worker that hangs in a write transaction blocks all other writes
            # until it is killed.
            self._guarded(self._kill_hanging)
            self._guarded(self._stop_overdue)
            if rounds % self._rounds_per_tidy == 0 and not tidying.is_alive():
                # In a thread: a thousand deletions take seconds, in which the other chores go on.
                tidying = threading.Thread(target=self._guarded, args=(self._tidy,), name="tidying", daemon=True)
                tidying.start()
            rounds += 1

    def _guarded(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except (OSError, sqlite3.Error):  # such as a full disk: it will pass
            log.exception("maintenance failed; it is tried again")
        except Exception:
            log.exception("unexpected error in maintenance")

    def _kill_hanging(self) -> None:
        for worker, silent_s in self._hangs.look().items():
            pids = [row["pid"] for row in self._store.workers() if row["id"] == worker]
            if any(self._kill(worker, pid) for pid in pids):
                log.error("worker %s has shown no sign of life for %.0f s and is killed", worker, silent_s)
            else:
                # This service did not start it and cannot kill it. If it wakes up, its claims are lost, and it ends.
                log.error("worker %s (pid %s) has shown no sign of life for %.0f s; other workers take over its "
                          "work. Please kill it by hand", worker, *pids, silent_s)  # fmt: skip
                self._store.reap(worker)

    def _stop_overdue(self) -> None:
        for job in self._store.expire():
            log.warning("job %s has not ended by its deadline and is stopped", job)
