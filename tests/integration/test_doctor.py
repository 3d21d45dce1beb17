"""`relogit doctor` as a process, over a small installation that is sound, and then broken in several ways."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.store.database import Database
from tests.integration.workspace import REPOSITORY, Service, Workspace, build, environment

DOCTOR = (str(Path(sys.executable).with_name("relogit")), "doctor", "--json")


@dataclass(frozen=True)
class Report:
    """The outcome of one run."""

    code: int
    findings: list[dict[str, Any]]

    def subjects(self, level: str) -> list[str]:
        return [finding["check"] for finding in self.findings if finding["level"] == level]

    def text(self, level: str) -> str:
        """Every finding of a level, with what to do."""
        lines = [f"{one['check']}: {one['found']} {one['do']}" for one in self.findings if one["level"] == level]
        return "\n".join(lines)


@pytest.fixture
def ours(tmp_path: Path) -> Workspace:
    return build(tmp_path)


def start_folder(root: Path) -> Path:
    """A folder to start the service from, without a developer's `.env`."""
    folder = root / "start"
    folder.mkdir(exist_ok=True)
    for name in ("app", "worker", "pyproject.toml"):
        if not (folder / name).exists():
            (folder / name).symlink_to(REPOSITORY / name)
    return folder


def fake(root: Path, package: str, code: str) -> str:
    """A folder for PYTHONPATH with a package that does just this when it is imported."""
    folder = root / "fake" / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(code)
    return str(folder.parent)


def unused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def doctor(workspace: Workspace, root: Path, *arguments: str, **variables: str) -> Report:
    variables = environment(workspace, **{"RELOGIT_SERVER": unused_url(), **variables})
    command = [*DOCTOR, *arguments]
    done = subprocess.run(
        command, cwd=start_folder(root), env=variables, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.stderr == ""
    return Report(done.returncode, json.loads(done.stdout)["findings"])


def computing(workspace: Workspace, *arguments: str, **variables: str) -> dict[str, dict[str, str]]:
    """The findings of the process that imports PyTorch, by subject."""
    command = [sys.executable, "-m", "worker.doctor.computing", *arguments]
    variables = environment(workspace, **variables)
    done = subprocess.run(
        command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, timeout=110, check=True
    )
    return {finding["subject"]: finding for finding in map(json.loads, done.stdout.splitlines())}


def test_a_sound_installation_has_no_problems(ours: Workspace, tmp_path: Path) -> None:
    """A stopped service is a warning, the exit code is 0, and no file is left behind."""
    (tmp_path / "outputs").mkdir()
    start_folder(tmp_path)
    before = set(tmp_path.rglob("*"))
    report = doctor(ours, tmp_path)
    assert (report.code, report.text("problem")) == (0, "")
    assert "server" in report.subjects("warning")
    sound = {"settings", "torch", "gpu", "engine", "folders", "outputs", "store", "service", "dataset-tiny"}
    assert sound <= set(report.subjects("ok"))
    assert "images test 60, train 80; 5 index lists; 2 checkpoints" in report.text("ok")
    assert set(tmp_path.rglob("*")) == before


def test_all_problems_are_reported_at_once(ours: Workspace, tmp_path: Path) -> None:
    """One problem hides no other; problems come first, with what to do; the exit code is 1."""
    Database(ours.settings.store_path).close()
    with closing(sqlite3.connect(ours.settings.store_path)) as db:
        db.execute("PRAGMA user_version = 99")
    ours.save_split("val", [1, 60])
    (ours.experts / "best_gamma.pth").write_bytes(b"PK no archive")
    (start_folder(tmp_path) / ".env").write_text("RELOGIT_OUTPUT_DIR=elsewhere\n")
    torch = fake(tmp_path, "torch", "raise OSError('libtorch.so: cannot open shared object file')")
    report = doctor(ours, tmp_path, RELOGIT_WORKERS="many", PYTHONPATH=torch)
    assert report.code == 1
    assert report.subjects("problem") == ["settings", "torch", "store", "dataset-tiny", "dataset-tiny"]
    for words in (
        "OSError: libtorch.so",
        "RELOGIT_WORKERS cannot be 'many'",
        "schema 99",
        "val_indices.json holds the index 60",
        "best_gamma.pth is empty, cut short",
    ):
        assert words in report.text("problem")
    assert "Did you mean RELOGIT_OUTPUTS_DIR?" in report.text("warning")
    levels = [finding["level"] for finding in report.findings]
    assert levels == sorted(levels, key=["problem", "warning", "ok"].index)


def test_a_torch_that_kills_its_process_is_a_problem(ours: Workspace, tmp_path: Path) -> None:
    """Everything that needs no torch is checked all the same."""
    killing = fake(tmp_path, "torch", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    report = doctor(ours, tmp_path, PYTHONPATH=killing)
    assert (report.code, report.subjects("problem")) == (1, ["torch"])
    assert "exit status -9" in report.text("problem")
    assert {"dataset-tiny", "store"} <= set(report.subjects("ok"))


def test_a_torchvision_that_cannot_be_imported_is_a_problem(ours: Workspace, tmp_path: Path) -> None:
    """PyTorch itself, the device and the engine are checked all the same."""
    path = fake(tmp_path, "torchvision", "raise ImportError('built for another torch')")
    findings = computing(ours, "cpu", "torch", PYTHONPATH=path)
    assert findings["torchvision"]["level"] == "problem"
    assert "ImportError: built for another torch" in findings["torchvision"]["message"]
    assert (findings["gpu"]["level"], findings["engine"]["level"]) == ("ok", "ok")


@pytest.mark.parametrize(
    ("device", "engine", "tf32", "subject", "words"),
    [
        pytest.param("cuda:99", "auto", "0", "gpu", "RELOGIT_DEVICE is 'cuda:99'", marks=pytest.mark.slow),
        pytest.param("cpu", "auto", "1", "tf32", "NVIDIA_TF32_OVERRIDE=1", marks=pytest.mark.slow),
        ("cpu", "openvino", "0", "engine", "half installed"),
    ],
)
def test_what_a_worker_refuses_is_a_problem(
    ours: Workspace, tmp_path: Path, device: str, engine: str, tf32: str, subject: str, words: str
) -> None:
    """It has the words with which the worker would end."""
    path = fake(tmp_path, "openvino", "raise ImportError('half installed')")
    finding = computing(ours, device, engine, PYTHONPATH=path, NVIDIA_TF32_OVERRIDE=tf32)[subject]
    assert finding["level"] == "problem"
    assert words in finding["message"]


def test_a_broken_openvino_is_a_warning(ours: Workspace, tmp_path: Path) -> None:
    """PyTorch computes instead, and more slowly."""
    finding = computing(ours, "cpu", "auto", PYTHONPATH=fake(tmp_path, "openvino", "raise ImportError"))["engine"]
    assert finding["level"] == "warning"
    assert "torch" in finding["message"]
    assert "cannot be used" in finding["message"]


@pytest.mark.slow
def test_a_running_service_is_seen_from_both_sides(workspace: Workspace, service: Service, tmp_path: Path) -> None:
    """It answers and is ready; its lock and its worker's are held."""
    report = doctor(workspace, tmp_path, "--server", service.url)
    assert (report.code, report.text("problem")) == (0, "")
    assert {"server", "ready", "service"} <= set(report.subjects("ok"))
    assert "workers alive: 1" in report.text("ok")
    assert service.process.poll() is None
