"""What the doctor sees of real folders, stores, variables and data sets, and that it leaves nothing behind."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.settings import PREFIX, Settings
from app.store.database import SCHEMA_VERSION, Database
from app.store.liveness import hold_lock
from tests.fakes import Home
from worker.doctor import gather, gather_data
from worker.doctor.packages import parse_requirement


def everything_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def make_store(home: Home) -> None:
    Database(home.settings.store_path).close()


def test_a_store_is_looked_at_and_left_as_it_was(home: Home, tmp_path: Path) -> None:
    """Schema and integrity are read; no file comes or goes, whether a log is there or not."""
    make_store(home)
    before = everything_below(tmp_path)
    seen = gather.store(home.settings)
    assert (seen.version, seen.newest, seen.integrity, seen.error) == (SCHEMA_VERSION, SCHEMA_VERSION, "ok", None)
    assert everything_below(tmp_path) == before
    opened = Database(home.settings.store_path)  # its log is there as long as it is open
    with opened.transaction() as db:
        db.execute("PRAGMA user_version = 99")
    assert gather.store(home.settings).version == 99
    opened.close()


def test_a_file_that_is_no_store_is_an_error(home: Home) -> None:
    """In SQLite's words."""
    home.settings.internal_dir.mkdir(parents=True)
    home.settings.store_path.write_text("not a database, though long enough to be looked at" * 100)
    assert gather.store(home.settings).error == "file is not a database"


def test_a_damaged_store_is_seen(home: Home) -> None:
    """By SQLite's own check of every page."""
    make_store(home)
    path = home.settings.store_path
    with sqlite3.connect(path) as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'units_artifact'").fetchone()[0]
        size = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    for log in path.parent.glob("*-wal"):
        log.unlink()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    seen = gather.store(home.settings)
    assert seen.error is not None or seen.integrity != "ok"


def test_a_store_that_is_not_there_is_not_made(home: Home) -> None:
    """Only the service makes one."""
    assert not gather.store(home.settings).there
    assert not home.settings.outputs_dir.exists()


def test_the_living_are_seen_by_their_locks(home: Home) -> None:
    """A lock file that nobody holds is of one that died."""
    make_store(home)
    home.settings.locks_dir.mkdir()
    (home.settings.locks_dir / "dead.lock").touch()
    seen = gather.store(home.settings)
    assert (seen.service, seen.workers) == (False, 0)
    with hold_lock(home.settings.internal_dir / "service.lock"), hold_lock(home.settings.locks_dir / "a.lock"):
        seen = gather.store(home.settings)
    assert (seen.service, seen.workers) == (True, 1)


def test_outputs_are_written_to_and_left_as_they_were(home: Home, tmp_path: Path) -> None:
    """A file is made, locked and removed."""
    make_store(home)
    before = everything_below(tmp_path)
    seen = gather.outputs(home.settings)
    assert (list(seen.unwritable), seen.lock_error) == ([], None)
    assert seen.disk.total_bytes > 0
    assert everything_below(tmp_path) == before


def test_outputs_that_are_missing_are_not_made(tmp_path: Path) -> None:
    """Their disk is that of the nearest folder above; whether they may be made is seen there."""
    seen = gather.outputs(Settings(outputs_dir=tmp_path / "a" / "b"))
    assert seen.makeable
    assert seen.disk.total_bytes > 0
    assert not (tmp_path / "a").exists()


def test_closed_outputs_are_seen() -> None:
    """Where this user may not write, that is said, of the folder and of the store's files."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        home = Home.make(Path(name))
        make_store(home)
        use = home.settings
        for folder in (Path(name), use.outputs_dir, use.internal_dir):
            folder.chmod(0o777)
        use.store_path.chmod(0o444)
        with unprivileged():
            assert gather.outputs(use).unwritable == [f"{use.store_path} cannot be written to by this user"]
        use.outputs_dir.chmod(0o555)
        with unprivileged():
            assert gather.outputs(use).unwritable == [f"{use.outputs_dir} cannot be written to by this user"]
        use.outputs_dir.chmod(0o777)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Nothing is closed to root, so it is somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_folder_may_be_there_missing_or_a_file(tmp_path: Path) -> None:
    """Each of the three is told apart."""
    (tmp_path / "file").touch()
    use = Settings(data_dir=tmp_path, checkpoints_dir=tmp_path / "file", outputs_dir=tmp_path / "none")
    assert [one.state for one in gather.folders(use)] == ["there", "no-folder", "missing"]


def test_variables_are_seen_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be is told, and the default stands in, so that the rest can be looked at."""
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    monkeypatch.delenv("RELOGIT_SERVER", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("RELOGIT_OUTPUT_DIR=x\nexport relogit_data_dir=d\n# RELOGIT_NO=1\nOTHER=2\n")
    monkeypatch.setenv("RELOGIT_PORT", "http")
    use, seen = gather.settings()
    assert dict(seen.names) == {
        "RELOGIT_OUTPUT_DIR": ".env",
        "RELOGIT_DATA_DIR": ".env",
        "RELOGIT_PORT": "the environment",
    }
    assert seen.wrong.startswith("RELOGIT_PORT cannot be 'http'")
    assert (use.port, use.data_dir) == (8000, Path("d"))


def test_a_sound_data_set_is_seen_whole(home: Home) -> None:
    """Images, lists and checkpoints; the largest base, decoded, is what memory has to hold."""
    (seen,), error, machine = gather_data.datasets(home.settings)
    assert error is None
    assert {name: base.images for name, base in seen.bases.items()} == {"test": 6, "train": 9}
    assert list(seen.splits or ()) == ["test", "train", "val"]
    assert sorted(seen.experts or ()) == ["best_bal", "best_ce"]
    assert not seen.wrong_splits
    assert machine.base == "base 'train' of digits"
    assert machine.base_bytes > 0
    assert machine.base_bytes % (9 * 3) == 0


def test_what_is_wrong_with_a_data_set_is_seen(home: Home) -> None:
    """A list that is no list; of lists into a base that is missing, the base alone is told."""
    home.write_split("val", [0, "one"])
    (home.data / "digits" / "train.npz").unlink()
    (seen,), _, _ = gather_data.datasets(home.settings)
    assert list(seen.wrong_splits) == ["val"]
    assert (seen.bases["train"].missing or "").endswith("train.npz")
    (home.data / "digits" / "test.npz").write_bytes(b"no archive")
    (seen,), _, _ = gather_data.datasets(home.settings)
    assert "test.npz is not a readable .npz" in (seen.bases["test"].wrong or "")


def test_a_declaration_that_cannot_be_read_is_told(home: Home) -> None:
    """In the words that a refused job would have."""
    home.declare("[digits\n")
    seen, error, _ = gather_data.datasets(home.settings)
    assert seen == []
    assert "cannot be read as TOML" in (error or "")


def test_the_requirements_are_those_of_client_and_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Out of pyproject.toml where it is, else as the installed package says, as in the image."""
    declared = {parse_requirement(one)[0] for one in gather._declared()[1]}
    monkeypatch.chdir(tmp_path)
    python, installed = gather._declared()
    assert python == ">=3.11"
    assert {parse_requirement(one)[0] for one in installed} == declared
    assert {"numpy", "fastapi", "torch"} <= declared
    assert "pytest" not in declared
