"""What `GET /metrics` shows of the service: read anew each time, so that it holds after a restart as well.

Sums (`_total`) are those that the job store keeps; they outlive processes and deleted jobs, and end with the store.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.api.dependencies import Services
from app.domain.jobs import JobState, UnitState
from app.domain.requests import REQUESTS
from app.files.disk import tree_size
from app.store.liveness import has_open, living, worker_lock
from app.store.statistics import QueueStatistics, queue_statistics

PHASES = ("load", "decode", "rows", "write", "verify", "publish")
"""What a unit's time goes into, as `worker.tasks.recompute` calls it."""
ROOM_FOR_S = 60.0
"""So long what folders take is not looked at again: there may be many thousand files."""


class ServiceMetrics(Collector):
    """Jobs, units, rows, workers, disk and memory. Lives as long as the API; may be asked by any thread."""

    def __init__(self, used: Services) -> None:
        self._used = used
        settings = used.settings
        self._kept_rows, self._artifacts = _Room(settings.rows_dir), _Room(settings.objects_dir)

    def collect(self) -> Iterator[Metric]:
        """Everything as it stands."""
        census = queue_statistics(self._used.database)
        yield from _work(census)
        yield from _sums(census)
        yield from self._workers()
        yield from self._disk()

    def _workers(self) -> Iterator[Metric]:
        used, locks_dir = self._used, self._used.settings.locks_dir
        alive = set(living(used.jobs, locks_dir))
        hanging = alive & used.hangs.hanging().keys()
        counts = {"alive": len(alive - hanging), "hanging": len(hanging)}
        yield _gauge("relogit_workers", "Workers that live: those that go on, and those that hang.", "state", counts)
        resident = GaugeMetricFamily(
            "relogit_process_resident_bytes", "Memory of a process.", labels=("process", "pid"), unit="bytes"
        )
        files = GaugeMetricFamily("relogit_process_open_fds", "Its open file descriptors.", labels=("process", "pid"))
        here = {
            worker["pid"]
            for worker in used.jobs.workers()
            if worker["id"] in alive and has_open(worker["pid"], worker_lock(locks_dir, worker["id"]))
        }
        for process, pid in (("api", os.getpid()), *(("worker", pid) for pid in sorted(here))):
            with contextlib.suppress(OSError):  # there is no /proc here, or it has just ended
                memory, open_files = _process(pid)
                resident.add_metric((process, str(pid)), memory)
                files.add_metric((process, str(pid)), open_files)
        yield resident
        yield files

    def _disk(self) -> Iterator[Metric]:
        free = GaugeMetricFamily("relogit_disk_free_bytes", "Room left where results go.", unit="bytes")
        try:
            free.add_metric((), shutil.disk_usage(self._used.settings.outputs_dir).free)
        except OSError:  # /readyz says what is the matter with it
            return
        yield free
        for name, what, room in (
            ("relogit_kept_rows_bytes", "rows kept for reuse", self._kept_rows),
            ("relogit_artifacts_bytes", "the jobs' own artifacts", self._artifacts),
        ):
            help_text = f"What {what} take on the disk; looked at once a minute."
            yield GaugeMetricFamily(name, help_text, room.bytes(), unit="bytes")


def _work(census: QueueStatistics) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("relogit_jobs", "Jobs on record.", labels=("state", "kind"))
    for kind in REQUESTS:
        for state in JobState:
            jobs.add_metric((state, kind), census.jobs.get((state, kind), 0))
    yield jobs
    counts = {str(state): census.units.get(state, 0) for state in UnitState}
    yield _gauge("relogit_units", "Units of the jobs that have not ended.", "state", counts)
    age = 0.0 if census.waiting_since is None else max(0.0, time.time() - census.waiting_since)
    help_text = "How long the oldest task has waited that no worker has claimed; 0 when none waits."
    yield GaugeMetricFamily("relogit_queue_age_seconds", help_text, age, unit="seconds")


def _sums(census: QueueStatistics) -> Iterator[Metric]:
    def counter(name: str, help_text: str, of: str, label: str, values: tuple[str, ...], unit: str = "") -> Metric:
        family = CounterMetricFamily(name, help_text, labels=(label,), unit=unit)
        for value in values:
            family.add_metric((value,), census.totals.get((of, value), 0.0))
        return family

    ended = tuple(str(state) for state in JobState if state.ended)
    yield counter("relogit_jobs_ended", "Jobs that have ended.", "jobs", "state", ended)
    ended = tuple(str(state) for state in UnitState if state.ended)
    yield counter("relogit_units_ended", "Units that have ended.", "units", "state", ended)
    help_text = "Rows of the units that succeeded: computed for them, or there already."
    yield counter("relogit_rows", help_text, "rows", "source", ("reused", "computed"))
    help_text = "What the time of the units that succeeded went into."
    yield counter("relogit_phase_seconds", help_text, "seconds", "phase", PHASES, "seconds")
    died = census.totals.get(("workers", "ended"), 0.0)
    yield CounterMetricFamily("relogit_workers_ended", "Workers that stopped or died.", died)


def _gauge(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family


class _Room:
    """What the files below a folder take on the disk, as it was a minute ago at most."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[float, int] | None = None

    def bytes(self) -> int:
        """Blocks, so that holes count for nothing."""
        now = time.monotonic()
        if self._seen is None or now - self._seen[0] >= ROOM_FOR_S:
            self._seen = now, tree_size(self._folder, on_disk=True)
        return self._seen[1]


def _process(pid: int) -> tuple[int, int]:
    """Resident bytes and open file descriptors. OSError where that cannot be known."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
