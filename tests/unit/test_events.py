"""Server-sent events tell each state of a job once, and what a client has seen is not sent again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.api.routes import events as events_module
from app.api.routes.events import SHORTEST_S
from app.store.watcher import Watcher
from tests.fakes import Home
from tests.unit.run_world import RunWorld

Event = dict[str, str]


@pytest.fixture
def world(home: Home, services: Services) -> RunWorld:
    return RunWorld.make(home, services)


@asynccontextmanager
async def client(app: FastAPI, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with services.watcher.running():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=20) as opened:
            yield opened


def events_of(text: str) -> list[Event]:
    """The events of a stream that has ended; comments are left out."""
    blocks = [block for block in text.replace("\r\n", "\n").split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


async def read(http: httpx.AsyncClient, url: str, last: str | None = None) -> httpx.Response:
    return await http.get(url, headers={} if last is None else {"Last-Event-ID": last})


def test_a_job_that_has_ended_is_told_once(app: FastAPI, world: RunWorld) -> None:
    """The stream ends with it; a browser that asks again is told to stop asking."""
    job = world.run(until="recompute")

    async def run() -> None:
        async with client(app, world.services) as http:
            answer = await read(http, f"/jobs/{job.id}/events")
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            assert answer.headers["Cache-Control"] == "no-store"
            [event] = events_of(answer.text)
            assert event["event"] == "end"
            assert json.loads(event["data"]) == (await http.get(f"/jobs/{job.id}")).json()
            again = await read(http, f"/jobs/{job.id}/events", event["id"])
            assert (again.status_code, again.content) == (204, b"")
            other = await read(http, f"/jobs/{job.id}/events", "another")
            assert [event["id"] for event in events_of(other.text)] == [event["id"]]

    asyncio.run(run())


def test_changes_are_told_as_they_come(app: FastAPI, world: RunWorld) -> None:
    """From queued to the end, each state at most once, and not more often than is worth while."""
    job = world.submit(until="recompute")

    async def run() -> list[Event]:
        async with client(app, world.services) as http:
            loop = asyncio.get_running_loop()
            started = loop.time()
            stream = asyncio.create_task(read(http, f"/jobs/{job}/events"))
            await asyncio.sleep(0.2)
            world.finish(job)
            events = events_of((await stream).text)
            assert loop.time() - started >= SHORTEST_S * (len(events) - 1)
            return events

    events = asyncio.run(run())
    assert [event["event"] for event in events] == ["job", "end"]
    assert [json.loads(event["data"])["state"] for event in events] == ["queued", "succeeded"]
    assert len({event["id"] for event in events}) == 2


def test_the_end_of_the_service_ends_the_streams(app: FastAPI, world: RunWorld) -> None:
    """It does not wait for browsers."""
    job = world.submit(until="recompute")

    async def run() -> list[Event]:
        async with client(app, world.services) as http:
            streams = [asyncio.create_task(read(http, url)) for url in (f"/jobs/{job}/events", "/events")]
            await asyncio.sleep(0.2)
            world.services.watcher.close()
            answers = await asyncio.wait_for(asyncio.gather(*streams), 10)
            return [event for answer in answers for event in events_of(answer.text)]

    names = [event["event"] for event in asyncio.run(run())]
    assert sorted(names) == ["job", "jobs"]


def test_all_jobs_are_told_of_in_one_stream(app: FastAPI, world: RunWorld) -> None:
    """With what is done of each, and whether jobs can be done at all."""
    job = world.submit(until="recompute")

    async def run() -> Event:
        async with client(app, world.services) as http:
            stream = asyncio.create_task(read(http, "/events"))
            await asyncio.sleep(0.2)
            world.services.watcher.close()
            return events_of((await stream).text)[0]

    event = asyncio.run(run())
    data = json.loads(event["data"])
    assert (event["event"], data["ready"], data["last"]) == ("jobs", False, job)
    assert data["jobs"] == [{"id": job, "kind": "run", "state": "queued", "done": 0, "total": 0}]


@pytest.mark.parametrize("of_a_job", [True, False])
def test_a_state_that_was_received_is_not_sent_again(app: FastAPI, world: RunWorld, of_a_job: bool) -> None:
    """A client that comes back gets heartbeats until something changes, and then the change."""
    job = world.submit(until="recompute")
    url = f"/jobs/{job}/events" if of_a_job else "/events"

    async def run(last: str | None, change: bool = False) -> list[Event]:
        services = replace(world.services, watcher=Watcher(world.services.database))  # one that is not closed
        app.state.services = services
        async with client(app, services) as http:
            stream = asyncio.create_task(read(http, url, last))
            await asyncio.sleep(0.2)
            if change:
                services.jobs.cancel(job)
                await asyncio.sleep(0.5)
            services.watcher.close()
            return events_of((await stream).text)

    [first] = asyncio.run(run(None))
    assert asyncio.run(run(first["id"])) == []
    [changed] = asyncio.run(run(first["id"], change=True))
    assert changed["id"] != first["id"]


def test_silence_is_filled_with_heartbeats(app: FastAPI, world: RunWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments, which no client takes for an event, keep proxies from closing the connection."""
    monkeypatch.setattr(events_module, "HEARTBEAT_S", 0.1)
    job = world.submit(until="recompute")

    async def run() -> str:
        async with client(app, world.services) as http:
            stream = asyncio.create_task(read(http, f"/jobs/{job}/events"))
            await asyncio.sleep(0.5)
            world.services.watcher.close()
            return (await stream).text

    text = asyncio.run(run())
    assert text.count("\n: ping") >= 2
    assert len(events_of(text)) == 1


def test_a_job_that_is_not_there_has_no_events(app: FastAPI, world: RunWorld) -> None:
    """A problem, not an empty stream."""

    async def run() -> httpx.Response:
        async with client(app, world.services) as http:
            return await read(http, "/jobs/none/events")

    answer = asyncio.run(run())
    assert (answer.status_code, answer.json()["code"]) == (404, "job-not-found")
