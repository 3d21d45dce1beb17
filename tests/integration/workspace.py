"""A small installation to run the real service on: data, experts, splits, all made here."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import torch
import uvicorn
from numpy.typing import NDArray

from app.catalog.datasets import Transform
from app.main import create_app
from app.settings import Settings
from tests.prefork import ForkedProcess, launch
from worker.compute.engines.pixels import normalise
from worker.experts.architectures import CifarResNetSpec

Process = subprocess.Popen[bytes] | ForkedProcess

REPOSITORY = Path(__file__).parents[2]
CLASSES = 4
STEP = 30
"""Of brightness, between the images of one class and of the next."""
TRANSFORM = Transform(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
SPEC = CifarResNetSpec((1, 1, 1), (4, 8, 8), CLASSES)

DATASETS = """
[tiny]
kind = "npz"
root = "tiny"
splits = "tiny_splits"
experts = "experts/tiny"
mean = [0.5, 0.4, 0.3]
std = [0.2, 0.25, 0.3]
[tiny.bases]
train = "train"
"""


@dataclass(frozen=True)
class Workspace:
    """Folders below one root, and the settings that point there."""

    root: Path

    @property
    def settings(self) -> Settings:
        return Settings(
            data_dir=self.root / "data",
            checkpoints_dir=self.root / "checkpoints",
            outputs_dir=self.root / "outputs",
            workers=0,
            device="cpu",
            _env_file=None,  # a developer's own .env is none of the tests' business
        )

    @property
    def experts(self) -> Path:
        return self.root / "checkpoints" / "experts" / "tiny"

    @property
    def splits(self) -> Path:
        return self.root / "data" / "tiny_splits"

    def save_images(self, base: str, count: int, size: int = 8) -> None:
        folder = self.root / "data" / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{base}.npz").write_bytes(_npz(count, size))

    def save_split(self, name: str, content: object) -> None:
        self.splits.mkdir(parents=True, exist_ok=True)
        (self.splits / f"{name}_indices.json").write_text(json.dumps(content))

    def save_expert(self, name: str, seed: int, spec: CifarResNetSpec = SPEC) -> None:
        self.experts.mkdir(parents=True, exist_ok=True)
        (self.experts / f"{name}.pth").write_bytes(_checkpoint(seed, spec))

    def images(self, base: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        with np.load(self.root / "data" / "tiny" / f"{base}.npz") as arrays:
            return arrays["images"], arrays["labels"]


@cache
def _npz(count: int, size: int) -> bytes:
    """Make a base's file; once a process, since most tests want the same."""
    labels = np.arange(count) % CLASSES
    file = BytesIO()
    np.savez(file, images=_images_of(labels, size, np.random.default_rng(count)), labels=labels)
    return file.getvalue()


@cache
def _checkpoint(seed: int, spec: CifarResNetSpec) -> bytes:
    """Make a trained expert's file; once a process."""
    torch.manual_seed(seed)
    network = spec.build()
    _teach(network, spec.classes)
    tensors = {f"backbone.{key}": value for key, value in network.state_dict().items()}
    tensors = {key.replace("backbone.fc.", "fc."): value for key, value in tensors.items()}
    tensors["temperature"] = torch.tensor([2.0])
    file = BytesIO()
    torch.save(tensors, file)
    return file.getvalue()


