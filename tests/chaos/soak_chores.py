"""What happens to a service besides its users: garbage collection, and workers that die or hang."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from datetime import UTC, datetime

from relogit import Client
from tests.chaos.soak_samples import workers
from tests.chaos.soak_user import Book

VICTIM = "worker 1"
"""The one that is killed: the other lives as long as the service, so that a leak of its shows."""
COLLECT_EVERY_S = 5.0
JOBS_LEFT = 50
"""Ended jobs that garbage collection leaves: what a time would leave depends on how busy the machine is."""
ROWS_MAX_BYTES = 400_000
"""A third of what all kept rows take: the others are forgotten now and then, so that there is work."""
PRUNED = 0.25
"""So often, of the times that garbage is collected."""
LOOK_S = 0.2


class Chores:
    """A thread that does them for as long as the block lasts.

    Args:
        url: of the service.
        api: its pid.
        keep_s: ended jobs are kept so long at least.
        kill_every_s: a worker dies so often.
        book: where everything is written down.
    """

    def __init__(self, url: str, api: int, keep_s: float, kill_every_s: float, book: Book) -> None:
        self._url, self._api, self._keep_s, self._kill_every_s, self._book = url, api, keep_s, kill_every_s, book
        self.kills: dict[int, float] = {}
        """When, in seconds of the monotonic clock, by pid."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chores")

    def __enter__(self) -> Chores:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        lots = random.Random(0)
        killed = collected = time.monotonic()
        with Client(self._url, timeout=60) as client:
            while not self._stop.wait(LOOK_S):
                now = time.monotonic()
                try:
                    if now - collected > COLLECT_EVERY_S:
                        collected = now
                        self._collect(client, lots)
                    if now - killed > self._kill_every_s and self._strike(client):
                        killed = now
                except Exception as error:  # noqa: BLE001 — whatever it is, the service is at fault, and goes on
                    self._book.fault(f"chores: {type(error).__name__}: {error}")

    def _collect(self, client: Client, lots: random.Random) -> None:
        ended = sorted((job.data["finished_at"] for job in client.jobs(limit=1000) if job.ended), reverse=True)
        if not ended:
            return
        surplus = ended[JOBS_LEFT] if len(ended) > JOBS_LEFT else ended[-1]
        age_s = (datetime.now(UTC) - datetime.fromisoformat(surplus)).total_seconds()
        done = client.collect_garbage(jobs_older_than_s=max(self._keep_s, age_s))
        self._book.count("garbage collections", *(["jobs collected"] * len(done["jobs"])))
        if lots.random() < PRUNED:  # whoever is at them computes what it has not read yet
            pruned = client.prune_rows(max_bytes=ROWS_MAX_BYTES)
            self._book.count(*(["keys of rows pruned"] * len(pruned["removed"])))
        if done["kept_back"]:
            self._book.fault(f"garbage that could not be removed: {done['kept_back']}")

    def _strike(self, client: Client) -> bool:
        """Kill the victim, or stop it. Returns False where it cannot be struck yet."""
        # One that hangs and has not been found yet dies once. Of a worker that still imports PyTorch and has not
        # recorded itself neither silence nor death is counted.
        recorded = {worker["pid"] for worker in client.ready()["checks"]["worker"]["workers"]}
        victims = {pid for pid, name in workers(self._api).items() if name == VICTIM}
        found = (victims & recorded) - self.kills.keys()
        hang = len(self.kills) % 2 == 1
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if hang else signal.SIGKILL)
                self.kills[pid] = time.monotonic()
                self._book.count("workers that hang" if hang else "workers killed")
        return bool(found)
