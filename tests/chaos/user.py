"""Somebody who uses the service while it dies under them: submits, cancels, downloads, deletes, and tries again only
where a person would, after finding out what became of a request that nobody answered.
"""

from __future__ import annotations

import io
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from relogit import Client
from relogit.download import fetch
from relogit.errors import Problem, ServerUnreachable
from relogit.wire import Wire
from tests.chaos.installation import EXPERTS, SIZES, Installation, prefix

AT_ONCE = 6
"""Jobs that have not ended."""
PAUSE_S = 0.01
LOOK_EVERY_S = 0.1
BACK_S = 120.0
"""So long the service may take to come back."""
CANCELLED, CANCEL_WITHIN_S = 0.12, 3.0
"""So many of the jobs, so soon."""
CREATING = 0.15
"""Of the requests, those that create a set of splits."""
SHARED_SET = "shared"
FIRST_TAG = 1000

T = TypeVar("T")
Reference = dict[tuple[str, str, str], str]
"""Checkpoint, split and calibration → sha256 of the file that an undisturbed run wrote."""


@dataclass
class Wanted:
    """A job that was accepted, and what its user did with it."""

    kind: str
    tag: int
    """A number that no other job has, somewhere in its request: so that it can be found again."""
    request: dict[str, Any]
    id: str = ""
    cancel_at: float | None = None
    """When its user will have thought better of it."""
    cancelled: bool = False
    """Whether that was asked for; the job may have ended before."""
    state: str = "queued"
    error: Any = None

    def files(self) -> dict[tuple[str, str], tuple[str, str, str]]:
        """What a recompute job has to write: by expert and split, its key in the reference."""
        return {
            (expert, split): (self.request["checkpoint_prefix"] + expert, split, self.request["calibration"])
            for expert in self.request["experts"]
            for split in self.request["splits"]
        }


