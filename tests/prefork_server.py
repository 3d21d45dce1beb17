"""`python -m tests.prefork_server FOLDER`: forks the service's processes from one that has imported everything.

Starting `python -m worker` takes seconds, nearly all of them for importing PyTorch; a fork takes milliseconds. The
code is the same, and each child runs the same `main()`. The server computes nothing, starts no thread and opens no
file of a service. It ends, and kills what it forked, when its standard input closes.

A client (`prefork.py`) sends one request over one connection, with the child's standard streams as file descriptors.
It is answered with the child's pid, and with the exit status once the child has ended.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn.lifespan.on
import uvicorn.logging
import uvicorn.loops.auto
import uvicorn.protocols.http.auto
import uvicorn.protocols.websockets.auto  # noqa: F401 — like the others, imported late by a server that starts

import app.__main__
import worker.__main__
from tests.prefork import SOCKET_NAME, launch_at
from worker.torchvision_import import import_torchvision

MAX_REQUEST_BYTES = 1 << 20


class Server:
    """The single-threaded process that forks children and reports how they ended."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / SOCKET_NAME)
        self._children: dict[int, socket.socket] = {}
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._woken, self._waking = socket.socketpair()

    def run(self) -> None:
        """Serve until standard input closes."""
        for end in (self._woken, self._waking):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that it wakes the loop
        # Clients connect as soon as the socket has its name: before it listens, they would be refused.
        self._listening.bind(f"{self.path}.new")
        self._listening.listen(128)
        Path(f"{self.path}.new").rename(self.path)
        with selectors.DefaultSelector() as selector:
            for source in (0, self._listening, self._woken):
                selector.register(source, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    self._woken.recv(4096)
                self._reap()
                if 0 in ready:
                    return self._kill_all()
                if self._listening in ready:
                    self._accept(selector)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        connection = self._listening.accept()[0]
        message, streams, _, _ = socket.recv_fds(connection, MAX_REQUEST_BYTES, 3)
        pid = os.fork()
        if pid == 0:
            selector.close()
            for own in (connection, self._listening, self._woken, self._waking, *self._children.values()):
                own.close()
            self._become(json.loads(message), streams)
        for stream in streams:
            os.close(stream)
        self._children[pid] = connection
        connection.send(str(pid).encode())

    def _become(self, request: dict[str, Any], streams: Sequence[int]) -> None:
        """Turn this fork into the process that was asked for; never return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if request["own_group"]:
                os.setpgid(0, 0)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            os.environ.clear()
            os.environ.update(request["env"])
            sys.argv = [request["module"], *request["arguments"]]
            if request["module"] == "app":
                status = app.__main__.main(functools.partial(launch_at, self.path))
            else:
                status = worker.__main__.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        except BaseException:
            logging.exception("%s failed", request["module"])
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        """Report the children that have ended."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._children.pop(pid) as connection:
                try:
                    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
                except OSError:
                    continue  # whoever asked for it has ended as well

    def _kill_all(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)


def main() -> int:
    """Fork until standard input closes."""
    import_torchvision()
    importlib.import_module("torchvision.models.resnet")  # which the first expert would import
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads: a fork would leave the others' locks held for ever"
    Server(Path(sys.argv[1])).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
