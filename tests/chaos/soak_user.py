"""Users of a service that is left running: each does one whole thing after another, and checks what came of it."""

from __future__ import annotations

import hashlib
import io
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from relogit import Client
from relogit.download import fetch
from relogit.job import Job
from relogit.work import Work
from tests.chaos.installation import EXPERTS, SIZES, Installation, prefix
from tests.chaos.user import Reference, Wanted

PATIENCE_S = 120.0
"""For a job to end, a worker that hangs in the middle of it included."""
DELETED = 0.7
"""Of the jobs, by their user; the rest garbage collection removes."""
SETS = 4
"""Of splits, that a user makes over and over."""
MOST_FAULTS = 50

Sets = dict[int, dict[str, str]]
"""By the seed that a set of splits is drawn with: sha256 of each list, by its name."""


@dataclass
class Book:
    """What all users together did and found. Safe to use from any thread."""

    counted: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    """Jobs by the state that they ended in."""
    post_s: list[float] = field(default_factory=list)
    """How long each POST of a recompute job took."""
    stopped: list[tuple[float, float, Wanted]] = field(default_factory=list)
    """Jobs that did not write all their files: when they were asked for, and when they ended."""
    faults: list[str] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def count(self, *what: str) -> None:
        with self._guard:
            self.counted.update(what)

    def end(self, wanted: Wanted, state: str, since: float) -> None:
        with self._guard:
            self.ended[state] += 1
            self.counted[wanted.kind] += 1
            if state != "succeeded":
                self.stopped.append((since, time.monotonic(), wanted))

    def fault(self, what: str) -> None:
        with self._guard:
            if len(self.faults) < MOST_FAULTS:
                self.faults.append(what)


