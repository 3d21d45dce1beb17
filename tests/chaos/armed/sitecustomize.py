"""The test build: an audit hook that writes down each fault point reached, and kills its process at one drawn by lot.

Python imports this file by itself where its folder is on PYTHONPATH; only the chaos harness puts it there. It needs
the standard library alone, for it comes before everything else. In the environment:

    CHAOS_FOLDER   where `events.jsonl` and `kills.jsonl` are written; without it, nothing is armed
    CHAOS_SEED     what lots are drawn with: each process draws its own, by its number
    CHAOS_KILLS    so many kills there may be in all

Or, to prove that `make soak` finds a leak:

    SOAK_LEAK      bytes that the API forgets to free with each job submitted, and a worker with each task done
"""

from __future__ import annotations

import fcntl
import importlib.machinery
import importlib.util
import json
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EVENT = "relogit.fault"
MAX_KILLS_A_TASK = 3
"""The fifth death over one unit fails it, as it should; here every job is to succeed."""

OF_API = ("submit.", "upload.", "delete.", "download.", "set.", "commit.")
OF_WORKER = ("task.", "rows.", "artifact.", "publish.", "verify.", "check.", "commit.")
MORTAL_APPS = 0.2
"""Of the API's processes under the real supervisor."""
COUNTS = (1, 1, 2, 3, 5, 8)
"""At which passing of the drawn label a process dies, one of them by lot."""
PATIENCE = (10, 120)
"""Fault points of any kind: when so many, drawn between these, were reached without the drawn one, it is drawn anew
from those that do come by."""


class Armed:
    """One process that may kill itself.

    Args:
        role: `app` or `worker`.
        way: how it was started, for the table.
    """

    def __init__(self, role: str, way: str) -> None:
        folder = Path(os.environ["CHAOS_FOLDER"])
        self._ledger = folder / "kills.jsonl"
        self._kills = int(os.environ["CHAOS_KILLS"])
        self._role, self._way = role, way
        self._mortal = True
        self._events = os.open(folder / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        with _locked(folder / "processes") as numbers:
            self._number = os.fstat(numbers).st_size
            os.write(numbers, b".")
        self._lots = random.Random(f"{os.environ['CHAOS_SEED']}/{self._number}")
        if (role, way) == ("app", "supervised"):
            # It starts in a third of the time that its workers take: else hardly one of them would live to die.
            self._mortal = self._lots.random() < MORTAL_APPS
        self._claims: dict[int, str] = {}
        """What each thread is doing."""
        self._reached: Counter[str] = Counter()
        self._guard = threading.RLock()
        ours = OF_API if role == "app" else OF_WORKER
        labels = [label for label in json.loads(os.environ["CHAOS_LABELS"]) if label.startswith(ours)]
        killed = Counter(kill["label"] for kill in self._past())
        # As often as not, one that has struck least so far: rare ones would hardly ever be met by chance.
        fewest = min(killed[label] for label in labels)
        rare = [label for label in labels if killed[label] == fewest]
        self._aim(self._lots.choice(rare if self._lots.random() < 0.5 else labels))

    def reached(self, label: str, facts: tuple[object, ...]) -> None:
        """Write it down; then perhaps die."""
        with self._guard:
            doing = threading.get_ident()
            if label == "task.claimed":
                self._claims[doing] = " ".join(map(str, facts))
            os.write(self._events, _line([self._number, self._role, label, [_plain(fact) for fact in facts]]))
            self._reached[label] += 1
            self._left[self._label] -= label == self._label
            self._patience -= 1
            if self._left[self._label] <= 0:
                self._strike(label)
            elif self._patience <= 0:
                self._aim(self._lots.choice(sorted(self._reached)), count=1)
            if label == "task.left":
                self._claims.pop(doing, None)

    def _aim(self, label: str, count: int | None = None) -> None:
        self._label = label
        self._left = {label: count or self._lots.choice(COUNTS)}
        self._patience = self._lots.randint(*PATIENCE)

    def _strike(self, label: str) -> None:
        with _locked(self._ledger) as ledger:
            past = self._past()
            struck = Counter(claim for kill in past for claim in kill["claims"])
            claims = sorted(self._claims.values())
            if self._mortal and len(past) < self._kills and all(struck[claim] < MAX_KILLS_A_TASK for claim in claims):
                kill = {"process": self._number, "role": self._role, "way": self._way, "label": label}
                os.write(ledger, _line(kill | {"claims": claims}))
                os.write(self._events, _line([self._number, self._role, "killed", [label]]))
                os.kill(os.getpid(), signal.SIGKILL)
        self._aim(self._lots.choice(sorted(self._reached)))

    def _past(self) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in self._ledger.read_text().splitlines()]
        except FileNotFoundError:
            return []


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _line(content: object) -> bytes:
    return json.dumps(content).encode() + b"\n"  # one write, appended: whole, whoever else writes


def _plain(fact: object) -> object:
    """Arrays of indices as hex digits, four each: what they take otherwise is too much."""
    return fact.astype("<u2").tobytes().hex() if hasattr(fact, "astype") else fact


armed: Armed | None = None


LEAKS_AT = ("submit.recorded", "task.left")
_leaked: list[bytes] = []


def _leak(event: str, arguments: tuple[object, ...]) -> None:
    if event == EVENT and arguments[0] in LEAKS_AT:
        _leaked.append(b"x" * int(os.environ["SOAK_LEAK"]))


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == EVENT and armed is not None:
        label, *facts = arguments
        armed.reached(str(label), tuple(facts))


def arm(role: str, way: str) -> None:
    """From here on, this process may die."""
    global armed
    armed = Armed(role, way)


def _go_on_to_the_next() -> None:
    # Another one of this name may be installed, by a system or a measuring tool: it must not be hidden.
    elsewhere = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


_go_on_to_the_next()
if "CHAOS_FOLDER" in os.environ:
    sys.addaudithook(_hook)
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1] if "-m" in sys.orig_argv else ""
    if module in ("app", "worker"):
        arm(module, "supervised")
if "SOAK_LEAK" in os.environ:
    sys.addaudithook(_leak)
