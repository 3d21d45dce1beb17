"""One soak: a service as its users start it, users, chores, samples; then the verdict."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.catalog.catalog import Catalog
from tests.chaos import soak_disk
from tests.chaos.campaign import learn
from tests.chaos.installation import build
from tests.chaos.service import ARMED, WORKERS
from tests.chaos.soak_chores import VICTIM, Chores
from tests.chaos.soak_flat import Allowance, Trend, trend
from tests.chaos.soak_samples import API, EVERY_S, Sampler, Samples, metrics
from tests.chaos.soak_user import Book, Soaker, wanted_set
from tests.chaos.verdict import drawn, store
from tests.integration.workspace import Service, running

COUNTED_S = 15.0
"""Within which a death is counted."""

USERS = 3
GROUPS = 4
"""Of three experts each: twelve, that a worker keeps resident all at once."""
SEEDS = (1, 2, 3)
KEEP_S = 15.0
"""Jobs that their users leave behind, at least: they have to be done with them by then."""
HANG_TIMEOUT_S = 10.0
CALM_S = 60.0
"""For what is left to do in the end."""
LOG_MAX_BYTES = 64 * 2**20
"""Of the store's write-ahead log, which is used over from its beginning once it is moved into the file."""

MIB = float(2**20)
COUNTS = ("descriptors", "threads")
ALLOWED = {
    # Of what is measured: so much it varies by from one half-hour to the next, with nothing leaking.
    "memory": Allowance(3 * MIB, 0.01),
    "descriptors": Allowance(6, 0.05),
    "threads": Allowance(4, 0.05),
    "objects": Allowance(1 * MIB, 0.05),
    "kept rows": Allowance(0.5 * MIB, 0.05),
    "uploads": Allowance(2 * MIB, 0.05),  # a few of 0.2 MiB, as many as are among the jobs left
    "views": Allowance(0.5 * MIB, 0.05),
    "split sets": Allowance(0.1 * MIB, 0.01),
    "store": Allowance(0.5 * MIB, 0.05),
    "store in use": Allowance(0.5 * MIB, 0.05),
    "inspections": Allowance(0.1 * MIB, 0.05),
}
LIVED = 0.9
"""Of the time: of processes that lived less long, nothing is said."""

Tell = Callable[[float, str], None]
"""Told the seconds that have passed, and how things stand."""


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    seconds: float
    seed: int
    kill_every_s: float = 60.0
    warming: float = 0.0
    """Bytes, of memory and of disk, that are allowed on top: for runs so short that they are all warm-up."""
    leak: int = 0
    """Bytes that the service is made to leak with each job, to see that this is found."""


@dataclass
class Outcome:
    """What came of it."""

    plan: Plan
    book: Book
    samples: Samples
    kills: int
    judged_s: float = 0.0
    trends: dict[str, Trend] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return not self.faults

    def latency_ms(self) -> dict[str, float]:
        """Of the POST of a recompute job."""
        times = sorted(self.book.post_s) or [0.0]
        return {
            name: 1000 * times[min(len(times) - 1, int(share * len(times)))]
            for name, share in (("median", 0.5), ("p99", 0.99), ("longest", 1.0))
        }

    def jobs(self) -> int:
        return sum(self.book.ended.values())

    def queue_s(self) -> float:
        """The longest that a task has waited."""
        return max((age for _, age in self.samples.series["queue", 0, "age"]), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "held": self.held,
            "faults": self.faults,
            "plan": vars(self.plan),
            "jobs": self.jobs(),
            "ended": self.book.ended,
            "counted": self.book.counted,
            "kills": self.kills,
            "post_ms": self.latency_ms(),
            "longest_wait_in_queue_s": self.queue_s(),
            "samples_not_ready": self.samples.not_ready,
            "every_10_s": {  # in whole bytes, or counts
                " ".join(map(str, key)): [round(value) for _, value in found[::10]]
                for key, found in self.samples.series.items()
            },
            "trends": {
                name: {**vars(found), "an_hour": found.an_hour, "flat": found.flat}
                for name, found in self.trends.items()
            },
        }


def soak(plan: Plan, root: Path, tell: Tell) -> Outcome:
    """Do it all, in an empty folder."""
    tell(0, "making the installation")
    installation = build(root, GROUPS)
    settings = installation.workspace.settings
    sets = _sets(Catalog(settings))
    variables = {"RELOGIT_WORKERS": str(WORKERS), "RELOGIT_HANG_TIMEOUT_S": str(HANG_TIMEOUT_S)}
    if plan.leak:
        variables |= {"PYTHONPATH": str(ARMED), "SOAK_LEAK": str(plan.leak)}
    book = Book()
    with running(installation.workspace, supervised=True, **variables) as service:
        service.wait_ready()
        tell(0, "an undisturbed run")
        reference = learn(service.url, installation)
        before = _metrics(service)
        sampler = Sampler(service.url, service.process.pid, settings)
        chores = Chores(service.url, service.process.pid, KEEP_S, plan.kill_every_s, book)
        users = [Soaker(number, installation, reference, sets, book) for number in range(USERS)]
        with sampler:
            with chores:
                _use(users, service, plan, lambda passed: tell(passed, _standing(book, sampler.samples)))
            tell(plan.seconds, "calm")
            _calm(service, before["relogit_workers_ended_total"] + len(chores.kills))
        outcome = Outcome(plan, book, sampler.samples, len(chores.kills), faults=book.faults)
        outcome.faults += _sums(service, before, outcome)
    tell(plan.seconds, "verdict")
    outcome.faults += _processes(service, outcome)
    outcome.faults += store(settings.store_path, {})
    outcome.faults += soak_disk.left(
        installation, reference, soak_disk.excused(settings, book.stopped, list(chores.kills.values()))
    )
    outcome.faults += _judge(outcome)
    return outcome


