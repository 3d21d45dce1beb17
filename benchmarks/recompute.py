"""The main job, three ResNet-32 experts over 10,000 images, compared with every other way to compute it."""

from __future__ import annotations

from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.installation import EXPERTS, RESNET32, SHARES, Installation
from benchmarks.machine import Peak, measure_peak
from benchmarks.macs import count_macs
from benchmarks.outcome import FIRST_SHARE, PREPARE
from benchmarks.plan import Plan
from benchmarks.report import Cell, Column, Report, Table, Target, speed_ratio
from benchmarks.service import BenchmarkError, rows, serving
from benchmarks.ways import BARE, OLD, ONNX_RUNTIME, WAYS, run_way
from relogit import Job

COLD = {engine: f"{engine}: service, cold" for engine in BARE}
RESIDENT = {engine: f"{engine}: service, experts resident" for engine in BARE}
SPLITS = tuple(SHARES)

AGAINST_BARE, AGAINST_BARE_RESIDENT = 0.9, 0.95
AGAINST_OLD, AGAINST_OLD_FASTEST = 1.8, 2.3
ATOL, RTOL = 1e-3, 1e-5
"""Largest difference of float32 logits; a larger one means that two ways compute different things."""


class Measured:
    """Measurements of all rounds, by the rows of the table."""

    def __init__(self) -> None:
        self.total: dict[str, list[float]] = {}
        self.prepare: dict[str, list[float]] = {}
        self.loop: dict[str, list[float]] = {}
        self.warm_loop: dict[str, list[float]] = {}
        self.apart: dict[str, float] = {}
        """Row → the largest difference of a logit from the old script's."""
        self.peaks: list[Peak] = []
        self._old: NDArray[np.float32] | None = None

    def add(self, row: str, total_s: float, logits: NDArray[np.float32]) -> None:
        """Record a measurement; the first has to be the old script's.

        Raises:
            BenchmarkError: the logits are not the old script's.
        """
        self._old = logits if self._old is None else self._old
        if not np.allclose(logits, self._old, atol=ATOL, rtol=RTOL):
            raise BenchmarkError(f"{row}: its logits are not those of the old script, so its time means nothing.")
        self.apart[row] = float(np.abs(logits - self._old).max())
        self.total.setdefault(row, []).append(total_s)

    def add_way(self, row: str, installation: Installation) -> None:
        """Run a way without the service, and record it."""
        outcome = run_way(row, installation)
        self.add(row, outcome.total_s, np.stack(outcome.logits))
        self.prepare.setdefault(row, []).append(outcome.seconds[PREPARE])
        self.loop.setdefault(row, []).append(outcome.loop_s)
        self.warm_loop.setdefault(row, []).append(outcome.warm_loop_s)

    def add_service(self, engine: str, installation: Installation, number: int) -> None:
        """Run a job on a new service, then again with loaded experts."""
        outputs = installation.root / f"outputs-{engine}-{number}"
        with serving(installation, outputs, engine=engine) as service:
            for row, reuse in ((COLD[engine], True), (RESIDENT[engine], False)):
                seconds, job = service.run(SPLITS, reuse=reuse)
                if rows(job, "computed") != rows(job, "total"):
                    raise BenchmarkError(f"{row}: rows were reused where all were to be computed.")
                self.add(row, seconds, _logits(job, installation))


def run(plan: Plan) -> Report:
    """Run every way once in each round, and compare them within rounds."""
    installation = Installation.make(plan.folder, RESNET32, plan.images)
    measured = Measured()
    for number in range(plan.rounds):
        step = f"round {number + 1} of {plan.rounds}:"
        plan.say(f"{step} peak of multiply-adds")
        measured.peaks.append(measure_peak())
        plan.say(f"{step} {OLD}")
        measured.add_way(OLD, installation)
        for engine, bare in BARE.items():
            if WAYS[bare].installed():
                plan.say(f"{step} service with {engine}, cold and with resident experts")
                measured.add_service(engine, installation, number)
                plan.say(f"{step} {bare}")
                measured.add_way(bare, installation)
        if WAYS[ONNX_RUNTIME].installed():
            plan.say(f"{step} {ONNX_RUNTIME}")
            measured.add_way(ONNX_RUNTIME, installation)
    return _report(measured, plan)


