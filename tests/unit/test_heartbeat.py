"""Signs of life: a thread that is silent shows, though the others go on; who looks uses no clock but its own."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from app.domain.numerics import ComputeEnvironment
from app.store.jobs import JobStore
from app.store.liveness import Hangs, has_open, hold_lock, worker_lock
from tests.fakes import ARITHMETIC
from worker.heartbeat import Heartbeat


def _moves(path: Path) -> bool:
    before = path.stat().st_mtime_ns
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if path.stat().st_mtime_ns != before:
            return True
        time.sleep(0.01)
    return False


def test_the_file_moves_only_as_long_as_every_thread_goes_on(tmp_path: Path) -> None:
    """One that hangs is not hidden by one that lives, nor by the thread that shows the heartbeat."""
    path = tmp_path / "w.lock"
    path.touch()
    heartbeat, stop = Heartbeat(path, every_s=0.01), threading.Event()

    def go_on() -> None:
        while not stop.wait(0.01):
            heartbeat.beat()

    other = threading.Thread(target=go_on)
    with heartbeat.running():
        other.start()
        assert _moves(path)
        heartbeat.beat()  # from here on this thread counts, and is silent
        time.sleep(0.1)
        assert not _moves(path)
        heartbeat.beat()
        assert _moves(path)
        stop.set()
        other.join()


def test_who_never_beat_by_itself_does_not_count(tmp_path: Path) -> None:
    """What is called by any thread must not make a hanging worker of one that only asked a question."""
    path = tmp_path / "w.lock"
    path.touch()
    heartbeat = Heartbeat(path, every_s=0.01)
    with heartbeat.running():
        heartbeat.beat_if_counted()
        time.sleep(0.1)
        assert _moves(path)


def _worker(store: JobStore, arithmetic: ComputeEnvironment = ARITHMETIC) -> None:
    store.add_worker("w", pid=1, device="cpu", devices=1, environment=arithmetic)


def _look(hangs: Hangs, seconds: float) -> dict[str, float]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        hangs.look()
        time.sleep(0.02)
    return hangs.look()


def test_a_worker_hangs_when_its_file_has_not_moved_for_so_long(store: JobStore, tmp_path: Path) -> None:
    """However old or new the time in it is: clocks of other machines and of sleeping ones do not matter."""
    _worker(store)
    path = worker_lock(tmp_path, "w")
    hangs = Hangs(store, tmp_path, timeout_s=0.2)
    with hold_lock(path):
        os.utime(path, (0, 0))
        assert hangs.look() == {}
        assert _look(hangs, 0.3).keys() == {"w"}
        assert hangs.hanging()["w"] > 0.2
        os.utime(path, (5, 5))
        assert hangs.look() == {}
    assert hangs.look() == {}  # a dead one does not hang


def test_time_in_which_nobody_looked_is_no_silence(store: JobStore, tmp_path: Path) -> None:
    """This process was busy, or stood still together with the worker: nobody knows what that one did meanwhile."""
    _worker(store)
    hangs = Hangs(store, tmp_path, timeout_s=0.2, longest_step_s=0.05)
    with hold_lock(worker_lock(tmp_path, "w")):
        hangs.look()
        for _ in range(2):
            time.sleep(0.3)
            assert hangs.hanging() == {}
            assert hangs.look() == {}


def test_the_process_that_has_a_file_open_is_told_from_one_of_its_number(tmp_path: Path) -> None:
    """Another container counts from one as well."""
    path = worker_lock(tmp_path, "w")
    with hold_lock(path):
        assert has_open(os.getpid(), path)
        assert not has_open(os.getppid(), path)
    assert not has_open(os.getpid(), path)


def test_workers_are_first_seen_when_they_are_first_looked_at(store: JobStore, tmp_path: Path) -> None:
    """One that has just been recorded is not blamed for what was before it."""
    hangs = Hangs(store, tmp_path, timeout_s=0.0)
    assert hangs.look() == {}
    _worker(store)
    with hold_lock(worker_lock(tmp_path, "w")):
        hangs.look()
        assert set(hangs.look()) <= {"w"}
