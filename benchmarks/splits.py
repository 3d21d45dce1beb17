"""Creation of all files of CIFAR-100-LT, in this process and through the service."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from statistics import median

import numpy as np

from app.catalog.split_sets import write_set
from app.domain.requests import SplitsRequest
from app.submission.splits import describe, draw_lists, set_files
from benchmarks.installation import CLASSES, TINY, Installation
from benchmarks.plan import Plan
from benchmarks.report import Cell, Column, Report, Table
from benchmarks.service import serving

REPEATS = 7
TRAIN, TEST = 500, 100
"""Images of each class in CIFAR-100's two bases."""
REQUEST = SplitsRequest(
    dataset="bench",
    name="lt",
    train_base="train",
    test_base="test",
    profile="exponential",
    imbalance_factor=100.0,
    seed=42,
    test_shares=(8, 1, 1),
    expert_share=0.9,
    overwrite=True,
)


def run(plan: Plan) -> Report:
    """Draw and write the splits in this process, then through a service."""
    labels = {"train": np.repeat(np.arange(CLASSES), TRAIN), "test": np.repeat(np.arange(CLASSES), TEST)}
    times: dict[str, list[float]] = {"drawing": [], "describing and writing, until the disk has it": []}
    drawing, writing = times
    for _ in range(REPEATS):
        started = time.perf_counter()
        lists, counts = draw_lists(REQUEST, labels, CLASSES)
        drawn = time.perf_counter()
        write_set(
            plan.folder / "lt", set_files(lists, counts, describe(REQUEST, lists, counts, labels)), overwrite=True
        )
        times[drawing].append(drawn - started)
        times[writing].append(time.perf_counter() - drawn)
    shutil.rmtree(plan.folder / "lt")
    times["through the service, from the POST to its answer"] = _through_http(plan, labels)
    rows: tuple[tuple[Cell, ...], ...] = tuple((name, median(s) * 1e3, max(s) * 1e3) for name, s in times.items())
    columns = (Column("step"), Column("median, ms", ".1f"), Column("slowest, ms", ".1f"))
    title = "CIFAR-100-LT, imbalance 100: six lists, weights, counts, description"
    note = "Most of the time is waiting for the disk, once for each of the nine files and once for their folder."
    return Report("splits", (Table(title, columns, rows),), (), (note,))


def _through_http(plan: Plan, labels: dict[str, np.ndarray]) -> list[float]:
    installation = Installation.make(plan.folder / "service", TINY, TEST)
    declaration = installation.data / "datasets.toml"
    declaration.write_text(declaration.read_text() + '[bench.bases]\ntrain = "train"\n')
    for base, values in labels.items():
        _save(installation.data / "bench" / f"{base}.npz", values)
    seconds = []
    with serving(installation, installation.root / "outputs") as service:
        for _ in range(REPEATS):
            started = time.perf_counter()
            service.client.create_splits("lt", dataset="bench", expert_share=0.9, overwrite=True)
            seconds.append(time.perf_counter() - started)
    return seconds


def _save(path: Path, labels: np.ndarray) -> None:
    np.savez(path, images=np.zeros((labels.size, 8, 8, 3), np.uint8), labels=labels)
