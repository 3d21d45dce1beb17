"""Metrics for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

router = APIRouter(tags=["system"])


# async although it awaits nothing: FastAPI would run a plain function in a thread for each request.
async def _registry(request: Request) -> CollectorRegistry:
    registry: CollectorRegistry = request.app.state.registry
    return registry


@router.get("/metrics", response_class=PlainTextResponse)
def get_metrics(request: Request, registry: Annotated[CollectorRegistry, Depends(_registry)]) -> Response:
    """Show metrics in Prometheus' text format, or as OpenMetrics.

    They cover jobs, units, rows, seconds by phase, the queue, workers, disk, memory and requests. `Accept` chooses
    the format.
    """
    try:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    except TypeError:  # Accept names a malformed version
        encode, content_type = choose_encoder("")
    return Response(encode(registry), media_type=content_type)
