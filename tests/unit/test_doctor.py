"""What `python -m worker.doctor` finds in real folders, stores and data sets, and that it changes none of them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.settings import PREFIX, Settings
from app.store.database import Database
from app.store.liveness import hold_lock
from tests.fakes import DIGITS, Home
from worker.doctor import Finding
from worker.doctor.computing import check_device
from worker.doctor.datasets import check_datasets
from worker.doctor.installation import check_folders, check_outputs, check_settings, check_store


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose checkpoints are whole files."""
    home = Home.make(tmp_path)
    torch.save({"x": torch.zeros(2)}, home.experts / "best_ce.pth")
    torch.save({"x": torch.zeros(2)}, home.experts / "best_bal.pt", _use_new_zipfile_serialization=False)
    save_file({"x": torch.zeros(2)}, home.experts / "best_st.safetensors")
    return home


def below(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def level(findings: Iterable[Finding], subject: str) -> str:
    """The level of the only finding about a subject."""
    (match,) = [finding for finding in findings if finding.subject == subject]
    return match.level


def the_only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to start in, and no settings in the environment."""
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_valid_settings_are_ok(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the client are not mistaken for settings."""
    monkeypatch.setenv("RELOGIT_SERVER", "http://other.test")
    monkeypatch.setenv("relogit_port", "0")
    settings, findings = check_settings()
    assert (settings.port, the_only(findings).level) == (0, "ok")


def test_an_unknown_variable_is_a_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, in the environment as in .env, with the setting that may be meant."""
    (folder / ".env").write_text("export relogit_output_dir=x\n# RELOGIT_NO=1\nOTHER=2\n")
    monkeypatch.setenv("RELOGIT_XYZZY", "1")
    similar, other = check_settings()[1]
    assert (similar.level, similar.remedy) == ("warning", "Did you mean RELOGIT_OUTPUTS_DIR?")
    assert similar.message.startswith("RELOGIT_OUTPUT_DIR")
    assert other.message.startswith("RELOGIT_XYZZY")
    assert "RELOGIT_PORT" in other.remedy


def test_an_invalid_value_is_a_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other settings keep their values, so that the rest can be checked."""
    monkeypatch.setenv("RELOGIT_PORT", "http")
    monkeypatch.setenv("RELOGIT_DATA_DIR", "elsewhere")
    settings, findings = check_settings()
    assert the_only(findings).level == "problem"
    assert the_only(findings).message.startswith("RELOGIT_PORT cannot be 'http'")
    assert (settings.port, settings.data_dir) == (8000, Path("elsewhere"))


def test_folders_have_to_be_readable_folders(tmp_path: Path) -> None:
    """A missing one and a file in its place are problems that name the setting."""
    (tmp_path / "file").touch(0o777)
    there = Settings(data_dir=tmp_path, checkpoints_dir=tmp_path)
    assert [finding.level for finding in check_folders(there)] == ["ok", "ok"]
    missing, file = check_folders(Settings(data_dir=tmp_path / "none", checkpoints_dir=tmp_path / "file"))
    assert (missing.level, file.level) == ("problem", "problem")
    assert "none does not exist" in missing.message
    assert "RELOGIT_DATA_DIR" in missing.remedy
    assert "is not a folder" in file.message
    assert "RELOGIT_CHECKPOINTS_DIR" in file.remedy


def test_outputs_that_are_missing_are_a_warning(tmp_path: Path) -> None:
    """The service creates them, and the check does not; a file in their place is a problem."""
    settings = Settings(outputs_dir=tmp_path / "a" / "b")
    assert level(check_outputs(settings), "outputs") == "warning"
    assert not (tmp_path / "a").exists()
    (tmp_path / "a").touch()
    assert level(check_outputs(settings), "outputs") == "problem"


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from app.settings import Settings
from worker.doctor.installation import check_outputs
if os.geteuid() == 0: os.setresuid(65534, 65534, 65534)
print([f.message for f in check_outputs(Settings(outputs_dir=Path(sys.argv[1]))) if f.level == "problem"])
"""


@pytest.mark.parametrize("closed", ["out", "out/.relogit", "out/.relogit/jobs.sqlite3"])
def test_outputs_that_cannot_be_written_are_a_problem(closed: str) -> None:
    """Also a single folder or file in them, as a service of another user leaves it behind."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        Database(root / "out/.relogit/jobs.sqlite3").close()
        for path in (root, *below(root)):
            path.chmod(0o777)
        (root / closed).chmod(0o555)
        command = [sys.executable, "-c", UNPRIVILEGED, str(root / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"['This user cannot write to {(root / closed).resolve()}.']\n"


def test_a_nearly_full_disk_is_reported(home: Home) -> None:
    """Below RELOGIT_MIN_FREE_BYTES it is a problem, below five times of it a warning."""
    free = shutil.disk_usage(home.data).free
    for least, expected in ((free * 2, "problem"), (free // 2, "warning"), (free // 100, "ok")):
        settings = home.settings.model_copy(update={"min_free_bytes": least})
        assert level(check_outputs(settings), "space") == expected


def test_a_sound_store_is_left_as_it_was(home: Home, tmp_path: Path) -> None:
    """Neither the store nor the outputs gain or lose a file; a store that is missing is not made."""
    assert level(check_store(home.settings), "store") == "ok"
    assert not home.settings.outputs_dir.exists()
    Database(home.settings.store_path).close()
    before = below(tmp_path)
    findings = [*check_store(home.settings), *check_outputs(home.settings)]
    assert {finding.level for finding in findings if finding.subject != "space"} == {"ok"}
    assert below(tmp_path) == before


@pytest.mark.parametrize("version", [1, 99])
def test_a_store_of_another_relogit_is_a_problem(home: Home, version: int) -> None:
    """Its version is read while a service has it open."""
    with closing(Database(home.settings.store_path)) as opened:
        with opened.transaction() as db:
            db.execute(f"PRAGMA user_version = {version}")
        findings = list(check_store(home.settings))
    assert level(findings, "store") == "problem"
    assert f"schema {version};" in findings[0].message


def test_a_file_that_is_no_store_is_a_problem(home: Home) -> None:
    """SQLite says why."""
    home.settings.internal_dir.mkdir(parents=True)
    home.settings.store_path.write_text("not a database, though long enough to be looked at" * 100)
    finding = next(iter(check_store(home.settings)))
    assert finding.level == "problem"
    assert "file is not a database" in finding.message


def test_a_damaged_store_is_a_problem(home: Home) -> None:
    """SQLite's own check reads every page."""
    path = home.settings.store_path
    Database(path).close()
    with closing(sqlite3.connect(path)) as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'units_artifact'").fetchone()[0]
        size = db.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    assert level(check_store(home.settings), "store") == "problem"


def test_a_service_without_workers_is_a_warning(home: Home) -> None:
    """So are workers without a service; a lock file that nobody holds counts for neither."""
    locks = home.settings.locks_dir
    locks.mkdir(parents=True)
    (locks / "dead.lock").touch()
    assert level(check_store(home.settings), "service") == "ok"
    with hold_lock(home.settings.internal_dir / "service.lock"):
        assert level(check_store(home.settings), "service") == "warning"
        with hold_lock(locks / "a.lock"):
            assert level(check_store(home.settings), "service") == "ok"
    with hold_lock(locks / "a.lock"):
        assert level(check_store(home.settings), "service") == "warning"


def test_a_sound_data_set_is_one_finding(home: Home) -> None:
    """It counts images, index lists and checkpoints of every format."""
    finding = the_only(check_datasets(home.settings))
    assert (finding.level, finding.subject) == ("ok", "dataset-digits")
    assert finding.message == "digits: images test 6, train 9; 3 index lists; 3 checkpoints."


def test_a_declaration_that_cannot_be_read_is_a_problem(home: Home) -> None:
    """It has the words of a refused job."""
    home.declare("[digits\n")
    finding = the_only(check_datasets(home.settings))
    assert (finding.level, finding.subject) == ("problem", "datasets")
    assert "cannot be read as TOML" in finding.message


def test_a_data_set_without_any_image_is_one_warning(home: Home) -> None:
    """It may not be wanted here; the remedy says where its images go."""
    shutil.rmtree(home.data / "digits")
    shutil.rmtree(home.experts)
    finding = the_only(check_datasets(home.settings))
    assert finding.level == "warning"
    assert "digits/test.npz" in finding.remedy
    assert "digits/train.npz" in finding.remedy


def test_every_unsound_base_and_list_is_named(home: Home) -> None:
    """A missing base is a warning that stands for the lists into it; what is unsound is a problem."""
    (home.data / "digits" / "train.npz").unlink()
    home.write_split("val", [0, "one"])
    home.write_split("extra", [6])
    findings = list(check_datasets(home.settings))
    assert [finding.level for finding in findings] == ["warning", "problem", "problem"]
    for finding, words in zip(findings, ("train.npz", "extra_indices.json holds the index 6", '"one"'), strict=True):
        assert words in finding.message
    (home.data / "digits" / "test.npz").write_bytes(b"no archive")
    assert "test.npz is not a readable .npz" in next(iter(check_datasets(home.settings))).message


@pytest.mark.parametrize("folders", [("digits_splits",), ("experts/digits",), ("digits_splits", "experts/digits")])
@pytest.mark.parametrize("missing", [False, True])
def test_an_empty_or_missing_folder_is_a_warning(home: Home, folders: tuple[str, ...], missing: bool) -> None:
    """Jobs may name another one."""
    for folder in folders:
        path = next(root / folder for root in (home.data, home.settings.checkpoints_dir) if (root / folder).is_dir())
        shutil.rmtree(path)
        if not missing:
            path.mkdir()
    for finding, folder in zip(check_datasets(home.settings), folders, strict=True):
        assert finding.level == "warning"
        assert folder in finding.message


def test_every_unreadable_checkpoint_is_named(home: Home) -> None:
    """Empty, cut short, no checkpoint, a link to nothing, two files of one name."""
    whole = (home.experts / "best_ce.pth").read_bytes()
    (home.experts / "cut.pth").write_bytes(whole[: len(whole) // 2])
    tensors = (home.experts / "best_st.safetensors").read_bytes()
    (home.experts / "cut.safetensors").write_bytes(tensors[:-1])
    (home.experts / "empty.pt").touch()
    (home.experts / "page.pth").write_text("<html>404</html>")
    (home.experts / "link.pth").symlink_to("nowhere")
    (home.experts / "best_bal.pth").write_bytes(whole)
    findings = list(check_datasets(home.settings))
    assert {finding.level for finding in findings} == {"problem"}
    named = ("best_bal.pt and best_bal.pth", "both 'cut'", "empty.pt", "link.pth", "page.pth")
    for finding, words in zip(findings, named, strict=True):
        assert words in finding.message
    (home.experts / "cut.pth").rename(home.experts / "short.pth")
    messages = [finding.message for finding in check_datasets(home.settings) if finding.level == "problem"]
    assert any("cut.safetensors cannot be read" in message for message in messages)
    assert any("short.pth is empty, cut short" in message for message in messages)


def test_overrides_have_to_match_one_way(home: Home) -> None:
    """One that matches no checkpoint and two that match the same are problems."""
    patterns = "".join(f"[digits.overrides.{key!r}]\nmax_pool = true\n" for key in ("ce", "*_st", "best_*t"))
    home.declare(DIGITS + patterns)
    ambiguous, unused = check_datasets(home.settings)
    assert (ambiguous.level, unused.level) == ("problem", "problem")
    assert "both match the checkpoint 'best_st'" in ambiguous.message
    assert "The override 'ce'" in unused.message


def test_a_device_that_computes_is_ok() -> None:
    """One that does not is a problem with PyTorch's words."""
    assert check_device(torch.device("cpu")).level == "ok"
    assert check_device(torch.device("cuda", 99)).level == "problem"
