"""One campaign: an undisturbed run, the kills, the calm after them, the verdict."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.domain.fault_points import LABELS
from relogit import Client
from tests.chaos import verdict
from tests.chaos.events import Account, kills_so_far, read
from tests.chaos.installation import EXPERTS, SIZES, Installation, build, prefix
from tests.chaos.service import Chaos, Place, forked, free_port, supervised
from tests.chaos.user import Reference, User
from tests.integration.workspace import no_authorities, wait_until

SUPERVISED_SHARE = 20
"""One kill of so many is made under the real supervisor, where each costs seconds of importing PyTorch."""
KILLS_A_GROUP = 10
"""So that there are always rows to compute."""
CALM_S = 120.0
"""For what is left to do after the last kill."""

Tell = Callable[[int, str], None]
"""Told how many kills there were, and what is being done."""


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    kills: int
    seed: int
    seconds: float
    """For the kills, at most."""

    @property
    def supervised(self) -> int:
        return max(2, self.kills // SUPERVISED_SHARE)

    @property
    def groups(self) -> int:
        return max(3, self.kills // KILLS_A_GROUP)


@dataclass
class Outcome:
    """What came of it."""

    plan: Plan
    account: Account
    counted: Counter[str]
    seconds: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return not self.faults

    def summary(self) -> list[str]:
        kills = Counter((kill["role"], kill["way"]) for kill in self.account.kills)
        rows = self.account.rows
        return [
            f"{len(self.account.kills)} kills: "
            + ", ".join(f"{count} of {role} {way}" for (role, way), count in sorted(kills.items())),
            ", ".join(f"{count:,} {what}" for what, count in sorted(self.counted.items())),
            f"rows: {rows.computed:,} computed, {rows.distinct:,} of them distinct, {rows.again:,} again because of "
            f"kills ({rows.lost:,} lost, {rows.lost_at_once} at once at most), {rows.together:,} by two workers at "
            f"the same time; {rows.without_reuse:,} more without reuse",
            ", ".join(f"{what} {seconds:.0f} s" for what, seconds in self.seconds.items()),
            "everything held" if self.held else f"{len(self.faults)} things did not hold",
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "held": self.held,
            "faults": self.faults,
            "plan": asdict(self.plan),
            "seconds": self.seconds,
            "counted": self.counted,
            "rows": asdict(self.account.rows),
            "points": {
                label: {
                    "reached": self.account.reached[label],
                    **{f"killed_{way}": self.account.struck(label, way) for way in ("forked", "supervised")},
                }
                for label in LABELS
            },
        }


class Campaign:
    """One of them, in a folder of its own.

    Args:
        plan: what is to be done.
        root: an empty folder.
    """

    def __init__(self, plan: Plan, root: Path) -> None:
        self._plan, self._root = plan, root
        self._chaos = root / "chaos"
        self._chaos.mkdir()
        self._seconds: dict[str, float] = {}

    def run(self, tell: Tell) -> Outcome:
        """Do it all."""
        tell(0, "making the installation")
        with self._timed("preparing"):
            installation = build(self._root, self._plan.groups)
        tell(0, "an undisturbed run")
        with self._timed("undisturbed"):
            reference = self._undisturbed(installation)
        user = self._user(installation, reference)
        faults: list[str] = []
        with self._timed("kills"):
            try:
                self._kill(user, tell)
            except AssertionError as error:  # a job refused, a service that stays away: the rest still tells why
                faults.append(str(error))
        tell(self._kills(), "calm")
        with self._timed("calm and verdict"), closing(user):
            account = read(self._chaos)
            faults += self._verdict(user, reference, account)
        faults += account.rows.faults(len(account.kills))
        if len(account.kills) < self._plan.kills:
            faults.append(f"only {len(account.kills)} of {self._plan.kills} kills were made")
        return Outcome(self._plan, account, user.counted, self._seconds, faults)

    def _timed(self, what: str) -> AbstractContextManager[None]:
        return _Timed(self._seconds, what)

    def _kills(self) -> int:
        return len(kills_so_far(self._chaos))

    def _undisturbed(self, installation: Installation) -> Reference:
        place = self._place(installation, "undisturbed")
        with forked(place):
            _wait_until_up(place)
            return learn(place.url, installation)

    def _kill(self, user: User, tell: Tell) -> None:
        deadline = time.monotonic() + self._plan.seconds
        first = self._plan.kills - self._plan.supervised
        for kept, limit in ((forked, first), (supervised, self._plan.kills)):
            chaos = Chaos(self._chaos, self._plan.seed, limit)
            with kept(self._place(user.installation, "outputs", user.url), chaos):
                while (done := self._kills()) < limit and time.monotonic() < deadline:
                    tell(done, f"{len(user.accepted) + len(user.deleted)} jobs, {kept.__name__} processes")
                    user.step(done / self._plan.kills)

    def _verdict(self, user: User, reference: Reference, account: Account) -> list[str]:
        settings = user.installation.workspace.settings
        place = self._place(user.installation, "outputs", user.url)
        faults: list[str] = []
        with forked(place):
            _wait_until_up(place)
            deadline = time.monotonic() + CALM_S
            while user.open and time.monotonic() < deadline:
                user.look()
                time.sleep(0.1)
            faults += verdict.jobs(user)
        faults += verdict.store(settings.store_path, account.computed_for)
        verdict.age(settings)
        with forked(place):  # which sweeps when it starts
            _wait_until_up(place)
        faults += verdict.objects(settings, verdict.referred(settings))
        excused = verdict.between_renames(settings, user, account.kills)
        faults += verdict.shown(settings, reference, excused)
        faults += verdict.rows(settings)
        faults += verdict.splits(settings, user)
        faults += verdict.leftovers(settings)
        return faults

    def _user(self, installation: Installation, reference: Reference) -> User:
        url = f"http://127.0.0.1:{free_port()}"
        return User(url, installation, reference, random.Random(self._plan.seed))

    def _place(self, installation: Installation, outputs: str, url: str | None = None) -> Place:
        port = int(url.rpartition(":")[2]) if url else free_port()
        return Place(installation.workspace, port, self._root / f"{outputs}.log", outputs)


def learn(url: str, installation: Installation) -> Reference:
    """Have everything computed once by a service that is left in peace, and lay down files to be verified."""
    reference: Reference = {}
    with Client(url) as client:
        jobs = [
            client.submit(
                dataset="tiny",
                checkpoint_prefix=prefix(group),
                experts=EXPERTS,
                splits=[*SIZES, "train"],
                calibration=calibration,
                output_dir=f"{prefix(group)}{calibration}",
            )
            for group in range(installation.groups)
            for calibration in ("none", "checkpoint")
        ]
        for job in jobs:
            job.wait()
            assert job.state == "succeeded", job.data
            request = job.data["request"]
            for entry in job.artifacts():
                key = (request["checkpoint_prefix"] + entry["expert"], entry["split"], request["calibration"])
                reference[key] = entry["sha256"]
        for folder in (installation.given, installation.sent):
            jobs[0].download(folder)
    return reference


class _Timed:
    def __init__(self, seconds: dict[str, float], what: str) -> None:
        self._seconds, self._what = seconds, what

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._what] = time.monotonic() - self._started


def _wait_until_up(place: Place) -> None:
    def is_up() -> bool:
        try:
            return httpx.get(f"{place.url}/readyz", timeout=5, verify=no_authorities()).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_up, 60, place.log.read_text)
