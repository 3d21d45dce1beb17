"""Health and metrics: whether the API lives, whether jobs can be done, and what Prometheus reads."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, Field

from app import VERSION
from app.api.dependencies import ServicesDep
from app.api.readiness import Readiness, check_readiness

router = APIRouter(tags=["system"])


class Health(BaseModel):
    """The API lives."""

    status: Literal["ok"]
    version: str
    instance: str = Field(description="`<token>:<inode>` of the file that marks the outputs directory.")


@router.get("/healthz")
def healthz(services: ServicesDep) -> Health:
    """Tell that the API lives, for load balancers.

    It says nothing about workers; `GET /readyz` does. `instance` is `<token>:<inode>` of the file
    `.relogit/instance` in the outputs directory: a client that finds that file, with that token and inode, above a
    folder sees the server's own outputs and not a copy of them.
    """
    return Health(status="ok", version=VERSION, instance=services.instance)


@router.get("/readyz", response_model_exclude_unset=True, responses={503: {"model": Readiness}})
def readyz(services: ServicesDep, response: Response) -> Readiness:
    """Tell whether a job sent now would be done: 200, or 503.

    A worker has to live and none to hang, the store to be writable, the disk not nearly full, and the experts that
    workers load at their start to be loaded. `checks` says which of it is not so.
    """
    readiness = check_readiness(services)
    response.status_code = 200 if readiness.ready else 503
    return readiness


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
