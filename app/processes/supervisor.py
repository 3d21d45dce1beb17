"""Keeps worker processes alive beside the API."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from app.processes.background import BackgroundThread
from app.settings import Settings, as_environment
from app.store.jobs import JobStore
from app.store.liveness import has_open, reap_dead_workers, worker_lock

log = logging.getLogger(__name__)

POLL_S = 0.05
AFTER_ERROR_S = 1.0
HOPELESS = 2
"""The exit status of a worker whose settings are wrong."""
MAX_DELAY_S = 30.0


class _Process(Protocol):
    """What the supervisor uses of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    @property
    def stdin(self) -> IO[bytes] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


Launch = Callable[..., _Process]
"""Starts a process; called as `subprocess.Popen` is."""


@dataclass
class _Slot:
    """The place of one worker: its process, and how often that has failed to start."""

    index: int
    process: _Process | None = None
    not_before: float = 0.0
    failed_starts: int = 0


class Supervisor(BackgroundThread):
    """Starts workers, restarts those that die, and ends them with itself.

    Each worker leads its own process group, so that Ctrl-C in a terminal reaches only the API, which then stops them
    in order. The standard input of each is a pipe from this process: however this process dies, the pipe closes and
    the worker ends.

    Args:
        settings: passed on to the workers.
        store: where they are recorded.
        command: starts a worker; its number and `--supervised` are added.
        give_up: ends the service; called when workers cannot work with these settings.
        launch: starts a process; the tests fork workers from a process that has imported PyTorch.
    """

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        command: Sequence[str] = (sys.executable, "-m", "worker"),
        give_up: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM),
        launch: Launch = subprocess.Popen,
    ) -> None:
        super().__init__("supervisor")
        self._settings, self._store, self._command = settings, store, command
        self._give_up, self._launch = give_up, launch
        self._slots: list[_Slot] = []
        self._any_started = False
        self.hopeless = False
        """Whether the settings let no worker start, so that the service gave up."""

    def kill(self, worker: str, pid: int) -> bool:
        """Kill a worker of this supervisor, which replaces it.

        Returns False if the worker is not one of its own.
        """
        lock = worker_lock(self._settings.locks_dir, worker)
        processes = [process for process in self._processes() if process.pid == pid and has_open(pid, lock)]
        for process in processes:
            process.kill()
        return bool(processes)

    def stop_soon(self) -> None:
        """Stop all workers after their batch, without waiting.

        The end of the block waits for them.
        """
        self._stop.set()

    def kill_all(self) -> None:
        """Kill all workers and start none any more."""
        self._stop.set()
        for process in self._processes():
            process.kill()

    def _processes(self) -> list[_Process]:
        return [slot.process for slot in self._slots if slot.process is not None]

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._check_slots()
                except (OSError, sqlite3.Error):
                    # Such as a full disk: it will pass.
                    log.exception("cannot check the workers; trying again")
                    self._stop.wait(AFTER_ERROR_S)
                self._stop.wait(POLL_S)
        finally:
            self._end_all()

    def _check_slots(self) -> None:
        self._slots += [_Slot(index) for index in range(len(self._slots), self._worker_count())]
        for slot in self._slots:
            self._check_slot(slot)

    def _worker_count(self) -> int:
        if self._settings.workers != "auto":
            return self._settings.workers
        # Only a worker can count the devices, so the first one starts alone and records their number.
        return max([1, *(w["devices"] for w in self._store.workers())]) if self._slots else 1

    def _check_slot(self, slot: _Slot) -> None:
        now = time.monotonic()
        if slot.process is not None:
            status = slot.process.poll()
            if status is None:
                return
            self._handle_death(slot, status)
            if self._stop.is_set():
                return
        if now >= slot.not_before:
            command = [*self._command, "--index", str(slot.index), "--supervised"]
            environment = os.environ | as_environment(self._settings)
            slot.process = self._launch(command, stdin=subprocess.PIPE, process_group=0, env=environment)

    def _handle_death(self, slot: _Slot, status: int) -> None:
        assert slot.process is not None
        pid = slot.process.pid
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        if status == HOPELESS and not self._any_started:
            # The settings are wrong, so another try would end alike.
            log.critical("worker %d cannot work with these settings; the service stops", slot.index)
            self.hopeless = True
            self._stop.set()
            self._give_up()
            return
        # A worker that had started is replaced at once; one that fails to start is tried less and less often.
        started = any(worker["pid"] == pid for worker in self._store.workers())
        self._any_started |= started
        slot.failed_starts = 0 if started else slot.failed_starts + 1
        delay = min(MAX_DELAY_S, 0.25 * 2**slot.failed_starts) if slot.failed_starts else 0.0
        slot.not_before = time.monotonic() + delay
        log.warning("worker %d (pid %d) died: %s; restarting in %.1f s", slot.index, pid, how, delay)
        _close(slot.process)
        slot.process = None
        reap_dead_workers(self._store, self._settings.locks_dir)

    def _end_all(self) -> None:
        processes = self._processes()
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + self._settings.stop_timeout_s
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker (pid %d) did not stop in time and is killed", process.pid)
                process.kill()
                process.wait()
            _close(process)
        try:
            reap_dead_workers(self._store, self._settings.locks_dir)
        except sqlite3.Error as error:
            log.warning("the next workers to start will free what these held: %s", error)


def _close(process: _Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
