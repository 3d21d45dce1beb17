"""The service that chaos is made with: forked from one process, or as its users start it; armed, or left in peace."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.domain.fault_points import LABELS
from tests.integration.workspace import REPOSITORY, Workspace, end, environment

WORKERS = 2
ARMED = Path(__file__).parent / "armed"


@dataclass(frozen=True)
class Chaos:
    """How a service is armed; see `armed/sitecustomize.py`."""

    folder: Path
    seed: int
    kills: int
    """In all, those before this service started included."""

    def variables(self) -> dict[str, str]:
        return {
            "PYTHONPATH": os.pathsep.join([str(ARMED), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "CHAOS_FOLDER": str(self.folder),
            "CHAOS_SEED": str(self.seed),
            "CHAOS_KILLS": str(self.kills),
            "CHAOS_LABELS": json.dumps(LABELS),
        }


@dataclass(frozen=True)
class Place:
    """Where a service works and listens, and where its log goes."""

    workspace: Workspace
    port: int
    log: Path
    outputs: str = "outputs"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self, chaos: Chaos | None, workers: int) -> dict[str, str]:
        return environment(
            self.workspace,
            RELOGIT_PORT=str(self.port),
            RELOGIT_OUTPUTS_DIR=str(self.workspace.root / self.outputs),
            RELOGIT_WORKERS=str(workers),
            RELOGIT_ENGINE="torch",  # the other one starts threads when it is imported, and must not be forked then
            OPENBLAS_NUM_THREADS="1",  # so does this one
            **(chaos.variables() if chaos else {}),
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def forked(place: Place, chaos: Chaos | None = None) -> Iterator[None]:
    """API and workers as forks.

    Raises:
        AssertionError: at its end, if one of them ended by itself or would not stop.
    """
    command = [sys.executable, "-m", "tests.chaos.prefork", str(WORKERS)]
    with place.log.open("ab") as log:
        prefork = subprocess.Popen(
            command, cwd=REPOSITORY, env=place.variables(chaos, WORKERS), stdout=log, stderr=log
        )
    try:
        yield
    finally:
        end(prefork)
    assert prefork.returncode == 0, f"a process ended by itself, or would not stop; see {place.log}"


@contextmanager
def supervised(place: Place, chaos: Chaos | None = None) -> Iterator[None]:
    """`python -m app`, as a service manager keeps it: started again whenever it was killed.

    Raises:
        AssertionError: at its end, if it ended by itself.
    """
    stopping = threading.Event()
    current: list[subprocess.Popen[bytes]] = []
    statuses: list[int] = []

    def keep() -> None:
        with place.log.open("ab") as log:
            while not stopping.is_set():
                command = [sys.executable, "-m", "app"]
                variables = place.variables(chaos, WORKERS)
                process = subprocess.Popen(command, cwd=REPOSITORY, env=variables, stdout=log, stderr=log)
                current[:] = [process]
                statuses.append(process.wait())

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield
    finally:
        stopping.set()
        while keeper.is_alive():
            if current:
                current[0].send_signal(signal.SIGTERM)
            keeper.join(1)
    strange = [status for status in statuses[:-1] if status != -signal.SIGKILL]
    assert not strange, f"the service ended by itself, with {strange}; see {place.log}"
