"""How the service stops: in order at the first signal, at once at the second."""

from __future__ import annotations

import logging
import os
import socket
from types import FrameType

import uvicorn
from starlette.datastructures import State

from app.processes.supervisor import Supervisor
from app.store.watcher import Watcher

log = logging.getLogger(__name__)


class Stopping:
    """The parts of the service that have to learn early that it stops."""

    def __init__(self, watcher: Watcher, supervisor: Supervisor) -> None:
        self._watcher, self._supervisor = watcher, supervisor

    def soon(self) -> None:
        """Answer waiting requests; stop workers after their batch.

        Call it in the event loop.
        """
        self._watcher.close()
        self._supervisor.stop_soon()

    def now(self) -> None:
        """Kill the workers; the next start repeats their tasks."""
        self._supervisor.kill_all()


class StoppableServer(uvicorn.Server):
    """A server that finishes its answers before it stops; a second signal ends it at once.

    The app's state has a `stopping` once it has started.
    """

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 — uvicorn gives the signature
        """Stop in order, or at once at the second signal.

        Does not call uvicorn's own handler, which would raise the signal again once the server has stopped.
        """
        if self.should_exit:
            log.warning("second signal: the service stops at once")
            if self._state.stopping is not None:
                self._state.stopping.now()
            os._exit(128 + sig)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer waiting requests, stop the workers, then the server."""
        if self._state.stopping is not None:
            self._state.stopping.soon()
        await super().shutdown(sockets)
