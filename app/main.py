"""The API's composition root."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry

from app import VERSION
from app.api import problems
from app.api.dependencies import Services
from app.api.foreign_pages import refuse_foreign_pages
from app.api.html import PageFiles
from app.api.metrics import ServiceMetrics
from app.api.middleware import RequestMetrics
from app.api.routes import (
    artifacts,
    catalog_pages,
    comparison_pages,
    comparisons,
    evaluations,
    events,
    experts,
    gatings,
    gc,
    jobs,
    matrix_pages,
    pages,
    rejectors,
    report,
    report_files,
    rows,
    runs,
    splits,
    system,
    uploads,
    verifications,
)
from app.processes.maintenance import Maintenance
from app.processes.shutdown import Stopping
from app.processes.supervisor import Launch, Supervisor
from app.retention.orphans import remove_orphans
from app.retention.retention import tidy
from app.settings import Settings
from app.workflows.runner import Runner, Workflow

log = logging.getLogger(__name__)

RESOURCES = (
    jobs, events, artifacts, report, report_files, verifications, uploads, gatings, rejectors, evaluations,
    comparisons, runs, experts, splits, rows, gc, system, pages, matrix_pages, catalog_pages, comparison_pages,
)  # fmt: skip
"""In the order in which the OpenAPI document shows them."""


def create_app(settings: Settings, launch: Launch = subprocess.Popen) -> FastAPI:
    """Build the API with its routes.

    The server's start opens the job store and starts the workers through `launch`; its end closes them.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = Services.build(settings)
        app.state.services = services
        app.state.registry.register(ServiceMetrics(services))
        if freed := remove_orphans(services.storage):
            log.info("removed %d bytes below %s that no job refers to", freed, settings.outputs_dir)
        supervisor = Supervisor(settings, services.jobs, launch=launch)
        app.state.stopping = Stopping(services.watcher, supervisor)
        tidying = partial(tidy, services.storage)
        async with services.watcher.running():
            maintenance = Maintenance(services.jobs, services.hangs, supervisor.kill, tidying)
            runner = Runner(Workflow(services.workflows), services.workflows)
            with maintenance, supervisor, runner:
                yield
        app.state.hopeless = supervisor.hopeless
        services.database.close()

    app = FastAPI(
        title="relogit",
        version=VERSION,
        summary="Recomputes the logits of trained experts when the data splits change, and verifies every number.",
        lifespan=lifespan,
        docs_url=None,  # pages of ours: FastAPI's load their scripts from another host
        redoc_url=None,
        dependencies=[Depends(refuse_foreign_pages), Depends(problems.refuse_unknown_parameters)],
    )
    app.state.registry = CollectorRegistry()
    app.add_middleware(RequestMetrics, registry=app.state.registry)
    app.state.hopeless = False
    app.state.stopping = None
    problems.install(app)
    app.mount("/static", PageFiles(), name="static")
    for resource in RESOURCES:
        app.include_router(resource.router)
        _answer_head(app, resource.router)
    return app


def _answer_head(app: FastAPI, router: APIRouter) -> None:
    """Answer HEAD wherever the router answers GET (RFC 9110, 9.3.2).

    The same answer is made as for GET, so that its headers are equal; the server leaves the body out.
    """
    for route in router.routes:
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            app.add_api_route(
                route.path,
                route.endpoint,
                methods=["HEAD"],
                include_in_schema=False,
                response_model=route.response_model,
                response_model_exclude_unset=route.response_model_exclude_unset,
            )
