"""One task that polls the store for changes, for all requests that wait for one."""

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
    """Wakes waiting requests when another connection has written. Lives in the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = asyncio.Event()
        self._closing = False

    @property
    def closing(self) -> bool:
        """Whether requests wait no more."""
        return self._closing

    def close(self) -> None:
        """Wake all waiting requests; let none wait any more."""
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
        # SQLite does not notify its readers. Reading `data_version` from shared memory costs microseconds, so one
        # poller is cheaper than a thread for each waiting request.
        last_version = self._database.version()
        while True:
            await asyncio.sleep(POLL_S)
            try:
                version = self._database.version()
            except sqlite3.Error as error:  # it will pass, and must not leave requests waiting for ever
                log.warning("cannot tell whether the store has changed: %s", error)
                continue
            if version != last_version:
                last_version = version
                self._changed.set()
                self._changed = asyncio.Event()

    async def until(self, look: Callable[[], Awaitable[T]], done: Callable[[T], bool], timeout_s: float) -> T:
        """Look now and after each change until `done` or timeout."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            changed = self._changed  # taken before the look, so that no change in between is missed
            result = await look()
            remaining_s = deadline - asyncio.get_running_loop().time()
            if done(result) or remaining_s <= 0 or self._closing:
                return result
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), remaining_s)
