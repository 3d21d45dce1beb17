"""Asking the workers for what only they can find out, and waiting a little for it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence

from anyio.to_thread import run_sync

from app.api.dependencies import Services
from app.store.inspections import Inspection, InspectionRequest
from app.store.liveness import living

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""A page that waits longer than this seems broken; what is not known by then is said to be unread."""


async def answers(
    used: Services, questions: Sequence[InspectionRequest], patience_s: float = PATIENCE_S
) -> list[Inspection]:
    """A fact for each question, in their order; open ones where no worker has answered in time."""

    async def look() -> list[Inspection]:
        return await run_sync(used.inspections.look_up, questions)

    def all_known(inspections: list[Inspection]) -> bool:
        return all(fact.known for fact in inspections)

    inspections = await look()
    if all_known(inspections):
        return inspections
    try:
        await run_sync(used.inspections.ask, [fact.question for fact in inspections if not fact.known])
    except sqlite3.OperationalError as error:  # a full disk, say: what is known can be shown all the same
        log.warning("nothing can be asked of the workers: %s", error)
        return inspections
    # Without a worker nobody will answer; the questions stay for the first one that starts.
    alive = await run_sync(living, used.jobs, used.settings.locks_dir)
    return await used.watcher.until(look, all_known, patience_s if alive else 0.0)
