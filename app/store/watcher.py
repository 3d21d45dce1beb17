"""One task that looks whether the store has changed, for everybody who waits for that."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from app.store.database import Database

log = logging.getLogger(__name__)

POLL_S = 0.02

T = TypeVar("T")


class Watcher:
    """Wakes waiting requests when a worker or another request has written. Lives in the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = asyncio.Event()
        self._closing = False

    def close(self) -> None:
        """Let everybody who waits have what there is now, and nobody wait any more."""
        self._closing = True
        self._changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch for as long as the block lasts."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        # SQLite tells its readers nothing; reading `data_version` from shared memory costs microseconds,
        # so that one poller here is cheaper than a thread for each who waits.
        seen = self._database.version()
        while True:
            await asyncio.sleep(POLL_S)
            try:
                version = self._database.version()
            except sqlite3.Error as error:  # it will pass; nobody may wait for ever because of it
                log.warning("cannot look whether the store has changed: %s", error)
                continue
            if version != seen:
                seen = version
                self._changed.set()
                self._changed = asyncio.Event()

    async def until(self, look: Callable[[], Awaitable[T]], done: Callable[[T], bool], timeout_s: float) -> T:
        """Look now and after each change until the result will do, or time is up.

        Returns:
            The last result, whether it will do or not.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            changed = self._changed  # taken before the look, so that no change in between is missed
            result = await look()
            left = deadline - asyncio.get_running_loop().time()
            if done(result) or left <= 0 or self._closing:
                return result
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left)
