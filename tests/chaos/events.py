"""What the armed processes wrote down: fault points reached, kills, and which rows were computed how often."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.compute.rows import WRITTEN_TOGETHER

LARGEST_BATCH = 128
"""That the user asks for."""
CHUNK = WRITTEN_TOGETHER + LARGEST_BATCH
"""Rows that a kill may cost: those of an unwritten chunk, and the batch that just filled it."""


@dataclass
class Recomputation:
    """Rows computed, and computed again, by jobs that take kept ones. All numbers count rows."""

    computed: int = 0
    distinct: int = 0
    lost: int = 0
    """Computed, and not kept when their process was killed."""
    lost_at_once: int = 0
    """The most of them that one kill cost."""
    again: int = 0
    """Computed again because of a kill."""
    together: int = 0
    """Computed again while another living worker was computing them, in another job: no kill's doing."""
    needless: int = 0
    """Computed again though they were kept when they were looked for: there must be none."""
    without_reuse: int = 0
    """Computed by jobs that asked for everything anew: not part of the other numbers."""

    def faults(self, kills: int) -> list[str]:
        """What is not as promised: at most one chunk a kill."""
        found = []
        if self.needless:
            found.append(f"{self.needless} rows were computed again though they were kept")
        if self.lost_at_once > CHUNK:
            found.append(f"one kill cost {self.lost_at_once} rows; a chunk has {CHUNK} at most")
        if self.again > min(self.lost, kills * CHUNK):
            found.append(f"{self.again} rows were computed again because of {kills} kills, which cost {self.lost}")
        if self.computed != self.distinct + self.again + self.together:
            found.append(f"the rows that were computed do not add up: {self}")
        return found


@dataclass
class Account:
    """Everything that was written down."""

    reached: Counter[str] = field(default_factory=Counter)
    kills: list[dict[str, Any]] = field(default_factory=list)
    rows: Recomputation = field(default_factory=Recomputation)
    computed_for: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """Job, expert and split → rows computed for that unit, by whoever verified its file last."""

    def struck(self, label: str, way: str) -> int:
        """Kills at a label, in processes that were started in that way."""
        return sum(kill["label"] == label and kill["way"] == way for kill in self.kills)


def kills_so_far(folder: Path) -> list[dict[str, Any]]:
    """The kills, in their order."""
    path = folder / "kills.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def read(folder: Path) -> Account:
    """Go through all that was written down, in the order in which it happened.

    An event is written before its place is passed. So a row that is known as kept before another process wrote that
    it is going to look for it was there to be found.
    """
    account = Account(kills=kills_so_far(folder))
    rows = account.rows
    kept: dict[str, NDArray[np.bool_]] = defaultdict(lambda: np.zeros(2**16, np.bool_))
    before: dict[str, NDArray[np.int32]] = defaultdict(lambda: np.full(2**16, -1, np.int32))
    """Which process computed a row last; -1: none."""
    was_there: dict[tuple[int, str], NDArray[np.bool_]] = {}
    """What was kept when a process last looked."""
    unkept: dict[int, set[tuple[str, int]]] = defaultdict(set)
    dead: set[int] = set()
    since: Counter[int] = Counter()
    """Rows that a process has computed since it last took a task or verified a file."""
    verified: dict[int, tuple[str, str, str]] = {}
    with (folder / "events.jsonl").open() as lines:
        for line in lines:
            number, _, label, facts = json.loads(line)
            if label == "killed":
                dead.add(number)
                rows.lost += len(unkept[number])
                rows.lost_at_once = max(rows.lost_at_once, len(unkept[number]))
                account.computed_for.pop(verified.pop(number, ("", "", "")), None)  # perhaps not recorded any more
                continue
            account.reached[label] += 1
            if label == "task.claimed" and facts[1] == "recompute":
                since[number] = 0
            elif label == "artifact.verifying":
                verified[number] = (facts[0], facts[1], facts[2])
                account.computed_for[verified[number]] = since.pop(number, 0)
            if not label.startswith("rows."):
                continue
            key, indices = facts[0], np.frombuffer(bytes.fromhex(facts[1]), "<u2").astype(np.int64)
            if label == "rows.sought":
                was_there[number, key] = kept[key].copy()
                continue
            if label == "rows.kept":
                kept[key][indices] = True
                unkept[number] -= {(key, index) for index in indices.tolist()}
                continue
            since[number] += indices.size
            if not facts[2]:
                rows.without_reuse += indices.size
            else:
                earlier = before[key][indices]
                rows.computed += indices.size
                rows.distinct += int((earlier < 0).sum())
                rows.needless += int(was_there[number, key][indices].sum())
                for process, by_now in zip(earlier.tolist(), kept[key][indices].tolist(), strict=True):
                    # Kept since it was looked for, or in the hands of one that lives: computed at the same time.
                    if process >= 0:
                        lost = process in dead and not by_now
                        rows.again += lost
                        rows.together += not lost
                before[key][indices] = number
                unkept[number] |= {(key, index) for index in indices.tolist()}
    return account
