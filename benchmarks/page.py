"""The live page over a full store: time of a view, and what computing loses to a page that watches it."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from statistics import median

import httpx

from benchmarks.installation import CLASSES, EXPERTS, RESNET32, SHARES, Installation
from benchmarks.plan import Plan
from benchmarks.report import Cell, Column, Report, Table, Target, percentile
from benchmarks.service import BenchmarkError, Service, serving
from relogit import Problem

JOBS = 2_000
VIEWS = 20
"""Requests of each page."""
PAIRS = 3
"""Runs of the main job without and with a page that watches."""
LIMIT_MS, LIMIT_LOSS = 100.0, 0.02
LIVE_S, REST_S = 3.0, 5.0
"""At most so often the page asks for its parts again, as its templates say."""
TRAIN_COUNTS = [500 - 5 * label + 1 for label in range(CLASSES)]
TABLES = ("units", "run_steps", "tasks")


def run(plan: Plan) -> Report:
    """Fill the store, look at each page while a job runs, then run the main job with and without a page open."""
    installation = Installation.make(plan.folder, RESNET32, plan.images)
    (installation.data / "splits" / "train_class_counts.json").write_text(json.dumps(TRAIN_COUNTS))
    with serving(installation, installation.root / "outputs") as service:
        plan.say("one job of each kind")
        made = _jobs_of_each_kind(service)
        plan.say(f"{JOBS:,} jobs")
        _fill(service.outputs / ".relogit" / "jobs.sqlite3", list(made.values()))
        plan.say("views while a job runs")
        views = _views(service, made)
        without, watched = _alternate(plan, service)
    ratio = median(watched) / median(without) - 1
    rows: list[tuple[Cell, ...]] = [
        (name, median(times), percentile(times, 95), size / 1024) for name, (times, size) in views.items()
    ]
    columns = (Column("page"), Column("median, ms", ".1f"), Column("p95, ms", ".1f"), Column("KiB", ".0f"))
    runs: list[tuple[Cell, ...]] = [("no page", *_figures(without)), ("a page that watches", *_figures(watched))]
    times = (Column("seconds of the main job"), *(Column(name, ".2f") for name in ("median", "least", "most")))
    slowest = max(median(found) for found, _ in views.values())
    targets = (
        Target("slowest view, median", slowest, LIMIT_MS, at_least=False, form=".1f", unit=" ms"),
        Target("loss of a job that a page watches", ratio, LIMIT_LOSS, at_least=False, form=".1%"),
    )
    notes = (
        "Views are asked for one after the other while a worker computes on all cores. The watching page is an event "
        "stream and the requests that the page's scripts make on its events, as often as they may; a browser's own "
        "work is not in it.",
    )
    tables = (Table(f"{JOBS:,} jobs in the store", columns, tuple(rows)), Table("Main job", times, tuple(runs)))
    return Report("page", tables, targets, notes)


def _jobs_of_each_kind(service: Service) -> dict[str, str]:
    """Run one job of each kind; return their ids."""
    client = service.client
    _, recompute = service.run(tuple(SHARES), reuse=False)
    gating = client.gating(logits=recompute.id, method="uniform").wait()
    rejector = client.rejector(gating=gating.id).wait()
    evaluation = client.evaluate(gatings=[gating.id], rejectors=[rejector.id]).wait()
    comparison = client.compare(recompute.id, splits=["val"]).wait()
    made = {
        "recompute": recompute.id,
        "gating": gating.id,
        "rejector": rejector.id,
        "evaluation": evaluation.id,
        "comparison": comparison.id,
    }
    for kind, job_id in made.items():
        if client.job(job_id).state != "succeeded":
            raise BenchmarkError(f"The job of kind {kind} is {client.job(job_id).state}.")
    return made


def _fill(path: Path, originals: list[str]) -> None:
    """Copy the jobs, with all that belongs to them, until the store holds JOBS."""
    with closing(sqlite3.connect(path, timeout=60)) as db, db:
        db.row_factory = sqlite3.Row
        copied = {job: _rows(db, job) for job in originals}
        [(present,)] = db.execute("SELECT count(*) FROM jobs").fetchall()
        for number in range(JOBS - present):
            for table, rows in copied[originals[number % len(originals)]].items():
                _insert(db, table, rows, number)


def _rows(db: sqlite3.Connection, job: str) -> dict[str, list[dict[str, object]]]:
    found = {"jobs": db.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchall()}
    found |= {table: db.execute(f"SELECT * FROM {table} WHERE job = ?", (job,)).fetchall() for table in TABLES}
    return {table: [dict(row) for row in rows] for table, rows in found.items()}


def _distinct(text: str, number: int) -> str:
    """Append blanks that stand for a number, so that no two texts are equal and none is cached."""
    return text + f"{number:b}".replace("0", " ").replace("1", "\t")


def _insert(db: sqlite3.Connection, table: str, rows: list[dict[str, object]], number: int) -> None:
    for row in rows:
        values = {
            name: _distinct(value, number) if isinstance(value, str) and value.startswith(("{", "[")) else value
            for name, value in row.items()
            if name != "seq"
        }
        values["id" if table == "jobs" else "job"] = uuid.UUID(int=number).hex
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


def _views(service: Service, made: dict[str, str]) -> dict[str, tuple[list[float], int]]:
    """Ask for each page while a job runs; return milliseconds and bytes."""
    busy = [service.submit(tuple(SHARES), reuse=False) for _ in range(6)]
    address = service.client.server
    found = {}
    with httpx.Client(base_url=address, timeout=60) as http:
        cells = "&".join(f"cell={expert}/{split}" for expert in EXPERTS for split in SHARES)
        older = http.get("/jobs?limit=1000").json()["jobs"][-1]["id"]
        pages = {
            "/": "/",
            "/ui/live": "/ui/live",
            "/ui/matrix": "/ui/matrix",
            "/ui/plan, 9 cells": f"/ui/plan?dataset=bench&output_dir=bench&{cells}",
            "/ui/jobs": "/ui/jobs",
            "/ui/jobs, the 1,000th": f"/ui/jobs?before={older}",
            "/ui/comparisons": "/ui/comparisons",
            "/ui/experts": "/ui/experts",
            "/ui/splits": "/ui/splits",
            **{f"/ui/jobs/ID, {kind}": f"/ui/jobs/{job_id}" for kind, job_id in made.items()},
        }
        for name, page in pages.items():
            http.get(page).raise_for_status()  # what a worker has to inspect first is inspected
            times = []
            for _ in range(VIEWS):
                started = time.perf_counter()
                answer = http.get(page).raise_for_status()
                times.append(1e3 * (time.perf_counter() - started))
            found[name] = (times, len(answer.content))
    if service.client.job(busy[-1].id).ended:
        raise BenchmarkError("The jobs had ended before the last view; the figures say nothing.")
    for job in busy:
        with suppress(Problem):  # it has ended meanwhile
            job.cancel()
    for job in busy:
        job.wait()
    return found


def _alternate(plan: Plan, service: Service) -> tuple[list[float], list[float]]:
    """Run the main job without and with a page that watches, in turn; return seconds."""
    without, watched = [], []
    for number in range(PAIRS):
        plan.say(f"main job without a page, {number + 1} of {PAIRS}")
        without.append(service.run(tuple(SHARES), reuse=False)[0])
        plan.say(f"main job with a page, {number + 1} of {PAIRS}")
        with _page_open(service.client.server):
            watched.append(service.run(tuple(SHARES), reuse=False)[0])
    return without, watched


@contextmanager
def _page_open(address: str) -> Iterator[None]:
    """Do what the overview does in a browser for as long as the block lasts."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(_watch, address, stop)
        try:
            yield
        finally:
            stop.set()
    if watching.result() == 0:
        raise BenchmarkError("The page that was to watch got no event; the figures say nothing.")


def _watch(address: str, stop: threading.Event) -> int:
    """Read events and fetch what the page would; return the events."""
    # Two parts of the page ask for /ui/live, each by itself.
    due = {"/ui/live": (0.0, LIVE_S), "/ui/live?": (0.0, REST_S), "/ui/matrix": (0.0, REST_S)}
    count = 0
    with httpx.Client(base_url=address, timeout=60) as http, http.stream("GET", "/events") as events:
        for line in events.iter_lines():
            if stop.is_set():
                break
            now = time.monotonic()
            count += line.startswith("event:")
            for page, (next_s, every_s) in due.items():
                if line.startswith("event:") and now >= next_s:
                    http.get(page).raise_for_status()
                    due[page] = (now + every_s, every_s)
    return count


def _figures(times: list[float]) -> tuple[float, ...]:
    return median(times), min(times), max(times)
