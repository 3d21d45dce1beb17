"""Middleware that counts and times requests by route, and binds their trace to log lines."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.parameters import traceparent_of
from app.logs import bind

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.005, 0.025, 0.1, 0.5, 2.5, 10, 60)
"""Seconds: from answers out of memory to held answers and downloads."""


class RequestMetrics:
    """ASGI middleware that counts requests and measures their durations, in a histogram."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._seconds = Histogram(
            "relogit_http_request_duration_seconds",
            "From a request's arrival to the end of its response.",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 — ASGI's
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        header = Headers(scope=scope).get("traceparent")
        if header is not None and traceparent_of(header) == header:
            bind(traceparent=header)  # never unbound: each request has a task of its own
        status = 500  # the server's answer if the application sends none

        async def pass_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, pass_on)
        finally:
            # Never the path or the method as sent: clients could create any number of labels.
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self._seconds.labels(method, route, f"{status // 100}xx").observe(time.perf_counter() - started)