def _logits(job: Job, installation: Installation) -> NDArray[np.float32]:
    """Read a job's logits [E, N, C] float32 in the pool's order."""
    experts = []
    for expert in EXPERTS:
        parts = {split: (installation.split(split), job.logits(expert, split).logits) for split in SPLITS}
        indices = np.concatenate([part for part, _ in parts.values()])
        experts.append(np.concatenate([logits for _, logits in parts.values()])[np.argsort(indices)])
    return np.stack(experts)


def _report(measured: Measured, plan: Plan) -> Report:
    forwards = len(EXPERTS) * plan.images
    peak = max(measured.peaks, key=lambda peak: peak.gflops)
    macs = count_macs(RESNET32.spec.build().eval(), RESNET32.size)
    floor_s = 2 * macs * forwards / peak.gflops / 1e9
    names = [OLD, *(name for engine in BARE for name in (COLD[engine], RESIDENT[engine], BARE[engine])), ONNX_RUNTIME]
    table_rows: list[tuple[Cell, ...]] = []
    for name in names:
        if name not in measured.total:
            table_rows.append((name, "not installed", *[None] * 6))
            continue
        total = median(measured.total[name])
        prepare, loop = (median(part[name]) if name in part else None for part in (measured.prepare, measured.loop))
        times = speed_ratio(measured.total[OLD], measured.total[name])
        table_rows.append(
            (name, total, prepare, loop, total / forwards * 1e6, times, floor_s / total, measured.apart[name])
        )
    old_s = median(measured.total[OLD])
    table_rows.append(("floor", floor_s, None, None, floor_s / forwards * 1e6,
                       old_s / floor_s, 1.0, None))  # fmt: skip
    columns = (
        Column("way"),
        Column("total, s", ".2f"),
        Column("prepare, s", ".2f"),
        Column("loop, s", ".2f"),
        Column("µs/forward", ".0f"),
        Column("× old", ".2f"),
        Column("of floor", ".0%"),
        Column("off by", ".0e"),
    )
    title = f"{len(EXPERTS)} ResNet-32 experts, {plan.images:,} images, medians of {plan.rounds} rounds"
    notes = (
        "A service's total is from before the POST until the client has seen the job succeeded, every row verified, "
        "written and kept. Prepare is reading, loading, folding or exporting, and compiling. The warm loop lacks the "
        f"first {FIRST_SHARE:.0%} of the images, with which kernels and buffers are made, and is scaled up to all.",
        f"The floor is {macs / 1e6:.2f} million multiply-adds a forward pass at {peak.gflops:.0f} GFLOP/s "
        f"({peak.how}).",
        "× old, and the ratios below, are medians over rounds, each compared within itself. Off by is the largest "
        "difference of a logit to the old script's.",
    )
    return Report("recompute", (Table(title, columns, tuple(table_rows)),), _targets(measured), notes)


def _targets(measured: Measured) -> tuple[Target, ...]:
    total = measured.total
    targets = []
    for engine, bare in BARE.items():
        cold = resident = None
        if bare in total:
            cold = speed_ratio(total[bare], total[COLD[engine]])
            resident = speed_ratio(measured.warm_loop[bare], total[RESIDENT[engine]])
        targets += [
            _target(f"{COLD[engine]}: speed against its bare loop", cold, AGAINST_BARE),
            _target(f"{RESIDENT[engine]}: speed against the warm loop alone", resident, AGAINST_BARE_RESIDENT),
        ]
    times = {engine: speed_ratio(total[OLD], total[COLD[engine]]) for engine in BARE if COLD[engine] in total}
    fastest = max(times, key=lambda engine: times[engine])
    return (
        *targets,
        _target(f"{COLD['torch']}: times the old script", times["torch"], AGAINST_OLD),
        _target(f"{COLD[fastest]}: times the old script, the fastest engine", times[fastest], AGAINST_OLD_FASTEST),
    )


def _target(what: str, value: float | None, limit: float) -> Target:
    return Target(what, value, limit, at_least=True, form=".2f")
