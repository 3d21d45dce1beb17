"""Requests are counted by what they ask for, never by how they are spelt, and bring their trace along."""

from __future__ import annotations

import asyncio
import io
import logging

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from app.api.middleware import RequestMetrics
from app.api.parameters import Traceparent
from app.logs import configure

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NAME = "relogit_http_request_duration_seconds"

log = logging.Logger("tests.app")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def app(registry: CollectorRegistry) -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/things")

    @router.get("/{name}")
    def thing(name: str) -> str:
        log.info("looked at")
        if name == "bug":
            raise RuntimeError(name)
        return name

    @router.post("")
    def make(traceparent: Traceparent) -> str:
        log.info("made")
        return traceparent

    app.include_router(router)
    app.add_middleware(RequestMetrics, registry=registry)
    return app


@pytest.fixture
def written() -> io.StringIO:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    configure(handler, "text")
    log.handlers[:] = [handler]
    return stream


def ask(app: FastAPI, *requests: tuple[str, str], headers: dict[str, str] | None = None) -> list[httpx.Response]:
    """One after the other, each in a task of its own, as a server runs them."""

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [
                await asyncio.create_task(client.request(method, path, headers=headers)) for method, path in requests
            ]

    return asyncio.run(run())


def counts(registry: CollectorRegistry) -> dict[tuple[str, str, str], float]:
    """How many requests, by method, route and status."""
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"{NAME}_count"
    }


def test_requests_are_counted_by_route(app: FastAPI, registry: CollectorRegistry) -> None:
    """By the route's template, the method, and the class of what was answered; a bug is a 5xx."""
    ask(app, ("GET", "/things/a"), ("GET", "/things/b"), ("GET", "/things/bug"), ("DELETE", "/things/a"))
    assert counts(registry) == {
        ("GET", "/things/{name}", "2xx"): 2,
        ("GET", "/things/{name}", "5xx"): 1,
        ("DELETE", "/things/{name}", "4xx"): 1,
    }
    whole = registry.get_sample_value(f"{NAME}_sum", {"method": "GET", "route": "/things/{name}", "status": "2xx"})
    assert whole is not None
    assert 0 < whole < 30


def test_nobody_can_make_up_labels(app: FastAPI, registry: CollectorRegistry) -> None:
    """Whatever paths and methods are tried, they share a few samples."""
    tried = [("GET", f"/made/up/{number}") for number in range(50)]
    tried += [("GET", f"/things/{number}") for number in range(50)]
    tried += [(f"MADE{number}", "/nowhere") for number in range(50)]
    ask(app, *tried)
    assert counts(registry) == {
        ("GET", "unmatched", "4xx"): 50,
        ("GET", "/things/{name}", "2xx"): 50,
        ("other", "unmatched", "4xx"): 50,
    }


def test_a_request_s_trace_is_in_the_log(app: FastAPI, written: io.StringIO) -> None:
    """The one that it names, if that is well formed; what the next one logs has nothing of it."""
    ask(app, ("GET", "/things/a"), headers={"traceparent": TRACE})
    ask(app, ("GET", "/things/a"), headers={"traceparent": TRACE[:-1]})
    ask(app, ("GET", "/things/a"))
    first, *rest = written.getvalue().splitlines()
    assert first.endswith(f"looked at trace={TRACE.split('-')[1]}")
    assert [line.partition("tests.app: ")[2] for line in rest] == ["looked at", "looked at"]


def test_the_trace_of_a_new_job_is_in_the_log(app: FastAPI, written: io.StringIO) -> None:
    """One that the request names, or the one that was made for it."""
    [named] = ask(app, ("POST", "/things"), headers={"traceparent": TRACE})
    [made] = ask(app, ("POST", "/things"))
    assert named.json() == TRACE != made.json()
    traces = [line.partition("made trace=")[2] for line in written.getvalue().splitlines()]
    assert traces == [named.json().split("-")[1], made.json().split("-")[1]]
