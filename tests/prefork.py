"""Starts the service's processes as forks of a server that has imported everything (`prefork_server.py`)."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).parents[1]
MODULES = ("app", "worker")
SOCKET_NAME = "prefork.sock"
START_S = 60.0


class ForkedProcess:
    """A child of the prefork server, with the part of `subprocess.Popen` that the tests and the supervisor use.

    Attributes:
        pid: its process id.
        returncode: its exit status, minus the signal that ended it, or None while it runs or nobody has asked.
        stdin: the writing end of its standard input, if a pipe was asked for.
    """

    def __init__(self, connection: socket.socket, stdin: IO[bytes] | None) -> None:
        self._connection = connection
        self._lock = threading.RLock()  # the supervisor waits in one thread and kills in another
        self.stdin = stdin
        self.returncode: int | None = None
        self.pid = self._receive()

    def poll(self) -> int | None:
        """Return the exit status if it has ended."""
        with self._lock:
            if self.returncode is None and self._is_readable(0):
                self.returncode = self._receive()
                self._connection.close()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        if self.returncode is None and not self._is_readable(timeout):
            raise subprocess.TimeoutExpired(f"forked process {self.pid}", timeout or 0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _is_readable(self, timeout: float | None) -> bool:
        try:
            return bool(select.select([self._connection], [], [], timeout)[0])
        except (ValueError, OSError):  # another thread has just received the exit status
            return True

    def _receive(self) -> int:
        message = self._connection.recv(64)
        if not message:
            raise RuntimeError("the prefork server has ended")
        return int(message)


def launch_at(
    path: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    process_group: int | None = None,
) -> ForkedProcess:
    """Start `python -m app|worker ARGUMENT...` as a fork of the server at a socket; arguments as of `Popen`."""
    python, option, module, *arguments = command
    assert (python, option) == (sys.executable, "-m"), command
    assert module in MODULES, command
    request = {"module": module, "arguments": arguments, "env": dict(env), "own_group": process_group == 0}
    if stdin == subprocess.PIPE:
        reading, writing = os.pipe()
        pipe: IO[bytes] | None = os.fdopen(writing, "wb", buffering=0)
    else:
        reading, pipe = os.open(os.devnull, os.O_RDONLY), None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(path)
        streams = [reading, 1 if stdout is None else stdout, 2 if stderr is None else stderr]
        socket.send_fds(connection, [json.dumps(request).encode()], streams)
    except OSError:
        connection.close()
        raise
    finally:
        os.close(reading)
    return ForkedProcess(connection, pipe)


def launch(command: Sequence[str], **options: Any) -> ForkedProcess:
    """Start a process as a fork of this process's own server, which is started first if need be."""
    return launch_at(_server_path(), command, **options)


@functools.cache
def _server_path() -> str:
    """Start a server that lives as long as this process, and return its socket."""
    folder = Path(tempfile.mkdtemp(prefix="prefork-"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.prefork_server", str(folder)],
        cwd=REPOSITORY,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # it starts threads when it is imported
        stdin=subprocess.PIPE,
    )

    def stop() -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    path = folder / SOCKET_NAME
    deadline = time.monotonic() + START_S
    while not path.exists():
        assert process.poll() is None, f"the prefork server ended with {process.returncode}"
        assert time.monotonic() < deadline, "the prefork server does not start"
        time.sleep(0.01)
    return str(path)
