"""What a running service takes, looked at from outside: memory, descriptors, threads, disk, its queue."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.files.disk import tree_size
from app.settings import Settings

EVERY_S = 1.0
API = "API"
PAGE = os.sysconf("SC_PAGE_SIZE")

Key = tuple[str, int, str]
"""Who or what, its pid (0: the disk), and which of its quantities."""


@dataclass(frozen=True)
class Process:
    """A process of the service at one moment."""

    name: str
    pid: int
    quantities: dict[str, float]


def processes(api: int) -> Iterator[Process]:
    """The API and its workers, as far as they live."""
    for pid, name in {api: API, **workers(api)}.items():
        with contextlib.suppress(OSError):  # it has just ended
            of = Path(f"/proc/{pid}")
            resident = int((of / "statm").read_text().split()[1]) * PAGE
            threads = sum(1 for _ in (of / "task").iterdir())
            files = sum(1 for _ in (of / "fd").iterdir())
            yield Process(name, pid, {"memory": resident, "descriptors": files, "threads": threads})


def workers(api: int) -> dict[int, str]:
    """The workers that a supervisor started, by pid: `worker` and their number."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == api:
                command = (stat.parent / "cmdline").read_bytes().split(b"\0")
                found[int(stat.parent.name)] = f"worker {int(command[command.index(b'--index') + 1])}"
    return found


def disk(settings: Settings) -> dict[str, float]:
    """What lies on the disk, in bytes of blocks, by kind; of the store also what is in use."""
    store = settings.store_path
    views = [path for path in settings.outputs_dir.iterdir() if path != settings.internal_dir]
    sizes = {
        "objects": _on_disk(settings.objects_dir),
        "kept rows": _on_disk(settings.rows_dir),
        "uploads": _on_disk(settings.uploads_dir),
        "views": sum(map(_on_disk, views)),
        "split sets": _on_disk(settings.data_dir),
        "store": _on_disk(store),
        "store's log": _on_disk(store.with_name(store.name + "-wal")),
    }
    return sizes | _inside(store)


def _on_disk(path: Path) -> int:
    return tree_size(path, on_disk=True)


def _inside(store: Path) -> dict[str, float]:
    """Bytes in pages of the store that are not free, and those of the answers to questions that were asked once."""
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5)) as db:
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
        kept = "SELECT coalesce(sum(length(request) + length(coalesce(answer, error, ''))), 0) FROM inspections"
        return {"store in use": (pages - free) * size, "inspections": db.execute(kept).fetchone()[0]}


@dataclass
class Samples:
    """Everything that was measured: by key, when (seconds of the monotonic clock), and what."""

    series: dict[Key, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Every pid that a process of that name has had."""
    not_ready: int = 0
    """Samples in which /readyz did not answer 200."""
    troubles: list[str] = field(default_factory=list)
    """What could not be measured."""


class Sampler:
    """A thread that samples for as long as the block lasts; it scrapes /metrics and /readyz by the way.

    Args:
        url: of the service.
        api: its pid.
        settings: its.
    """

    def __init__(self, url: str, api: int, settings: Settings) -> None:
        self._url, self._api, self._settings = url, api, settings
        self.samples = Samples()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler")

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as http:
            while not self._stop.wait(EVERY_S):
                try:
                    self._look(http)
                except (httpx.HTTPError, sqlite3.Error, OSError) as error:
                    self.samples.troubles.append(f"{type(error).__name__}: {error}")

    def _look(self, http: httpx.Client) -> None:
        series, now = self.samples.series, time.monotonic()
        for process in processes(self._api):
            self.samples.seen[process.name].add(process.pid)
            for what, value in process.quantities.items():
                series[process.name, process.pid, what].append((now, value))
        for what, value in disk(self._settings).items():
            series["disk", 0, what].append((now, value))
        age = metrics(http)["relogit_queue_age_seconds"]
        series["queue", 0, "age"].append((now, age))
        self.samples.not_ready += http.get("/readyz").status_code != 200


def metrics(http: httpx.Client) -> dict[str, float]:
    """What /metrics shows, by name with labels."""
    lines = http.get("/metrics").raise_for_status().text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}
