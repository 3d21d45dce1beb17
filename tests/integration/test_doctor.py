"""`relogit doctor` as a process, over a small installation that is sound, and then broken in many ways."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.store.database import Database
from tests.integration.workspace import REPOSITORY, Service, Workspace, build, environment, running


@dataclass(frozen=True)
class Seen:
    """What one run said."""

    code: int
    findings: list[dict[str, Any]]

    def level(self, check: str) -> list[str]:
        return [one["level"] for one in self.findings if one["check"] == check]

    def said(self, level: str) -> str:
        """Every finding of a level, with what to do."""
        return "\n".join(
            f"{one['check']}: {one['found']} {one['do']}" for one in self.findings if one["level"] == level
        )

    def checks(self, level: str) -> list[str]:
        return [one["check"] for one in self.findings if one["level"] == level]


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


def without_torch(root: Path, code: str = "raise OSError('libtorch.so: cannot open shared object file')") -> str:
    """A folder for PYTHONPATH with a torch that does this alone. What is looked at besides is there in a second."""
    fake = root / "fake" / "torch"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text(code)
    return str(fake.parent)


def unused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def doctor(workspace: Workspace, root: Path, *arguments: str, **variables: str) -> Seen:
    done = run(workspace, root, "--json", *arguments, **variables)
    assert done.stderr == ""
    return Seen(done.returncode, json.loads(done.stdout)["findings"])


def run(workspace: Workspace, root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("relogit")), "doctor", *arguments],
        cwd=start_folder(root),
        env=environment(workspace, **{"RELOGIT_SERVER": unused_url(), **variables}),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_sound_installation_has_no_problems(ours: Workspace, tmp_path: Path) -> None:
    """With the service down it is told as a warning, the exit code is 0, and nothing is left behind."""
    (tmp_path / "outputs").mkdir()
    start_folder(tmp_path)
    before = {str(path) for path in tmp_path.rglob("*")}
    seen = doctor(ours, tmp_path)
    assert (seen.code, seen.said("problem")) == (0, "")
    assert seen.level("server") == ["warning"]
    sound = {"python", "packages", "api", "settings", "torch", "torchvision", "gpu", "engine", "folders", "outputs"}
    assert sound | {"store", "service", "dataset-tiny"} <= set(seen.checks("ok"))
    assert "images test 60, train 80; 5 sound index lists; 2 checkpoints" in seen.said("ok")
    assert {str(path) for path in tmp_path.rglob("*")} == before


def test_everything_that_is_wrong_is_told_at_once(ours: Workspace, tmp_path: Path) -> None:
    """One wrong thing hides no other; problems come first, with what to do; the exit code is 1."""
    Database(ours.settings.store_path).close()
    with sqlite3.connect(ours.settings.store_path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    ours.save_split("val", [1, 60])
    (start_folder(tmp_path) / ".env").write_text("RELOGIT_OUTPUT_DIR=elsewhere\n")
    seen = doctor(ours, tmp_path, RELOGIT_WORKERS="many", PYTHONPATH=without_torch(tmp_path))
    assert seen.code == 1
    assert sorted(seen.checks("problem")) == ["dataset-tiny", "settings", "store", "torch"]
    for words in (
        "OSError: libtorch.so",
        "RELOGIT_WORKERS cannot be 'many'",
        "schema 99",
        "val_indices.json holds the index 60",
    ):
        assert words in seen.said("problem")
    assert "RELOGIT_OUTPUT_DIR in .env is no setting, and is not read. RELOGIT_OUTPUTS_DIR may be meant." in (
        seen.said("warning")
    )
    levels = [one["level"] for one in seen.findings]
    assert levels == sorted(levels, key=["problem", "warning", "ok"].index)


def test_folders_that_are_not_there(ours: Workspace, tmp_path: Path) -> None:
    """The service makes outputs; data have to be there. People see it in words."""
    done = run(ours, tmp_path, RELOGIT_DATA_DIR=str(tmp_path / "none"), PYTHONPATH=without_torch(tmp_path))
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert f"problem folders {tmp_path / 'none'} is not there." in said
    assert f"warning folders {tmp_path / 'outputs'} is not there; the service makes it" in said
    assert "RELOGIT_DATA_DIR" in said
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_packages_that_do_not_fit(ours: Workspace, tmp_path: Path) -> None:
    """A torchvision of another release, and an API that cannot be imported, each with its remedy."""
    fake = tmp_path / "fake"
    (fake / "torchvision-0.20.0.dist-info").mkdir(parents=True)
    (fake / "torchvision-0.20.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.20.0\n"
    )
    (fake / "fastapi").mkdir()
    (fake / "fastapi" / "__init__.py").write_text("raise ImportError('half installed')")
    seen = doctor(ours, tmp_path, PYTHONPATH=str(fake))
    assert seen.code == 1
    assert sorted(seen.checks("problem")) == ["api", "packages", "torchvision"]
    for words in ("torchvision 0.20.0 is not the partner", "torchvision 0.20.0 is too old", "half installed"):
        assert words in seen.said("problem")
    assert seen.level("dataset-tiny") == ["ok"]


def test_a_torch_that_kills_its_process_is_a_finding(ours: Workspace, tmp_path: Path) -> None:
    """As one built for another processor does; what needs no torch is looked at all the same."""
    killing = without_torch(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    seen = doctor(ours, tmp_path, PYTHONPATH=killing)
    assert (seen.code, seen.checks("problem")) == (1, ["torch"])
    assert "signal 9" in seen.said("problem")
    assert (seen.level("dataset-tiny"), seen.level("store")) == (["ok"], ["ok"])


def test_a_broken_pydantic_leaves_what_can_be_said(ours: Workspace, tmp_path: Path) -> None:
    """Settings and all behind them cannot be read then; packages and devices can."""
    path = without_torch(tmp_path)
    (tmp_path / "fake" / "pydantic").mkdir()
    (tmp_path / "fake" / "pydantic" / "__init__.py").write_text("raise ImportError('built for another Python')")
    command = [sys.executable, "-m", "worker.doctor", "--json"]
    variables = environment(ours, PYTHONPATH=path)
    done = subprocess.run(
        command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, timeout=60, check=True
    )
    seen = Seen(0, json.loads(done.stdout)["findings"])
    assert seen.checks("problem") == ["api", "settings", "torch"]
    assert seen.said("problem").count("built for another Python") == 2
    assert seen.level("packages") == ["ok"]


@pytest.mark.slow
def test_a_running_service_is_seen_from_both_sides(workspace: Workspace, service: Service, tmp_path: Path) -> None:
    """It answers, is ready and of this version; its lock and its worker's are held."""
    seen = doctor(workspace, tmp_path, "--server", service.url)
    assert (seen.code, seen.said("problem")) == (0, "")
    assert (seen.level("server"), seen.level("ready"), seen.level("service")) == (["ok"], ["ok"], ["ok"])
    assert "A service uses this outputs folder, and 1 worker lives." in seen.said("ok")
    assert service.process.poll() is None


def test_a_service_without_workers_is_told(ours: Workspace, tmp_path: Path) -> None:
    """In its own words, and by its locks."""
    with running(ours, RELOGIT_WORKERS="0") as service:
        seen = doctor(ours, tmp_path, RELOGIT_SERVER=service.url, PYTHONPATH=without_torch(tmp_path))
    assert seen.code == 1
    assert sorted(seen.checks("problem")) == ["ready", "torch"]
    assert "No worker is alive" in seen.said("problem")
    assert seen.level("service") == ["warning"]


def test_elsewhere_the_client_and_the_server_are_looked_at(tmp_path: Path) -> None:
    """A machine that has only the client says so; a server that is named and down ends with 3."""
    command = [str(Path(sys.executable).with_name("relogit")), "doctor", "--server", unused_url()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "holds no service" in done.stdout
    variables = {**os.environ, "RELOGIT_SERVER": unused_url()}
    done = subprocess.run(
        command[:2], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
