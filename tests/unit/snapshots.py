"""Snapshots: what commands print for people, one file for each command."""

from __future__ import annotations

import difflib
import os
import shlex
from pathlib import Path

import pytest

from tests.unit.command_line import Ran, Relogit
from tests.unit.fake_server import FakeServer

FOLDER = Path(__file__).with_name("snapshots")
UPDATE = "UPDATE_SNAPSHOTS"
NAMES = (
    "argse", "combine_plan", "combined_jobs", "compare", "errors", "evaluate", "experts", "export", "figures",
    "gating", "gc", "jobs", "plan", "recompute", "report", "rows", "run", "run_plan", "splits", "verify",
    "verify_job",
)  # fmt: skip


class Transcript:
    """Several runs of the command line, with their output, as one text."""

    def __init__(self, relogit: Relogit) -> None:
        self._relogit = relogit
        self._parts: list[str] = []

    def run(self, title: str, server: FakeServer, *argv: str) -> Ran:
        """Run a command and add it to the text under a title."""
        ran = self._relogit(server, *argv)
        # typer's own hints differ from version to version.
        lines = [line for line in ran.err.splitlines() if line and not line.startswith(("Usage:", "Try '"))]
        errors = "".join(f"stderr: {line}\n" for line in lines)
        self._parts.append(f"# {title}\n$ {shlex.join(['relogit', *argv])}\n{ran.out}{errors}exit {ran.code}\n")
        return ran

    def check(self, name: str) -> None:
        """Compare the text with the snapshot of that name; replace it if $UPDATE_SNAPSHOTS is set."""
        path = FOLDER / f"{name}.txt"
        lines = [line.rstrip() for line in "\n".join(self._parts).splitlines()]
        if os.environ.get(UPDATE):
            path.write_text("\n".join(lines) + "\n")
            return
        expected = path.read_text().splitlines() if path.exists() else []
        if lines != expected:
            changes = "\n".join(difflib.unified_diff(expected, lines, "snapshot", "now", lineterm=""))
            pytest.fail(f"{path.name} differs. If the new text is right, set {UPDATE}=1.\n{changes}", pytrace=False)
