"""The service's metrics for `GET /metrics`, read from store and disk each time.

Totals (`_total`) come from the job store: restarts and deleted jobs do not lower them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.api.dependencies import Services
from app.domain.job_kinds import JOB_KINDS
from app.domain.jobs import JobState, UnitState
from app.files.disk import tree_size
from app.store.liveness import has_open, living, worker_lock
from app.store.statistics import QueueStatistics, queue_statistics

PHASES = ("load", "decode", "rows", "write", "verify", "publish")
"""Phases of a unit, as `worker.tasks.recompute` names them."""
SIZES_KEPT_S = 60.0
"""How long the size of a folder is kept: it may hold many thousand files."""


class ServiceMetrics(Collector):
    """Jobs, units, rows, workers, disk and memory. Lives as long as the API; safe to use from any thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self._kept_rows, self._artifacts = _FolderSize(settings.rows_dir), _FolderSize(settings.objects_dir)

    def collect(self) -> Iterator[Metric]:
        """Read all metrics."""
        statistics = queue_statistics(self._services.database)
        yield from _work(statistics)
        yield from _totals(statistics)
        yield from self._workers()
        yield from self._disk()

    def _workers(self) -> Iterator[Metric]:
        services, locks_dir = self._services, self._services.settings.locks_dir
        alive = set(living(services.jobs, locks_dir))
        hanging = alive & services.hangs.hanging().keys()
        counts = {"alive": len(alive - hanging), "hanging": len(hanging)}
        yield _gauge("relogit_workers", "Living workers: alive, or hanging.", "state", counts)
        labels, name = ("process", "pid"), "relogit_process_resident_bytes"
        resident = GaugeMetricFamily(name, "Memory of a process.", labels=labels, unit="bytes")
        files = GaugeMetricFamily("relogit_process_open_fds", "Its open file descriptors.", labels=labels)
        local_pids = {  # a worker in another container or on another host has a pid that means nothing here
            worker["pid"]
            for worker in services.jobs.workers()
            if worker["id"] in alive and has_open(worker["pid"], worker_lock(locks_dir, worker["id"]))
        }
        for process, pid in (("api", os.getpid()), *(("worker", pid) for pid in sorted(local_pids))):
            with contextlib.suppress(OSError):  # there is no /proc, or the process has just ended
                memory, open_files = _process(pid)
                resident.add_metric((process, str(pid)), memory)
                files.add_metric((process, str(pid)), open_files)
        yield resident
        yield files

    def _disk(self) -> Iterator[Metric]:
        free = GaugeMetricFamily("relogit_disk_free_bytes", "Free space where results go.", unit="bytes")
        try:
            free.add_metric((), shutil.disk_usage(self._services.settings.outputs_dir).free)
        except OSError:  # /readyz shows why
            return
        yield free
        for name, content, size in (
            ("relogit_kept_rows_bytes", "rows kept for reuse", self._kept_rows),
            ("relogit_artifacts_bytes", "the jobs' own artifacts", self._artifacts),
        ):
            help_text = f"Disk space of {content}; measured once a minute."
            yield GaugeMetricFamily(name, help_text, size.bytes(), unit="bytes")


def _work(statistics: QueueStatistics) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("relogit_jobs", "Jobs on record.", labels=("state", "kind"))
    for kind in JOB_KINDS:
        for state in JobState:
            jobs.add_metric((state, kind), statistics.jobs.get((state, kind), 0))
    yield jobs
    counts = {str(state): statistics.units.get(state, 0) for state in UnitState}
    yield _gauge("relogit_units", "Units of jobs that have not ended.", "state", counts)
    age = 0.0 if statistics.waiting_since is None else max(0.0, time.time() - statistics.waiting_since)
    help_text = "Age of the oldest task that no worker has claimed; 0 when none waits."
    yield GaugeMetricFamily("relogit_queue_age_seconds", help_text, age, unit="seconds")


def _totals(statistics: QueueStatistics) -> Iterator[Metric]:
    def totals(subject: str, values: Iterable[str]) -> dict[str, float]:
        return {value: statistics.totals.get((subject, value), 0.0) for value in values}

    jobs = totals("jobs", (str(state) for state in JobState if state.ended))
    yield _counter("relogit_jobs_ended", "Jobs that have ended.", "state", jobs)
    units = totals("units", (str(state) for state in UnitState if state.ended))
    yield _counter("relogit_units_ended", "Units that have ended.", "state", units)
    rows = totals("rows", ("reused", "computed"))
    yield _counter("relogit_rows", "Rows of the units that succeeded, by where they came from.", "source", rows)
    seconds = totals("seconds", PHASES)
    yield _counter("relogit_phase_seconds", "Seconds of the units that succeeded.", "phase", seconds, "seconds")
    workers = totals("workers", ("ended",))["ended"]
    yield CounterMetricFamily("relogit_workers_ended", "Workers that stopped or died.", workers)


def _counter(name: str, help_text: str, label: str, values: Mapping[str, float], unit: str = "") -> Metric:
    family = CounterMetricFamily(name, help_text, labels=(label,), unit=unit)
    for value, number in values.items():
        family.add_metric((value,), number)
    return family


def _gauge(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family


class _FolderSize:
    """The disk space of a folder, at most `SIZES_KEPT_S` old."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._measured: tuple[float, int] | None = None

    def bytes(self) -> int:
        """Measure the blocks of all files; holes take none."""
        now = time.monotonic()
        if self._measured is None or now - self._measured[0] >= SIZES_KEPT_S:
            self._measured = now, tree_size(self._folder, on_disk=True)
        return self._measured[1]


def _process(pid: int) -> tuple[int, int]:
    """Count a process's resident bytes and open file descriptors.

    Raises:
        OSError: there is no /proc, or no such process.
    """
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
