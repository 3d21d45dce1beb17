"""The real service for a benchmark, started and used as a user would."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.installation import EXPERTS, Installation
from benchmarks.machine import REPOSITORY
from relogit import Client, Job, ServerUnreachable

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
JOB_TIMEOUT_S = 900.0
LOG_LINES = 30


class BenchmarkError(Exception):
    """A benchmark could not be run, or its job failed."""


@dataclass(frozen=True)
class Service:
    """A running `python -m app` with one worker."""

    client: Client
    process: subprocess.Popen[bytes]
    outputs: Path

    def worker_pid(self) -> int:
        """Return the id of the worker's process."""
        workers: list[dict[str, Any]] = self.client.ready()["checks"]["worker"]["workers"]
        return int(workers[0]["pid"])

    def submit(self, splits: Sequence[str], *, reuse: bool, experts: Sequence[str] = EXPERTS) -> Job:
        """Queue a job."""
        return self.client.submit(
            dataset="bench", experts=experts, splits=splits, batch_size="auto", reuse=reuse, output_dir="bench"
        )

    def run(self, splits: Sequence[str], *, reuse: bool) -> tuple[float, Job]:
        """Send a job with all experts and wait for it.

        Returns:
            Seconds from before the POST until the client has seen the job succeeded, and the job.

        Raises:
            BenchmarkError: the job did not succeed.
        """
        started = time.perf_counter()
        job = self.submit(splits, reuse=reuse).wait(JOB_TIMEOUT_S)
        seconds = time.perf_counter() - started
        if job.state != "succeeded":
            errors = {str(unit["error"]) for unit in job.data["units"] if unit["error"]}
            raise BenchmarkError(f"A job {job.state}: {' '.join(sorted(errors))}")
        return seconds, job


@contextmanager
def serving(
    installation: Installation, outputs: Path, *, engine: str = "auto", workers: int = 1
) -> Iterator[Service]:
    """Start the service on a free port, and stop it after the block.

    Args:
        installation: its data and checkpoints.
        outputs: its outputs directory; with a new folder it starts without kept rows.
        engine: its engine, as in RELOGIT_ENGINE.
        workers: 1, or 0 for a service that only queues jobs.

    Raises:
        BenchmarkError: the service did not become ready; with the end of its log.
    """
    port = _free_port()
    variables = {name: value for name, value in os.environ.items() if not name.startswith("RELOGIT_")} | {
        "RELOGIT_DATA_DIR": str(installation.data),
        "RELOGIT_CHECKPOINTS_DIR": str(installation.checkpoints),
        "RELOGIT_OUTPUTS_DIR": str(outputs),
        "RELOGIT_HOST": "127.0.0.1",
        "RELOGIT_PORT": str(port),
        "RELOGIT_DEVICE": "cpu",
        "RELOGIT_ENGINE": engine,
        "RELOGIT_WORKERS": str(workers),
    }
    log = installation.root / f"service-{port}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "app"],
            cwd=REPOSITORY,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            process_group=0,  # Ctrl-C reaches only the benchmark, which then stops the service
        )
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            _wait_until(client, "worker" if workers else "store", process, log)
            yield Service(client, process, outputs)
    finally:
        _stop(process)


def rows(job: Job, what: str) -> int:
    """Count the job's rows that were `computed` or `reused`, or all (`total`)."""
    return sum(unit[what] for unit in job.data["units"])


def peak_memory_bytes(pid: int) -> int:
    """Read the peak resident memory of a process.

    Raises:
        BenchmarkError: the system does not report it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError as error:
        raise BenchmarkError(f"The memory of process {pid} cannot be read: {error}.") from error
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024


def disk_bytes(folder: Path) -> int:
    """Sum the bytes on disk of a folder's files; shared blocks count twice."""
    return sum(path.stat().st_blocks for path in folder.rglob("*") if path.is_file()) * 512


def _wait_until(client: Client, part: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a part of the service reports that it is ready."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _is_ready(client, part):
        if process.poll() is not None or time.monotonic() > deadline:
            ended = "ended by itself" if process.poll() is not None else "did not become ready"
            lines = [line for line in log.read_text().splitlines() if "GET /readyz" not in line]
            raise BenchmarkError("\n".join([f"The service {ended}. Its log says:", *lines[-LOG_LINES:]]))
        time.sleep(0.05)


def _is_ready(client: Client, part: str) -> bool:
    try:
        return bool(client.ready()["checks"][part]["ok"])
    except ServerUnreachable:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