class Soaker:
    """One user, in a thread of their own.

    Args:
        number: which; their sets of splits and folders of results are their own.
        installation: what the service works on.
        reference: what its files have to be.
        sets: of splits, what they have to be.
        book: where everything is written down.
    """

    def __init__(self, number: int, installation: Installation, reference: Reference, sets: Sets, book: Book) -> None:
        self._number, self._installation, self._reference = number, installation, reference
        self._sets, self._book = sets, book

    def run(self, url: str, seed: int, stopping: threading.Event) -> None:
        """One thing after another, until told to stop; what was begun is ended."""
        self._lots = random.Random(f"{seed}/{self._number}")
        things: dict[Callable[[], None], int] = {
            self._recompute: 70,
            self._verify: 15,
            self._draw: 10,
            self._look_around: 5,
        }
        with Client(url, timeout=60) as self._client, httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            self._http = http
            while not stopping.is_set():
                [thing] = self._lots.choices(list(things), list(things.values()))
                try:
                    thing()
                except Exception as error:  # noqa: BLE001 — whatever it is, the service is at fault, and goes on
                    self._book.fault(f"{thing.__name__.strip('_')}: {type(error).__name__}: {error}")

    def _recompute(self) -> None:
        lots = self._lots
        request: dict[str, Any] = {
            "dataset": "tiny",
            "checkpoint_prefix": prefix(lots.randrange(self._installation.groups)),
            "experts": lots.sample(EXPERTS, lots.randint(1, len(EXPERTS))),
            "splits": lots.sample([*SIZES, "train"], lots.randint(1, 4)),
            "batch_size": lots.choice([32, 64, 128]),
            "calibration": lots.choice(["none", "checkpoint"]),
            "reuse": lots.random() < 0.8,
            "output_dir": f"of_{self._number}",
        }
        wanted, hurry = Wanted("recompute", 0, request), lots.random()
        limit = lots.uniform(0.02, 1.0) if hurry < 0.1 else None
        since = time.monotonic()
        job = self._client.submit(**request, deadline_s=limit)
        self._book.post_s.append(time.monotonic() - since)
        if limit is not None:
            self._book.count("deadlines")
        elif hurry < 0.25:
            time.sleep(lots.uniform(0, 0.5))
            self._cancel(wanted, job)
        elif hurry < 0.35:
            self._lose_patience(job)
        state = self._end(wanted, job, since)
        self._check_files(wanted, job, whole=state == "succeeded")
        if state == "succeeded":
            self._fetch(job)
            if lots.random() < 0.1:
                self._read(job)
        self._leave(job)

    def _verify(self) -> None:
        sent = self._lots.random() < 0.5
        root = self._installation.sent if sent else self._installation.given
        path = self._lots.choice(sorted(path.parent for path in root.rglob("val_logits.npz")))
        request: dict[str, Any] = {"dataset": "tiny"}
        since = time.monotonic()
        job = self._client.verify(path, **request)
        wanted = Wanted("verification", 0, request)
        self._book.count("uploads" if sent else "verifications in place")
        if self._end(wanted, job, since) == "succeeded":
            assert job.data["verdict"] == "passed", f"right files in {path.name}: {job.data['verdict']}"
            if self._lots.random() < 0.1:
                self._read(job)
        self._leave(job)

    def _draw(self) -> None:
        seed = self._lots.choice(list(self._sets))
        wanted = wanted_set(f"set_{self._number}_{self._lots.randrange(SETS)}", seed)
        self._client.create_splits(**wanted)
        self._book.count("splits")
        for split, sha256 in self._sets[seed].items():
            found = self._client.split(wanted["name"], split, dataset="tiny")["sha256"]
            assert found == sha256, f"the list {split} of seed {seed} has the sha256 {found} instead of {sha256}"

    def _look_around(self) -> None:
        for path in ("/jobs", "/rows", "/experts?dataset=tiny&prefix=g000_", "/splits?dataset=tiny", "/healthz"):
            self._http.get(path).raise_for_status()
        self._book.count("looks around")

    def _end(self, wanted: Wanted, job: Work, since: float) -> str:
        """Wait, by requests that are held, until it has ended as it may."""
        job.wait(PATIENCE_S)
        error = job.data["error"] or {}
        late = error.get("code") == "deadline-exceeded" and wanted.kind == "recompute"
        right = job.state == "succeeded" or late or (job.state == "cancelled" and wanted.cancelled)
        if not right:
            why = error or [unit["error"] for unit in job.data.get("units", []) if unit["error"]]
            self._book.fault(f"{wanted.kind} {job.id} {job.state}: {why}")
        self._book.count(*(["deadlines met too late"] if late else []))
        self._book.end(wanted, job.state, since)
        return job.state

    def _cancel(self, wanted: Wanted, job: Job) -> None:
        wanted.cancelled = True
        answer = self._http.post(f"/jobs/{job.id}/cancel")
        assert answer.status_code == 202 or answer.json()["code"] == "job-ended", answer.text
        self._book.count("cancels")

    def _lose_patience(self, job: Job) -> None:
        """Ask to be told of news, and hang up before there are any."""
        try:
            self._http.get(f"/jobs/{job.id}?wait=30", timeout=0.05)
        except httpx.TimeoutException:
            self._book.count("held requests given up")

    def _check_files(self, wanted: Wanted, job: Job, *, whole: bool) -> None:
        listed = {(entry["expert"], entry["split"]): entry["sha256"] for entry in job.artifacts()}
        expected = {unit: self._reference[key] for unit, key in wanted.files().items()}
        right = listed == expected if whole else listed.items() <= expected.items()
        assert right, f"job {job.id} lists {listed} instead of {expected}"

    def _fetch(self, job: Job) -> None:
        """A file whole, in two ranges, or only its beginning; or all of them as an archive."""
        entry = self._lots.choice(job.artifacts())
        way = self._lots.choice(["downloads", "downloads", "downloads by range", "downloads given up", "archives"])
        if way == "downloads":
            fetch(self._client._wire, job.id, entry, io.BytesIO())
        elif way == "downloads by range":
            middle = self._lots.randrange(1, entry["bytes"])
            parts = [self._http.get(entry["href"], headers={"Range": f"bytes={part}"})
                     for part in (f"0-{middle - 1}", f"{middle}-")]  # fmt: skip
            assert [part.status_code for part in parts] == [206, 206], [part.text for part in parts]
            found = hashlib.sha256(b"".join(part.content for part in parts)).hexdigest()
            assert found == entry["sha256"], f"{entry['href']} in two ranges has the sha256 {found}"
        elif way == "downloads given up":
            with self._http.stream("GET", entry["href"]) as answer:
                answer.raise_for_status()
                next(answer.iter_raw(1024))
        else:
            archive = self._http.get(f"/jobs/{job.id}/archive").raise_for_status().content
            assert archive[:2] == b"PK", archive[:100]
        self._book.count(way)

    def _read(self, job: Work) -> None:
        """The report, as a person does: the page, which asks workers for intervals and causes."""
        page = self._http.get(f"/jobs/{job.id}/report").raise_for_status().text
        assert page.rstrip().endswith("</html>"), page[-100:]
        self._book.count("report pages")

    def _leave(self, job: Work) -> None:
        if self._lots.random() < DELETED:
            job.delete()
            self._book.count("deletions")


def wanted_set(name: str, seed: int) -> dict[str, Any]:
    """A request for a set of splits that may be there already."""
    request = {"dataset": "tiny", "imbalance_factor": 10.0, "seed": seed, "expert_share": 0.5, "overwrite": True}
    return {"name": name, **request}
