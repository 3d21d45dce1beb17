"""How long a POST takes to be accepted while the worker computes on all cores."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.installation import EXPERTS, RESNET32, SHARES, Installation
from benchmarks.plan import Plan
from benchmarks.report import Cell, Column, Report, Table, Target, percentile
from benchmarks.service import BenchmarkError, Service, serving

POSTS = 400
EVERY_S = 0.04
BIG_JOBS = 20
"""Computed one after another, as long as the small ones are sent."""
START_TIMEOUT_S = 60.0
LIMIT_MS = 30.0


def run(plan: Plan) -> Report:
    """Small jobs at a steady pace behind a queue of big ones; and the same to a service that computes nothing."""
    installation = Installation.make(plan.folder, RESNET32, plan.images)
    outputs = installation.root / "outputs"
    measured = {}
    with serving(installation, outputs) as service:
        big = [service.submit(tuple(SHARES), reuse=False) for _ in range(BIG_JOBS)]
        _wait_until_computing(service, big[0].id)
        plan.say(f"{POSTS} jobs sent while the worker computes")
        measured["while all cores compute"] = _post(service)
        if big[-1].refresh().ended:
            raise BenchmarkError("The worker had computed everything before the last POST; the figures say nothing.")
    # What is still queued stays so without a worker: nothing has to be cancelled, and nothing is computed.
    with serving(installation, outputs, workers=0) as service:
        plan.say(f"{POSTS} jobs sent while nothing is computed")
        measured["without a worker"] = _post(service)
    columns = (Column("POST accepted after, ms"), *(Column(name, ".1f") for name in ("median", "p99", "slowest")))
    table_rows: list[tuple[Cell, ...]] = [(name, *_figures(times)) for name, times in measured.items()]
    title = f"{POSTS} jobs, one every {EVERY_S * 1e3:.0f} ms"
    p99 = percentile(measured["while all cores compute"], 99)
    target = Target(
        "POST accepted while all cores compute, p99", p99, LIMIT_MS, at_least=False, form=".1f", unit=" ms"
    )
    return Report("latency", (Table(title, columns, tuple(table_rows)),), (target,))


def _post(service: Service) -> list[float]:
    """Milliseconds from before each POST until the client has its answer."""
    took = []
    due = time.perf_counter()
    for _ in range(POSTS):
        time.sleep(max(0.0, due - time.perf_counter()))
        started = time.perf_counter()
        service.submit(["val"], reuse=True, experts=EXPERTS[:1])
        took.append(1e3 * (time.perf_counter() - started))
        due += EVERY_S
    return took


def _figures(times: Sequence[float]) -> tuple[float, ...]:
    return percentile(times, 50), percentile(times, 99), max(times)


def _wait_until_computing(service: Service, job_id: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not any(unit["done"] for unit in service.client.job(job_id).data["units"]):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"The worker had computed nothing after {START_TIMEOUT_S:.0f} s.")
        time.sleep(0.1)
