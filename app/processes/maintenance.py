"""What has to be looked after while the service runs, whether or not anybody asks for anything."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.store.jobs import JobStore
from app.store.liveness import Hangs

log = logging.getLogger(__name__)

EVERY_S = 1.0


class Maintenance:
    """A thread that stops jobs whose deadline has passed, and ends workers that hang. Lives as long as the API.

    Args:
        store: the jobs, and who works on them.
        hangs: tells which workers hang.
        kill: ends a worker by its name and process id; False for one that this service did not start.
        tidy: removes what is kept longer than was asked for; called every so often, and may take its time.
        tidy_every_s: how often.
    """

    def __init__(
        self,
        store: JobStore,
        hangs: Hangs,
        kill: Callable[[str, int], bool],
        tidy: Callable[[], None] = lambda: None,
        tidy_every_s: float = 3600.0,
    ) -> None:
        self._store, self._hangs, self._kill = store, hangs, kill
        self._tidy, self._rounds_a_tidy = tidy, max(1, round(tidy_every_s / EVERY_S))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rounds, tidying = 0, threading.Thread()
        while not self._stop.wait(EVERY_S):
            # Hangs first, and each by itself: a worker that hangs in the middle of a change keeps everybody else from
            # changing anything, until it is killed.
            self._guarded(self._end_hanging)
            self._guarded(self._stop_overdue)
            if rounds % self._rounds_a_tidy == 0 and not tidying.is_alive():
                # By itself: a thousand deletions take seconds, in which the others are to be looked after.
                tidying = threading.Thread(target=self._guarded, args=(self._tidy,), name="tidying", daemon=True)
                tidying.start()
            rounds += 1

    def _guarded(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except (OSError, sqlite3.Error):  # a full disk, say: it will pass
            log.exception("housekeeping could not be done; it is tried again")
        except Exception:
            log.exception("unexpected error while housekeeping")

    def _end_hanging(self) -> None:
        for worker, silent_s in self._hangs.look().items():
            pids = [row["pid"] for row in self._store.workers() if row["id"] == worker]
            if any(self._kill(worker, pid) for pid in pids):
                log.error("worker %s has shown no sign of life for %.0f s and is killed", worker, silent_s)
            else:
                # Somebody else's, who alone may end it. Should it wake up, it finds its claims taken, and ends.
                log.error("worker %s (pid %s) has shown no sign of life for %.0f s; its work is free again, and it "
                          "should be ended by hand", worker, *pids, silent_s)  # fmt: skip
                self._store.reap(worker)

    def _stop_overdue(self) -> None:
        for job in self._store.expire():
            log.warning("job %s has not ended by its deadline and is stopped", job)