def _sets(catalog: Catalog) -> dict[int, dict[str, str]]:
    return {
        seed: {
            name.removesuffix("_indices.json"): hashlib.sha256(content).hexdigest()
            for name, content in drawn(catalog, wanted_set("any", seed)).items()
        }
        for seed in SEEDS
    }


def _use(users: list[Soaker], service: Service, plan: Plan, tell: Callable[[float], None]) -> None:
    stopping = threading.Event()
    threads = [threading.Thread(target=user.run, args=(service.url, plan.seed, stopping)) for user in users]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        while (passed := time.monotonic() - started) < plan.seconds:
            tell(passed)
            time.sleep(min(EVERY_S, plan.seconds - passed))
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def _standing(book: Book, samples: Samples) -> str:
    last = [
        f"{name} {found[-1][1] / MIB:.0f} MiB"
        for (name, _, what), found in list(samples.series.items())
        if what == "memory" and name != VICTIM
    ]
    return ", ".join([f"{sum(book.ended.values())} jobs", *last, f"{len(book.faults)} faults"])


def _calm(service: Service, deaths: float) -> None:
    """Let a worker that hangs be found and replaced, so that there are as many deaths and as many workers."""
    deadline = time.monotonic() + CALM_S
    while time.monotonic() < deadline:
        if _metrics(service)["relogit_workers_ended_total"] >= deaths and _whole(service):
            break
        time.sleep(EVERY_S)


def _whole(service: Service) -> bool:
    checks = service.get("/readyz").json()["checks"]
    return bool(checks["worker"]["ok"]) and len(checks["worker"]["workers"]) == WORKERS


def _metrics(service: Service) -> dict[str, float]:
    with httpx.Client(base_url=service.url, timeout=30, trust_env=False) as http:
        return metrics(http)


def _sums(service: Service, before: dict[str, float], outcome: Outcome) -> Iterator[str]:
    """What the service says of itself is what was seen: no job and no death more or less."""
    # A worker that was killed at the very end is counted when its supervisor finds it dead.
    deadline = time.monotonic() + COUNTED_S
    while (now := _metrics(service))["relogit_workers_ended_total"] - before["relogit_workers_ended_total"] < (
        outcome.kills
    ) and time.monotonic() < deadline:
        time.sleep(0.2)
    for state in ("succeeded", "failed", "cancelled"):
        name = f'relogit_jobs_ended_total{{state="{state}"}}'
        counted, seen = now[name] - before[name], outcome.book.ended[state]
        if counted != seen:
            yield f"{counted:.0f} jobs have {state}, says /metrics; their users saw {seen}"
    died = now["relogit_workers_ended_total"] - before["relogit_workers_ended_total"]
    if died != outcome.kills:
        yield f"{outcome.kills} workers were killed or made to hang, and {died:.0f} ended"
    if now["relogit_queue_age_seconds"]:
        yield "tasks are left in the queue"
    ready = service.get("/readyz")
    if ready.status_code != 200:
        yield f"not ready in the end: {ready.text}"


def _processes(service: Service, outcome: Outcome) -> Iterator[str]:
    """Nobody died but who was killed."""
    if service.process.returncode != 0:
        yield f"the service ended with {service.process.returncode}"
    for name, pids in outcome.samples.seen.items():
        if name != VICTIM and len(pids) != 1:
            yield f"{name} died by itself: it had the pids {sorted(pids)}"
    for trouble in outcome.samples.troubles[:5]:
        yield f"a sample could not be taken: {trouble}"


def _judge(outcome: Outcome) -> Iterator[str]:
    """Lay a line through everything that was measured long enough."""
    plan = outcome.plan
    for (name, _, what), found in sorted(outcome.samples.series.items()):
        times, values = zip(*found, strict=True)
        if what == "store's log" and max(values) > LOG_MAX_BYTES:
            yield f"the store's log took {max(values) / MIB:.0f} MiB"
        if what not in ALLOWED or times[-1] - times[0] < LIVED * plan.seconds:
            continue
        allowed = ALLOWED[what]
        if what not in COUNTS:
            allowed = Allowance(allowed.least + plan.warming, allowed.share)
        try:
            line = trend(times, values, allowed)
        except ValueError as error:
            yield f"{name}, {what}: {error}"
            continue
        outcome.trends[f"{name}, {what}"] = line
        outcome.judged_s = line.seconds
        if not line.flat:
            yield (
                f"{name}, {what}: grows, by {line.growth:,.0f} in {line.seconds:.0f} s, where {line.allowed:,.0f} is "
                f"allowed; {line.an_hour:,.0f} an hour"
            )
    for name in (API, "worker 0"):
        if f"{name}, memory" not in outcome.trends:
            yield f"{name} was not watched for long enough to be judged"
