"""Forks of the prefork server are to a test what `python -m app` and `python -m worker` are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.workspace import build, environment, fork, wait_until
from tests.prefork import launch


def test_a_fork_ends_with_the_exit_status_of_its_main(tmp_path: Path) -> None:
    """Wrong settings end it with status 2, and its streams and environment are its own."""
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = fork("worker", environment(build(tmp_path), RELOGIT_WORKERS="many"), stream.fileno())
    assert process.wait(30) == 2
    assert process.poll() == 2
    assert "RELOGIT_WORKERS" in log.read_text()
    assert "RELOGIT_WORKERS" not in os.environ


def test_a_killed_fork_ends_with_the_signal(tmp_path: Path) -> None:
    """As of `Popen`: minus the signal's number, a wait that is too short raises, and the pid is gone."""
    with (tmp_path / "log").open("wb") as stream:
        process = fork("worker", environment(build(tmp_path)), stream.fileno())
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    assert not Path(f"/proc/{process.pid}").exists()
    process.kill()  # to no effect


def test_a_supervised_worker_ends_when_its_standard_input_closes(tmp_path: Path) -> None:
    """The pipe reaches the fork, in a process group of its own, and no other process holds the pipe open."""
    variables = environment(build(tmp_path))
    command = [sys.executable, "-m", "worker", "--supervised"]
    with (tmp_path / "log").open("wb") as log:
        output = log.fileno()
        process = launch(command, env=variables, stdin=subprocess.PIPE, stdout=output, stderr=output, process_group=0)
        other = launch(command, env=variables, stdin=subprocess.PIPE, stdout=output, stderr=output)
    assert process.stdin is not None
    assert other.stdin is not None
    wait_until(lambda: (tmp_path / "log").read_text().count("computes on") == 2, 60)
    assert os.getpgid(process.pid) == process.pid != os.getpgid(other.pid)
    process.stdin.close()
    assert process.wait(30) == 0
    assert other.poll() is None
    other.stdin.close()
    assert other.wait(30) == 0
