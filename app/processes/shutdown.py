"""How the service stops: at the first signal in order, at the second at once."""

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
    """What has to know early that the service is going to stop.

    Args:
        watcher: who holds answers back until something changes.
        supervisor: whose workers hand their work back while the last answers are sent.
    """

    def __init__(self, watcher: Watcher, supervisor: Supervisor) -> None:
        self._watcher, self._supervisor = watcher, supervisor

    def soon(self) -> None:
        """In the event loop: answers that are held back are given, and workers stop at the edge of a batch."""
        self._watcher.close()
        self._supervisor.stop_soon()

    def now(self) -> None:
        """The workers end, wherever they are: what they held is done again at the next start."""
        self._supervisor.kill_all()


class StoppableServer(uvicorn.Server):
    """A server that ends answers under way before it stops, unless it is told twice.

    Args:
        config: uvicorn's.
        state: of the app, which has a `stopping` once it has started.
    """

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins to stop; the second ends this process and its workers at once."""
        if self.should_exit:
            log.warning("asked to stop twice: stopping at once")
            if self._state.stopping is not None:
                self._state.stopping.now()
            os._exit(128 + sig)
        super().handle_exit(sig, frame)

    def handle_outside(self, sig: int, _frame: FrameType | None) -> None:
        """For before uvicorn has its own handlers, and after: it raises what it was told once more at its end."""
        if sig in self._captured_signals:
            self._captured_signals.remove(sig)
        else:
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does; but nobody waits for what will not come any more."""
        if self._state.stopping is not None:
            self._state.stopping.soon()
        await super().shutdown(sockets)
