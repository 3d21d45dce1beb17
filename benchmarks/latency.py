"""The time until a POST is accepted while the worker computes on all cores."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from io import RawIOBase

from benchmarks.installation import EXPERTS, RESNET32, SHARES, Installation
from benchmarks.plan import Plan
from benchmarks.report import Cell, Column, Report, Table, Target, percentile
from benchmarks.service import BenchmarkError, Service, serving

POSTS = 400
EVERY_S = 0.04
BIG_JOBS = 20
"""Jobs that keep the worker busy while the small jobs are sent."""
START_TIMEOUT_S = 60.0
LIMIT_MS = 30.0
BUSY = "while all cores compute"


def run(plan: Plan) -> Report:
    """Send small jobs behind big jobs, and without a worker."""
    installation = Installation.make(plan.folder, RESNET32, plan.images)
    outputs = installation.root / "outputs"
    measured = {}
    with serving(installation, outputs) as service:
        big = [service.submit(tuple(SHARES), reuse=False) for _ in range(BIG_JOBS)]
        _wait_until_computing(service, big[0].id)
        plan.say(f"{POSTS} jobs sent while the worker computes")
        measured[BUSY] = _at_pace(partial(_post, service))
        if big[-1].refresh().ended:
            raise BenchmarkError("The worker had computed everything before the last POST; the figures say nothing.")
    # Without a worker the queued jobs stay queued, so that nothing has to be cancelled and nothing is computed.
    with serving(installation, outputs, workers=0) as service:
        plan.say(f"{POSTS} jobs sent while nothing is computed")
        measured["without a worker"] = _at_pace(partial(_post, service))
    plan.say("the disk alone")
    with (installation.root / "log").open("wb", buffering=0) as stream:
        measured["only a write that lasts"] = _at_pace(partial(_write, stream))
    columns = (Column("POST accepted after, ms"), *(Column(name, ".1f") for name in ("median", "p99", "slowest")))
    table_rows: list[tuple[Cell, ...]] = [(name, *_figures(times)) for name, times in measured.items()]
    title = f"{POSTS} jobs, one every {EVERY_S * 1e3:.0f} ms"
    p99 = percentile(measured[BUSY], 99)
    target = Target(
        "POST accepted while all cores compute, p99", p99, LIMIT_MS, at_least=False, form=".1f", unit=" ms"
    )
    notes = (
        "A job is on disk before it is accepted. The last row is one write of 4 KiB with fsync, which every POST "
        "includes.",
    )
    return Report("latency", (Table(title, columns, tuple(table_rows)),), (target,), notes)


def _at_pace(action: Callable[[], object]) -> list[float]:
    """Run the action at a steady pace; return its times in milliseconds."""
    times = []
    due = time.perf_counter()
    for _ in range(POSTS):
        time.sleep(max(0.0, due - time.perf_counter()))
        started = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - started))
        due += EVERY_S
    return times


def _post(service: Service) -> None:
    service.submit(["val"], reuse=True, experts=EXPERTS[:1])


def _write(stream: RawIOBase) -> None:
    stream.write(bytes(4096))
    os.fsync(stream.fileno())


def _figures(times: Sequence[float]) -> tuple[float, ...]:
    return percentile(times, 50), percentile(times, 99), max(times)


def _wait_until_computing(service: Service, job_id: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not any(unit["done"] for unit in service.client.job(job_id).data["units"]):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"The worker had computed nothing after {START_TIMEOUT_S:.0f} s.")
        time.sleep(0.1)
