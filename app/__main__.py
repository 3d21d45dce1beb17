"""`python -m app`: serve the API and supervise its workers."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import subprocess
import sys
from typing import NoReturn

import uvicorn
from pydantic import ValidationError

from app.domain.errors import FatalError
from app.logs import set_up
from app.main import create_app
from app.processes.shutdown import StoppableServer
from app.processes.supervisor import Launch
from app.settings import Settings, explain
from app.store.liveness import hold_lock

log = logging.getLogger("app")


def main(launch: Launch = subprocess.Popen) -> int:
    """Serve until signalled, and return the exit status.

    Returns:
        0 after a normal end, 1 where the service cannot start, 2 for wrong settings.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        print(explain(error), file=sys.stderr)
        return 2
    set_up(settings)
    app = create_app(settings, launch)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        log_config=None,  # its loggers use the handlers of `set_up`
        timeout_graceful_shutdown=math.ceil(settings.stop_timeout_s),
    )
    server = StoppableServer(config, app.state)
    # uvicorn sets this handler only while it serves. An earlier signal stops the server once it has started.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    try:
        with hold_lock(settings.internal_dir / "service.lock"), _listen(settings) as listening:
            log.info("listening on http://%s:%d", *listening.getsockname()[:2])
            server.run([listening])
    except FatalError as error:
        print(f"relogit cannot start: {error}", file=sys.stderr)
        return 1
    if app.state.hopeless:
        return 2
    return 0 if server.started else 1


def _listen(settings: Settings) -> socket.socket:
    """Open the socket that the settings name.

    Raises:
        FatalError: `cannot-listen`.
    """
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
        # Accepted connections inherit it. asyncio sets it only on sockets that name their protocol, and this one
        # does not. Without it, 40 ms pass between the packets of a response's head and body.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise FatalError(
            "cannot-listen",
            f"{settings.host} port {settings.port}: {error.strerror}. Stop the program that listens there, or choose "
            "another port with RELOGIT_PORT (0 takes a free one).",
        ) from error


def _end(status: int) -> NoReturn:
    """End the process without waiting for threads.

    A request may hang in one, such as over a file on a network disk that no longer answers.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _end(main())
