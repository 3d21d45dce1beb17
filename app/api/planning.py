"""Plans of recompute jobs, once workers have inspected what they are about."""

from __future__ import annotations

from anyio.to_thread import run_sync

from app.api.dependencies import Services
from app.api.waiting import await_inspections
from app.domain.numerics import ComputeEnvironment
from app.store.inspection_requests.request import InspectionRequest
from app.store.liveness import compute_environments
from app.submission.bodies import RecomputeBody
from app.submission.planner import Site, inspections_of, make_plan
from app.submission.plans import Plan


async def plan_recompute(services: Services, body: RecomputeBody) -> Plan:
    """Plan a job; files that no worker has inspected yet are inspected first, for ten seconds at most."""

    def site() -> Site:
        return Site(services.catalog, services.inspections, services.rates, services.rows, environments(services))

    def inspections() -> list[InspectionRequest]:
        return inspections_of(site().examine(body), services.catalog, body.weights)

    await await_inspections(services, await run_sync(inspections))
    return await run_sync(lambda: make_plan(body, site()))


def environments(services: Services) -> list[ComputeEnvironment]:
    """Return how the living workers compute."""
    return compute_environments(services.jobs, services.settings.locks_dir)
