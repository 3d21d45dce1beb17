"""Hold a request until a job changes, or until workers have inspected what it asks about."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence

from anyio.to_thread import run_sync

from app.api.dependencies import Services
from app.api.parameters import MAX_WAIT_S
from app.domain.jobs import Job
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspections import Inspection
from app.store.liveness import living

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""A page that loads for longer seems broken; what no worker has inspected by then is shown as unread."""


async def await_inspections(
    services: Services, requests: Sequence[InspectionRequest], patience_s: float = PATIENCE_S
) -> list[Inspection]:
    """Return each request's inspection, asking workers for unknown ones.

    Those that no worker answered within `patience_s` are not `known`.
    """

    async def look_up() -> list[Inspection]:
        return await run_sync(services.inspections.look_up, requests)

    def all_known(inspections: list[Inspection]) -> bool:
        return all(inspection.known for inspection in inspections)

    inspections = await look_up()
    if all_known(inspections):
        return inspections
    unknown = [inspection.request for inspection in inspections if not inspection.known]
    try:
        await run_sync(services.inspections.submit, unknown)
    except sqlite3.OperationalError as error:  # such as a full disk: the known inspections can still be shown
        log.warning("cannot ask the workers for inspections: %s", error)
        return inspections
    # Without a living worker a wait is useless; the first worker that starts finds the requests in the store.
    workers = await run_sync(living, services.jobs, services.settings.locks_dir)
    return await services.watcher.until(look_up, all_known, patience_s if workers else 0.0)


async def await_change(services: Services, job_id: str, wait_s: float) -> Job:
    """Return a job once it changes or `wait_s` is over.

    A job that has ended is returned at once. The wait is at most `MAX_WAIT_S`.

    Raises:
        NotFound: `job-not-found`.
    """

    async def read_job() -> Job:
        return await run_sync(services.jobs.get, job_id)

    job = await read_job()
    if wait_s == 0 or job.state.ended:
        return job
    return await services.watcher.until(read_job, lambda now: now != job, min(wait_s, MAX_WAIT_S))