def _images_of(labels: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise, brighter from class to class: what an expert can tell apart."""
    noise = rng.integers(0, 256 - STEP * CLASSES, (len(labels), size, size, 3))
    return (noise + STEP * labels[:, None, None, None]).astype(np.uint8)


def _teach(network: torch.nn.Module, classes: int) -> None:
    """Fit the head to images of every class, by least squares: an untrained expert would rightly be refused."""
    labels = np.arange(64 * CLASSES) % CLASSES
    rng = np.random.default_rng(0)
    head = network.get_submodule("fc")
    assert isinstance(head, torch.nn.Linear)
    features: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda _module, given, _out: features.append(given[0]))
    with torch.no_grad():
        for size in (8, 32):
            network.eval()(normalise(torch.from_numpy(_images_of(labels, size, rng)), TRANSFORM))
        hook.remove()
        known = torch.cat(features).double()
        known = torch.cat([known, torch.ones(len(known), 1)], dim=1)  # [n, features + 1]
        right = torch.nn.functional.one_hot(torch.from_numpy(labels).repeat(2), classes).double()
        ridge = 1e-3 * torch.eye(known.shape[1], dtype=torch.float64)
        fitted = torch.linalg.solve(known.T @ known + ridge, known.T @ right)  # [features + 1, C]
        head.weight.copy_(10 * fitted[:-1].T)
        head.bias.copy_(10 * fitted[-1])


def build(root: Path) -> Workspace:
    """Two experts, four splits (`again` shares rows with `test` and repeats one), no class files."""
    workspace = Workspace(root)
    workspace.save_images("test", 60)
    workspace.save_images("train", 80)
    (root / "data" / "datasets.toml").write_text(DATASETS)
    order = np.random.default_rng(0).permutation(60).tolist()
    workspace.save_split("test", order[:40])
    workspace.save_split("val", order[40:50])
    workspace.save_split("tunev", order[50:])
    workspace.save_split("again", [*order[35:45], order[35]])
    workspace.save_split("train", list(range(0, 80, 2)))
    workspace.save_expert("best_alpha", seed=1)
    workspace.save_expert("best_beta", seed=2)
    return workspace


@dataclass(frozen=True)
class Service:
    """A running service."""

    url: str
    process: Process
    log: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30, verify=no_authorities())

    def worker_pids(self) -> list[int]:
        return [worker["pid"] for worker in self.get("/readyz").json()["checks"]["worker"].get("workers", [])]

    def wait_ready(self, timeout_s: float = 60) -> None:
        wait_until(lambda: self._ready(), timeout_s, lambda: self.log.read_text())

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the service ended with {self.process.returncode}:\n{self.log.read_text()}")
        try:
            return self.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False


@cache
def no_authorities() -> ssl.SSLContext:
    """Return a context for HTTP without TLS: httpx's own reads all certificates, in 30 ms for each request."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def wait_until(condition: object, timeout_s: float, explain: object = lambda: "") -> None:
    """Poll until the condition holds; fail with what `explain` says."""
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {explain()}"  # type: ignore[operator]
        time.sleep(0.02)


def environment(workspace: Workspace, **more: str) -> dict[str, str]:
    """The variables that point a process at the workspace."""
    settings = workspace.settings
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELOGIT_")}
    return kept | {
        "RELOGIT_DATA_DIR": str(settings.data_dir),
        "RELOGIT_CHECKPOINTS_DIR": str(settings.checkpoints_dir),
        "RELOGIT_OUTPUTS_DIR": str(settings.outputs_dir),
        "RELOGIT_DEVICE": "cpu",
        "RELOGIT_WORKERS": "1",
    } | more  # fmt: skip


@contextmanager
def running(
    workspace: Workspace, *, supervised: bool = False, before: Sequence[str] = (), **more: str
) -> Iterator[Service]:
    """Run the service on a free port, and end it with SIGTERM.

    Args:
        workspace: where it works.
        supervised: start `python -m app` and its workers as users do, rather than as forks.
        before: a command to put before that of the service, which is then started as users do.
        **more: environment variables.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = workspace.root / f"service-{port}.log"
    with log.open("wb") as stream:
        variables = environment(workspace, RELOGIT_PORT=str(port), **more)
        if supervised or before:
            process: Process = start("app", variables, stream.fileno(), before)
        else:
            process = fork("app", variables, stream.fileno())
    try:
        service = Service(f"http://127.0.0.1:{port}", process, log)
        wait_until(lambda: _answers(service), 60, log.read_text)
        yield service
    finally:
        end(process)


def start(module: str, variables: dict[str, str], output: int, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """`python -m MODULE` in the repository."""
    command = [*before, sys.executable, "-m", module]
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )


def fork(module: str, variables: dict[str, str], output: int) -> ForkedProcess:
    """Run `python -m MODULE` as a fork of a process that has imported it."""
    return launch([sys.executable, "-m", module], env=variables, stdout=output, stderr=output)


def end(process: Process) -> None:
    """SIGTERM, and SIGKILL if that does not help."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _answers(service: Service) -> bool:
    try:
        return service.get("/healthz").status_code == 200
    except httpx.TransportError:
        assert service.process.poll() is None, service.log.read_text()
        return False


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """The API in this process, on a real port, and a client for it."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, 30)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=30, verify=no_authorities()) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
