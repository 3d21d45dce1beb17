"""`python -m tests.chaos.prefork`: the API and its workers as forks of one process that has imported everything.

To start `python -m worker` takes two seconds, nearly all of them for importing PyTorch; a fork takes none of that.
What is imported once is the same code, and each child runs the same `main()`. Nothing has computed, opened a file or
started a thread before the fork.

Keeps one API and as many workers alive as it is told, until SIGTERM ends it; then ends them. Exit status 1: one of
them ended by itself, and not by SIGKILL.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path

import uvicorn.lifespan.on
import uvicorn.logging
import uvicorn.loops.auto
import uvicorn.protocols.http.auto
import uvicorn.protocols.websockets.auto  # noqa: F401 — like the others, imported late by a server that starts

import app.__main__
import worker.__main__

POLL_S = 0.002
END_S = 30.0
AGAIN_S = 1.0

MAINS = {"app": app.__main__.main, "worker": worker.__main__.main}

log = logging.getLogger("prefork")


def main() -> int:
    """Keep them alive. Returns the exit status."""
    logging.basicConfig(format="%(asctime)s prefork: %(message)s")
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads: a fork would leave the others' locks held for ever"
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    wanted = [("app", 0), *(("worker", index) for index in range(int(sys.argv[1])))]
    alive: dict[int, tuple[str, int]] = {}
    sound = True
    while not stopping:
        for child in wanted:
            if child not in alive.values():
                alive[_fork(*child)] = child
        time.sleep(POLL_S)
        sound &= _reap(alive, stopping)
    return 0 if _end(alive) and sound else 1


def _reap(alive: dict[int, tuple[str, int]], stopping: list[int]) -> bool:
    """Forget those that ended. Returns whether that was as it should be."""
    sound = True
    while alive and (ended := os.waitpid(-1, os.WNOHANG))[0]:
        pid, status = ended
        role, index = alive.pop(pid)
        right = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not right and not stopping:
            log.error("%s %d (pid %d) ended by itself: wait status %d", role, index, pid, status)
            sound = False
            time.sleep(AGAIN_S)
    return sound


def _end(alive: dict[int, tuple[str, int]]) -> bool:
    """Ask all to stop. Returns whether they did."""
    deadline = time.monotonic() + END_S
    asked = 0.0
    while alive:
        if time.monotonic() - asked > AGAIN_S:  # a child that has only just begun may not listen yet
            asked = time.monotonic()
            for pid in alive:
                os.kill(pid, signal.SIGTERM)
        time.sleep(POLL_S)
        _reap(alive, [signal.SIGTERM])
        if time.monotonic() > deadline:
            log.error("did not stop, and are killed: %s", alive)
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
            return False
    return True


def _fork(role: str, index: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        logging.getLogger().handlers.clear()
        sys.argv = [role, *(["--index", str(index)] if role == "worker" else [])]
        if role == "app":
            os.environ["RELOGIT_WORKERS"] = "0"
        if "CHAOS_FOLDER" in os.environ:
            sys.modules["sitecustomize"].arm(role, "forked")
        status = MAINS[role]()
    except BaseException:
        log.exception("%s failed", role)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
