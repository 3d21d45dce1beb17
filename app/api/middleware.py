"""Requests as they pass: counted and timed by route, and what is logged meanwhile told apart by their trace."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.tracing import traceparent_of
from app.logs import bind

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.005, 0.025, 0.1, 0.5, 2.5, 10, 60)
"""Seconds. From what is read from memory to answers that wait for something, and downloads."""


class RequestMetrics:
    """A layer around the app.

    Args:
        app: what answers.
        registry: where the durations are shown, and with them how many requests there were.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._seconds = Histogram(
            "relogit_http_request_duration_seconds",
            "From a request's arrival to the end of its answer.",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 — ASGI's
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("traceparent")
        if given is not None and traceparent_of(given) == given:
            bind(traceparent=given)  # never undone: each request has a task of its own
        status = 500  # what the layer around this one answers, if nothing is answered here

        async def pass_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, pass_on)
        finally:
            # Never the path or a method as they were sent: whoever asks could make up more labels than fit anywhere.
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self._seconds.labels(method, route, f"{status // 100}xx").observe(time.perf_counter() - started)
