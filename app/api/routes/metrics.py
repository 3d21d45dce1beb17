"""What Prometheus asks for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

router = APIRouter(tags=["system"])


# async, though nothing waits here: a plain function would be run in a thread, for each request.
async def _registry(request: Request) -> CollectorRegistry:
    registry: CollectorRegistry = request.app.state.registry
    return registry


@router.get("/metrics", response_class=PlainTextResponse)
def get_metrics(request: Request, registry: Annotated[CollectorRegistry, Depends(_registry)]) -> Response:
    """Jobs, units, rows, seconds by phase, the queue, workers, disk, memory and requests, for Prometheus.

    In its text format, or as OpenMetrics where `Accept` asks for that.
    """
    try:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    except TypeError:  # a version that is none
        encode, content_type = choose_encoder("")
    return Response(encode(registry), media_type=content_type)
