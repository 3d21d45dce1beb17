"""The short form of `make chaos`, and that every fault point is where it is said to be."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.domain.fault_points import LABELS
from tests.chaos.campaign import Campaign, Plan
from tests.chaos.events import CHUNK, read
from tests.integration.workspace import REPOSITORY

KILLS = 24

Event = tuple[int, str, list[Any]]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_is_lost_however_often_the_service_is_killed(tmp_path: Path) -> None:
    """Workers and API die at labelled places, the last of them under the real supervisor: all that was accepted ends
    as it would have.
    """
    outcome = Campaign(Plan(kills=KILLS, seed=1, seconds=150), tmp_path).run(_silent)
    assert outcome.faults == [], outcome.summary()
    assert {kill["way"] for kill in outcome.account.kills} == {"forked", "supervised"}


def test_every_fault_point_is_in_the_code() -> None:
    """A label that nothing reaches proves nothing, and one that is on no list is never struck."""
    sources = [path.read_text() for room in ("app", "worker") for path in (REPOSITORY / room).rglob("*.py")]
    used = {label for source in sources for label in re.findall(r'\breach\(\s*"([^"]+)"', source)}
    assert used == set(LABELS)
    assert len(LABELS) == len(set(LABELS))


def test_without_the_test_build_nothing_listens(tmp_path: Path) -> None:
    """The same process with the build's folder on its path, but not armed, passes a fault point unharmed."""
    code = "import sys; from app.domain.fault_points import reach; reach('commit.after'); print(len(sys.argv))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY / "tests" / "chaos" / "armed")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def _silent(done: int, doing: str) -> None:
    """Nobody watches."""


def _written(folder: Path, *events: Event) -> list[str]:
    """What the account of these events finds wrong."""
    lines = [json.dumps([number, "worker", label, facts]) for number, label, facts in events]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    return read(folder).rows.faults(kills=sum(label == "killed" for _, label, _ in events))


def _rows(*indices: int) -> str:
    return b"".join(index.to_bytes(2, "little") for index in indices).hex()


def test_rows_that_were_lost_may_be_computed_again(tmp_path: Path) -> None:
    """A worker was killed before it had kept them; another one that lives may be at them as well."""
    lost: list[Event] = [
        (1, "rows.sought", ["k", _rows(7)]),
        (1, "rows.computed", ["k", _rows(7), True]),
        (1, "killed", ["x"]),
    ]
    again: list[Event] = [(2, "rows.sought", ["k", _rows(7)]), (3, "rows.sought", ["k", _rows(7)])]
    both: list[Event] = [(number, "rows.computed", ["k", _rows(7), True]) for number in (2, 3)]
    assert _written(tmp_path, *lost, *again, *both) == []


def test_rows_that_were_kept_may_not(tmp_path: Path) -> None:
    """Whoever looked after they were kept had to find them."""
    kept: list[Event] = [(1, "rows.sought", ["k", _rows(7)]), (1, "rows.computed", ["k", _rows(7), True])]
    kept += [(1, "rows.kept", ["k", _rows(7)]), (1, "killed", ["x"])]
    again: list[Event] = [(2, "rows.sought", ["k", _rows(7)]), (2, "rows.computed", ["k", _rows(7), True])]
    assert any("though they were kept" in fault for fault in _written(tmp_path, *kept, *again))


def test_a_kill_may_cost_one_chunk(tmp_path: Path) -> None:
    """More that had been computed and not kept is a fault."""
    many = _rows(*range(CHUNK + 1))
    events: list[Event] = [
        (1, "rows.sought", ["k", many]),
        (1, "rows.computed", ["k", many, True]),
        (1, "killed", ["x"]),
    ]
    assert any("one kill cost" in fault for fault in _written(tmp_path, *events))
