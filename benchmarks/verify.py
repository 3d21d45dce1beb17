"""Verification of 3 experts x 3 splits: a job's gate, all figures, and the time of each step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from app.catalog.split_lists import Split
from app.domain.standards import Standards
from benchmarks.installation import CLASSES, EXPERTS, RESNET32, SHARES, Installation
from benchmarks.plan import Plan
from benchmarks.report import Cell, Column, Report, Table, Target
from benchmarks.service import BenchmarkError, Service, serving
from worker.datasets.class_counts import LongTail
from worker.outputs.logit_reader import read_stored
from worker.verify.ground_truth import Truth
from worker.verify.metrics.bootstrap import intervals
from worker.verify.metrics.rows import score_rows
from worker.verify.report import scores_of, verify_unit
from worker.verify.summary_metrics import curves, figures, interval_figures

REPEATS = 7
GATING = ("reading, sha256", "softmax of each row", "point metrics", "all other checks")
INTERVAL_ROWS = 8000
INTERVALS_LIMIT_S = 2.0
COUNTS = np.maximum(1, (500 * 100.0 ** (-np.arange(CLASSES) / (CLASSES - 1))).astype(np.int64))
"""Class counts of CIFAR-100-LT at the imbalance 100."""


def run(plan: Plan) -> Report:
    """Verify the main job's files through HTTP, then step by step here."""
    installation = Installation.make(plan.folder, RESNET32, plan.images)
    outputs = installation.root / "outputs"
    with serving(installation, outputs) as service:
        plan.say("computing the logits")
        service.run(tuple(SHARES), reuse=True)
        plan.say("verifying through the service")
        checked, first, again = _through_http(service)
    plan.say("verifying step by step")
    steps = _steps(installation, outputs)
    interval_s = _intervals_s(installation, outputs)
    rows = len(EXPERTS) * plan.images
    columns = (Column("step, one core"), Column("ms", ".1f"), Column("us a row", ".2f"))
    in_process: list[tuple[Cell, ...]] = [(name, s * 1e3, s / rows * 1e6) for name, s in steps.items()]
    over_http: list[tuple[Cell, ...]] = [
        ("checks and point metrics: POST /verifications until its verdict", checked),
        ("intervals and curves, when first asked for", first),
        ("the same, asked for again", again),
    ]
    what = f"{len(EXPERTS)} experts x {len(SHARES)} splits, {rows:,} rows of {CLASSES} classes"
    tables = (
        Table(f"{what}, through the service", (Column("asked for"), Column("s", ".3f")), tuple(over_http)),
        Table(f"{what}, in one process", columns, tuple(in_process)),
    )
    target = Target(
        f"1,000 resamples of {INTERVAL_ROWS:,} rows, all figures", interval_s, INTERVALS_LIMIT_S,
        at_least=False, form=".2f", unit=" s",
    )  # fmt: skip
    longest = max(GATING, key=lambda name: steps[name])
    gate = sum(steps[name] for name in GATING)
    note = f"Of what gates a job ({gate * 1e3:.0f} ms), {longest!r} takes {steps[longest] / gate:.0%}."
    return Report("verify", tables, (target,), (note,))


def _through_http(service: Service) -> tuple[float, float, float]:
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        verification = service.client.verify(service.outputs / "bench", dataset="bench").wait()
        seconds.append(time.perf_counter() - started)
        if verification.verdict != "passed":
            raise BenchmarkError(f"The verification {verification.verdict}.")
    analyses = []
    for _ in range(2):
        started = time.perf_counter()
        verification.analysis("statistics")
        analyses.append(time.perf_counter() - started)
    return median(seconds), analyses[0], analyses[1]


def _steps(installation: Installation, outputs: Path) -> dict[str, float]:
    """Measure the median seconds of each step over all files, GATING first."""
    rounds: list[dict[str, float]] = []
    for _ in range(REPEATS):
        totals = dict.fromkeys((*GATING, "intervals", "curves"), 0.0)
        for split in SHARES:
            truth = _truth(installation, split)
            for expert in EXPERTS:
                path = outputs / "bench" / expert / f"{split}_logits.npz"
                with _clock(totals, "reading, sha256"):
                    arrays = read_stored(path, len(truth.labels), CLASSES).arrays
                with _clock(totals, "softmax of each row"):
                    scores = scores_of(arrays, truth)
                with _clock(totals, "point metrics"):
                    figures(scores, truth)
                with _clock(totals, "all other checks"):
                    verify_unit(arrays, truth)
                with _clock(totals, "intervals"):
                    interval_figures(scores, truth)
                with _clock(totals, "curves"):
                    curves(scores, truth)
        totals["all other checks"] -= totals["softmax of each row"] + totals["point metrics"]  # in it too
        rounds.append(totals)
    return {name: median(totals[name] for totals in rounds) for name in rounds[0]}


def _intervals_s(installation: Installation, outputs: Path) -> float:
    """Measure the seconds of all intervals over INTERVAL_ROWS rows."""
    truth = _truth(installation, "test")
    arrays = read_stored(outputs / "bench" / EXPERTS[0] / "test_logits.npz", len(truth.labels), CLASSES).arrays
    rows = np.resize(np.arange(len(truth.labels)), INTERVAL_ROWS)
    scores = score_rows(arrays["logits"][rows], arrays["predictions"][rows], truth.labels[rows])
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        intervals(scores, CLASSES, truth.groups, truth.usable_weights)
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def _truth(installation: Installation, name: str) -> Truth:
    _, labels = installation.pool()
    split = Split(name, "test", installation.split(name), "")
    return Truth.of(split, labels, CLASSES, LongTail(COUNTS, None, COUNTS / COUNTS.sum(), None), Standards())


@contextmanager
def _clock(totals: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    totals[name] += time.perf_counter() - started
