"""Combining, rejecting and evaluating: the workflow from existing logits, and its memory for many rows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from benchmarks.combine_steps import StepTime, time_steps
from benchmarks.installation import EXPERTS, Installation
from benchmarks.plan import Plan
from benchmarks.report import Cell, Column, Report, Table, Target
from benchmarks.service import JOB_TIMEOUT_S, BenchmarkError, Service, peak_memory_bytes, serving
from benchmarks.synthetic_logits import FOLDER, Sizes, make_installation
from relogit import Evaluation, Gating, Rejector

MIB = 2**20
CLASSES, MANY_CLASSES = 100, 1000
LIMIT_S = 30.0
VERIFY, GATING, ARGSE, EVALUATE = (
    "relogit verify, nine files",
    "relogit gating --mode selective",
    "relogit argse",
    "relogit evaluate",
)


def run(plan: Plan) -> Report:
    """Time the workflow through HTTP and its bare functions; then with many rows and classes."""
    tenth = plan.images // 10
    sizes = Sizes({"tunev": tenth, "val": tenth, "test": plan.images - 2 * tenth}, CLASSES)
    installation = make_installation(plan.folder / "usual", sizes)
    over_http, bare = [], []
    for number in range(plan.rounds):
        turn = f"round {number + 1} of {plan.rounds}"
        plan.say(f"{turn}, through the service")
        with _serving(installation) as service:
            over_http.append(_workflow(service))
        plan.say(f"{turn}, bare functions")
        bare.append(time_steps(installation, sizes))
    shutil.rmtree(installation.root)
    whole_s = median(sum(seconds.values()) for seconds in over_http)
    tables = (_service_table(sizes, over_http), _bare_table(bare), _growth_table(plan))
    target = Target("the whole workflow through HTTP", whole_s, LIMIT_S, at_least=False, form=".1f", unit=" s")
    evaluate_s = median(seconds[EVALUATE] for seconds in over_http)
    notes = (
        "Each round has a new service, whose gating imports PyTorch for the network. "
        f"The evaluation takes {evaluate_s / whole_s:.0%} of the whole: each method and each resample touches every "
        "test row. Its time is proportional to methods x resamples x test rows, on one core.",
    )
    return Report("combine", tables, (target,), notes)


@contextmanager
def _serving(installation: Installation) -> Iterator[Service]:
    outputs = installation.root / "outputs"
    with serving(installation, outputs) as service:
        yield service
    shutil.rmtree(outputs / ".relogit")


def _workflow(service: Service) -> dict[str, float]:
    """Verify the logits and go through all steps; return the seconds of each."""
    seconds: dict[str, float] = {}
    client = service.client
    with _clock(seconds, VERIFY):
        verification = client.verify(service.outputs / FOLDER, dataset="bench").wait(JOB_TIMEOUT_S)
    if verification.verdict != "passed":
        raise BenchmarkError(f"The verification of the logits {verification.verdict}.")
    with _clock(seconds, GATING):
        gating = _succeeded(client.gating(logits=verification.id, mode="selective"))
    with _clock(seconds, ARGSE):
        rejector = _succeeded(client.rejector(gating=gating.id, objective="worst"))
    with _clock(seconds, EVALUATE):
        _succeeded(client.evaluate(rejectors=[rejector.id]))
    return seconds


def _succeeded(work: Gating | Rejector | Evaluation) -> Gating | Rejector | Evaluation:
    work.wait(JOB_TIMEOUT_S)
    if work.state != "succeeded":
        raise BenchmarkError(f"{work.kind} {work.id} {work.state}: {work.data['error']}")
    return work


def _service_table(sizes: Sizes, rounds: Sequence[dict[str, float]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, median(seconds[name] for seconds in rounds)) for name in (VERIFY, GATING, ARGSE, EVALUATE)
    ]
    rows.append(("the whole workflow", median(sum(seconds.values()) for seconds in rounds)))
    parts = " + ".join(f"{count:,}" for count in sizes.rows.values())
    title = f"{len(EXPERTS)} experts, {parts} rows of {sizes.classes} classes, through HTTP"
    return Table(title, (Column("from the POST until the result"), Column("s", ".2f")), tuple(rows))


def _bare_table(rounds: Sequence[dict[str, StepTime]]) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, median(steps[name].wall_s for steps in rounds), median(steps[name].cpu_s for steps in rounds))
        for name in rounds[0]
    )
    columns = (Column("step"), Column("s", ".2f"), Column("CPU s", ".2f"))
    return Table("The functions behind them, in one process", columns, rows)


def _growth_table(plan: Plan) -> Table:
    """Go through the workflow with half and all of many test rows, each size with a service of its own."""
    rows: list[tuple[Cell, ...]] = []
    fitted = plan.images // 2
    for test in (plan.images * 5 // 2, plan.images * 5):
        sizes = Sizes({"tunev": fitted, "val": fitted, "test": test}, MANY_CLASSES)
        plan.say(f"{test:,} test rows of {MANY_CLASSES:,} classes")
        installation = make_installation(plan.folder / str(test), sizes)
        with serving(installation, installation.root / "outputs") as service:
            pid = service.worker_pid()
            idle = peak_memory_bytes(pid) / MIB
            seconds = _workflow(service)
            peak = peak_memory_bytes(pid) / MIB
        shutil.rmtree(installation.root)
        logits = sizes.logit_bytes / MIB
        rows.append((f"{test:,}", logits, *seconds.values(), idle, peak, (peak - idle) / logits))
    columns = (
        Column("test rows"),
        Column("logits, MiB", ".0f"),
        *(Column(f"{name}, s", ".1f") for name in ("verify", "gating", "argse", "evaluate")),
        Column("worker idle, MiB", ".0f"),
        Column("its peak, MiB", ".0f"),
        Column("grew by x logits", ".2f"),
    )
    title = f"{len(EXPERTS)} experts, {MANY_CLASSES:,} classes, {fitted:,} rows each to fit and to validate"
    return Table(title, columns, tuple(rows))


@contextmanager
def _clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started