@dataclass
class User:
    """One of them.

    Args:
        url: of the service.
        installation: what it works on.
        reference: what its files have to be.
        lots: what decides what is done next.
    """

    url: str
    installation: Installation
    reference: Reference
    lots: random.Random
    accepted: list[Wanted] = field(default_factory=list)
    """In the order of their submission; those that were deleted are not among them."""
    deleted: list[Wanted] = field(default_factory=list)
    sets: list[dict[str, Any]] = field(default_factory=list)
    """Requests for sets of splits that were created."""
    counted: Counter[str] = field(default_factory=Counter)
    _tag: int = FIRST_TAG
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self.client = Client(self.url)
        self.wire = Wire(self.url, transport=None, timeout_s=30.0)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        self.wire.close()

    @property
    def open(self) -> list[Wanted]:
        return [job for job in self.accepted if job.state not in ("succeeded", "failed", "cancelled")]

    def step(self, progress: float) -> None:
        """Do one thing.

        Args:
            progress: 0 to 1, of the whole; later groups of experts come later.
        """
        open_jobs = self.open
        if len(open_jobs) < AT_ONCE:
            if self.lots.random() < CREATING:
                self._create_splits()
            else:
                self._submit(progress)
        done = [job for job in self.accepted[-40:] if job.state == "succeeded"]
        ended = [job for job in self.accepted[-40:] if job.state in ("succeeded", "cancelled")]
        lot = self.lots.random()
        for job in open_jobs:
            if job.cancel_at is not None and time.monotonic() > job.cancel_at and not job.cancelled:
                self._cancel(job)
        if lot < 0.01 and len(ended) > 5:
            self._delete(self.lots.choice(ended))
        elif lot < 0.05 and (files := [job for job in done if job.kind == "recompute"]):
            self._download(self.lots.choice(files))
        self.look()
        time.sleep(PAUSE_S)

    def look(self) -> None:
        """See which jobs have ended, now and then."""
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        for job in self.open:
            seen = self.surely(lambda job=job: self.wire.get(f"/jobs/{job.id}"))  # type: ignore[misc]
            job.state = seen["state"]
            job.error = seen["error"] or [unit["error"] for unit in seen["units"] if unit["error"]]
        self._looked = time.monotonic()

    def surely(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer: for what changes nothing, or may be done twice."""
        while True:
            try:
                return ask()
            except ServerUnreachable:
                self._wait_until_back()

    def _wait_until_back(self) -> None:
        self.counted["unanswered"] += 1
        deadline = time.monotonic() + BACK_S
        while True:
            try:
                self.wire.get("/healthz")
                return
            except ServerUnreachable:
                assert time.monotonic() < deadline, f"the service did not come back within {BACK_S} s"
                time.sleep(0.02)

    def _submit(self, progress: float) -> None:
        self._tag += 1
        lot = self.lots.random()
        wanted, send = self._recompute(progress) if lot < 0.82 else self._verification()
        while True:
            try:
                wanted.id = send()
                break
            except ServerUnreachable:
                self._wait_until_back()
                found = self.surely(lambda: self.wire.get_list("/jobs", "jobs", params={"limit": 20}))
                mine = [job["id"] for job in found if _tag_of(job["request"]) == wanted.tag]
                assert len(mine) <= 1, f"one request became {len(mine)} jobs"
                if mine:
                    wanted.id = mine[0]
                    self.counted["accepted without an answer"] += 1
                    break
        if self.lots.random() < CANCELLED:
            wanted.cancel_at = time.monotonic() + self.lots.uniform(0, CANCEL_WITHIN_S)
        self.accepted.append(wanted)
        self.counted[wanted.kind] += 1

    def _recompute(self, progress: float) -> tuple[Wanted, Callable[[], str]]:
        group = min(int(progress * self.installation.groups) + self.lots.randint(0, 2), self.installation.groups - 1)
        request: dict[str, Any] = {
            "dataset": "tiny",
            "checkpoint_prefix": prefix(group),
            "experts": self.lots.sample(EXPERTS, self.lots.randint(1, len(EXPERTS))),
            "splits": self.lots.sample([*SIZES, "train"], self.lots.randint(1, 4)),
            "batch_size": self.lots.choice([32, 64, 128]),
            "calibration": self.lots.choice(["none", "none", "checkpoint"]),
            "reuse": self.lots.random() < 0.85,
            "output_dir": self.lots.choice(["one", "two", "three"]),
            "head_threshold": self._tag,
        }
        return Wanted("recompute", self._tag, request), lambda: self.client.submit(**request).id

    def _verification(self) -> tuple[Wanted, Callable[[], str]]:
        path = self.lots.choice([self.installation.given, self.installation.sent])
        request: dict[str, Any] = {"dataset": "tiny", "head_threshold": self._tag}
        wanted = Wanted("verification", self._tag, request)
        return wanted, lambda: self.client.verify(path, **request).id

    def _create_splits(self) -> None:
        """Create a set, or the shared one anew; ask again where the answer was lost."""
        self._tag += 1
        shared = self.lots.random() < 0.3
        name = SHARED_SET if shared else f"set_{self._tag}"
        request: dict[str, Any] = {
            "dataset": "tiny",
            "imbalance_factor": self.lots.choice([2.0, 10.0]),
            "seed": self._tag,
            "expert_share": self.lots.choice([None, 0.5]),
            "overwrite": shared,
        }
        asked_before = False
        while True:
            try:
                self.client.create_splits(name, **request)
                break
            except ServerUnreachable:
                self._wait_until_back()
                asked_before = True
            except Problem as problem:
                if not (asked_before and problem.code == "splits-exist"):
                    raise
                self.counted["accepted without an answer"] += 1
                break
        self.sets.append({"name": name, **request})
        self.counted["splits"] += 1

    def _cancel(self, job: Wanted) -> None:
        job.cancelled = True
        try:
            self.surely(lambda: self.wire.post(f"/jobs/{job.id}/cancel"))
            self.counted["cancels"] += 1
        except Problem as problem:
            if problem.code != "job-ended":
                raise

    def _delete(self, job: Wanted) -> None:
        try:
            self.surely(lambda: self.wire.delete(f"/jobs/{job.id}"))
        except Problem as problem:  # it was, though nobody said so
            if problem.code != "job-not-found":
                raise
        self.accepted.remove(job)
        self.deleted.append(job)
        self.counted["deletions"] += 1

    def _download(self, job: Wanted) -> None:
        self.surely(lambda: self.check_files(job))
        self.counted["downloads"] += 1

    def check_files(self, job: Wanted) -> int:
        """Fetch what a succeeded job wrote and hold it against the reference. Returns how many files that were."""
        listed = self.client.job(job.id).artifacts()
        found = {(entry["expert"], entry["split"]): entry["sha256"] for entry in listed}
        expected = {unit: self.reference[key] for unit, key in job.files().items()}
        assert found == expected, f"job {job.id} lists {found} instead of {expected}"
        for entry in listed:
            fetch(self.wire, job.id, entry, io.BytesIO())
        return len(listed)


def _tag_of(request: dict[str, Any]) -> int:
    return int(request["seed"] if "seed" in request else request["standards"]["head_threshold"])
