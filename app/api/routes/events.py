"""Server-sent events: jobs, as they change."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from app.api.dependencies import Services, ServicesDep
from app.api.parameters import JobId
from app.api.readiness import check_readiness
from app.api.schemas import JobView
from app.domain.jobs import JobState

SHORTEST_S = 1.0
"""Between two events, so that a page costs a running job next to nothing."""
HEARTBEAT_S = 15
LOOK_S = 5.0
"""After which readiness is looked at, which no change of the store announces."""
OPEN = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)
MAX_OPEN = 100

router = APIRouter(tags=["jobs"])
LastEventId = Annotated[str, Header(description="Id of the last event that was received.")]

State = tuple[str, str, bool]
"""Name of the event, its data, and whether it is the last one."""


class OpenJob(BaseModel):
    """A job that has not ended."""

    id: str
    kind: str
    state: JobState
    done: int = Field(description="Rows of its units.")
    total: int


class Summary(BaseModel):
    """What is going on."""

    ready: bool = Field(description="Whether a job sent now would be done.")
    jobs: list[OpenJob] = Field(description="Those that have not ended, the newest first, 100 at most.")
    last: str | None = Field(description="Id of the newest job.")


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse)
async def job_events(job_id: JobId, services: ServicesDep, last_event_id: LastEventId = "") -> Response:
    """Stream a job as it changes, as server-sent events.

    An event `job` holds what `GET /jobs/{id}` answers; the last one is called `end`, and the stream ends with it. At
    most one event comes in a second. An event's id stands for the state that it shows: a client that comes back with
    `Last-Event-ID` gets nothing until that has changed, and 204 if the job has ended with it. Comments are sent as
    heartbeats.
    """

    def read() -> State:
        job = services.jobs.get(job_id)
        return "end" if job.state.ended else "job", JobView.of(job).model_dump_json(), job.state.ended

    name, data, last = await run_sync(read)
    if last and _identify(name, data) == last_event_id:
        return Response(status_code=204)
    return _stream(services, read, last_event_id, None)


@router.get("/events", response_class=EventSourceResponse)
async def events(services: ServicesDep, last_event_id: LastEventId = "") -> Response:
    """Stream what is going on, as server-sent events: readiness and the open jobs.

    Events are called `jobs`; ids and heartbeats are as in `GET /jobs/{id}/events`.
    """

    def read() -> State:
        jobs = services.jobs.jobs(states=OPEN, limit=MAX_OPEN)
        rows = [
            OpenJob(
                id=job.id,
                kind=job.request.kind,
                state=job.state,
                done=sum(unit.done for unit in job.units),
                total=sum(unit.total for unit in job.units),
            )
            for job in jobs
        ]
        newest = services.jobs.jobs(limit=1)
        last = newest[0].id if newest else None
        summary = Summary(ready=check_readiness(services).ready, jobs=rows, last=last)
        return "jobs", summary.model_dump_json(), False

    return _stream(services, read, last_event_id, LOOK_S)


def _stream(
    services: Services, read: Callable[[], State], last_event_id: str, look_s: float | None
) -> EventSourceResponse:
    async def look() -> State:
        return await run_sync(read)

    changes = _changes(services, look, last_event_id, look_s or HEARTBEAT_S)
    return EventSourceResponse(changes, ping=HEARTBEAT_S, headers={"Cache-Control": "no-store"})


async def _changes(
    services: Services, look: Callable[[], Awaitable[State]], sent: str, look_s: float
) -> AsyncIterator[ServerSentEvent]:
    """Yield an event for each new state, until the last one or the service's stop."""

    def is_new(state: State, sent: str) -> bool:
        return _identify(*state[:2]) != sent

    while not services.watcher.closing:
        name, data, last = await services.watcher.until(look, partial(is_new, sent=sent), look_s)
        if is_new((name, data, last), sent):
            sent = _identify(name, data)
            yield ServerSentEvent(data, event=name, id=sent)
        if last:
            return
        await asyncio.sleep(SHORTEST_S)


def _identify(name: str, data: str) -> str:
    """Return the id of the event that shows a state."""
    return hashlib.sha256(f"{name}\n{data}".encode()).hexdigest()[:16]
