"""Stopping: answers under way end, a second signal is obeyed at once, downloads go on after a kill."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.integration.slow_jobs import build_short, build_slow, in_the_middle, post, wait_for
from tests.integration.workspace import (
    Service,
    Workspace,
    environment,
    running,
    start,
    wait_until,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return build_slow(tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> Workspace:
    """For what needs no long computation."""
    return build_short(tmp_path)


def _ask_slowly(service: Service, path: str) -> socket.socket:
    """Send a request and read nothing of the answer yet, through a small window."""
    port = int(service.url.rsplit(":", 1)[1])
    asking = socket.socket()
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asking.connect(("127.0.0.1", port))
    asking.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
    return asking


@pytest.mark.slow
def test_answers_under_way_end_before_the_service_does(workspace: Workspace) -> None:
    """A download that has begun is sent whole, a request that is held is answered at once, work is handed back."""
    workspace.save_split("huge", list(range(60)) * 5000)  # an artifact that no socket's buffers swallow
    with running(workspace, RELOGIT_STOP_TIMEOUT_S="120") as service:
        service.wait_ready()
        done = post(service, prefix="best_", experts=["alpha"], splits=["huge"])
        wait_for(service, done)
        [entry] = service.get(f"/jobs/{done}/artifacts").json()["artifacts"]
        job = post(service, experts=["first"], splits=["long"])
        wait_until(lambda: in_the_middle(service, job), 60, service.log.read_text)
        [worker] = service.worker_pids()
        os.kill(worker, signal.SIGSTOP)  # so that nothing changes that a held request would be answered for
        with _ask_slowly(service, entry["href"]) as download, _ask_slowly(service, f"/jobs/{job}?wait=60") as held:
            head = download.recv(4096)
            assert b" 200 OK" in head
            time.sleep(1)
            service.process.send_signal(signal.SIGTERM)
            assert b" 200 OK" in held.recv(4096)
            os.kill(worker, signal.SIGCONT)
            time.sleep(4)  # longer than it takes to stop when nothing is under way
            body = head.split(b"\r\n\r\n", 1)[1]
            while part := download.recv(1 << 20):
                body += part
        assert len(body) == entry["bytes"]
        assert service.process.wait(60) == 0
    with running(workspace) as service:
        service.wait_ready()
        assert wait_for(service, job)["state"] == "succeeded"


@pytest.mark.slow
def test_a_second_signal_stops_at_once(workspace: Workspace) -> None:
    """Even while a download that nobody reads is under way, and with a worker that would never stop by itself."""
    workspace.save_split("huge", list(range(60)) * 5000)
    with running(workspace, RELOGIT_STOP_TIMEOUT_S="300") as service:
        service.wait_ready()
        done = post(service, prefix="best_", experts=["alpha"], splits=["huge"])
        wait_for(service, done)
        [entry] = service.get(f"/jobs/{done}/artifacts").json()["artifacts"]
        [worker] = service.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        with _ask_slowly(service, entry["href"]) as download:
            assert download.recv(100)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            assert service.process.poll() is None
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(10) == 128 + signal.SIGTERM
        wait_until(lambda: not Path(f"/proc/{worker}").exists() or _is_zombie(worker), 10)


def test_a_request_that_hangs_keeps_nobody_from_stopping(small: Workspace) -> None:
    """A file that nobody serves, as on a network disk that is gone: its thread is left behind."""
    os.mkfifo(small.splits / "stuck_indices.json")
    with running(small, RELOGIT_STOP_TIMEOUT_S="1") as service:
        service.wait_ready()
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{service.url}/jobs", json={"dataset": "tiny", "splits": ["stuck"]}, timeout=2)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0


def test_a_signal_that_comes_early_is_obeyed(small: Workspace) -> None:
    """As soon as the port is open somebody may think better of it."""
    with running(small) as service:
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
    log = small.root / "early.log"
    with log.open("wb") as stream:
        process = start("app", environment(small, RELOGIT_PORT="0"), stream.fileno())
    try:
        wait_until(lambda: "listening on" in log.read_text(), 60, log.read_text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, 1)
    finally:
        process.kill()
        process.wait()


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_a_download_goes_on_after_the_service_was_killed(small: Workspace) -> None:
    """Half of a file, then SIGKILL and a restart: the rest comes by its range, and the whole has the right sha256."""
    with running(small) as service:
        service.wait_ready()
        job = post(service, prefix="best_", experts=["alpha"], splits=["test"])
        wait_for(service, job)
        [entry] = service.get(f"/jobs/{job}/artifacts").json()["artifacts"]
        whole = service.get(entry["href"])
        half = whole.content[: entry["bytes"] // 2]
        service.process.kill()
        service.process.wait()
    with running(small) as service:
        conditions = {"Range": f"bytes={len(half)}-", "If-Range": whole.headers["ETag"]}
        rest = httpx.get(service.url + entry["href"], headers=conditions)
        assert (rest.status_code, half + rest.content) == (206, whole.content)
