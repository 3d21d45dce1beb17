"""What was read from a file is read once, and never outlives the file as it was."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app import file_cache
from app.bases import file_id
from app.file_cache import FileCache
from tests.fakes import DIGITS, Home, refused


class Reader:
    """Turns bytes into text and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, data: bytes) -> str:
        self.calls += 1
        return data.decode()


def later() -> int:
    """An hour from now: every file is settled."""
    return time.time_ns() + 3600 * 10**9


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    """For each of the things that the value depends on besides."""
    cache, reader, path = FileCache[str](100, later), Reader(), write(tmp_path / "f", "one")
    for _ in range(3):
        assert cache.get(file_id(path), "a", reader) == "one"
    assert reader.calls == 1
    cache.get(file_id(path), "b", reader)
    assert reader.calls == 2


def test_a_changed_file_is_read_again_whatever_its_size_and_time_say(tmp_path: Path) -> None:
    """Same length, modification time set back: its change time and its inode still tell."""
    cache, reader, path = FileCache[str](100, later), Reader(), write(tmp_path / "f", "one")
    before = path.stat()
    assert cache.get(file_id(path), None, reader) == "one"
    time.sleep(0.02)  # a tick of an old kernel's clock
    write(path, "two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache.get(file_id(path), None, reader) == "two"
    other = write(tmp_path / "other", "six")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert cache.get(file_id(path), None, reader) == "six"


def test_a_file_of_just_now_is_read_each_time(tmp_path: Path) -> None:
    """Two changes within a tick of the file system's clock could not be told apart."""
    cache, reader, path = FileCache[str](100), Reader(), write(tmp_path / "f", "one")
    cache.get(file_id(path), None, reader)
    cache.get(file_id(path), None, reader)
    assert reader.calls == 2


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path: Path) -> None:
    """The bytes may be of before or of after."""
    cache, path = FileCache[str](100, later), write(tmp_path / "f", "one")
    asked = file_id(path)

    def slowly(data: bytes) -> str:
        time.sleep(0.02)
        write(path, "later")
        return data.decode()

    assert cache.get(asked, None, slowly) == "one"
    assert cache.get(asked, None, Reader()) == "later"


def test_what_a_file_was_before_is_not_kept(tmp_path: Path) -> None:
    """One that is written again and again would fill the memory with what nobody asks for any more."""
    cache, reader = FileCache[str](100, later), Reader()
    other = write(tmp_path / "g", "other")
    cache.get(file_id(other), None, reader)
    for text in ("one", "three", "seven"):
        path = write(tmp_path / "f", text)
        for also in "ab":
            assert cache.get(file_id(path), also, reader) == text
    assert sorted(cache._kept.values()) == ["other", "seven", "seven"]


def test_what_cannot_be_read_is_no_value(tmp_path: Path) -> None:
    """An error is told each time, and gone once the cause is."""
    cache, path = FileCache[int](100, later), write(tmp_path / "f", "no number")
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            cache.get(file_id(path), None, int)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        cache.get((str(path), 0, 0, 0, 0), None, int)


def test_it_keeps_within_its_bytes(tmp_path: Path) -> None:
    """The files used last stay; one that is too large for it alone never does."""
    cache, reader = FileCache[str](10, later), Reader()
    first, second, third = (write(tmp_path / name, name * 4) for name in "abc")
    for path in (first, second, first, third):  # the third drives out the second
        cache.get(file_id(path), None, reader)
    assert reader.calls == 3
    cache.get(file_id(first), None, reader)
    assert reader.calls == 3
    cache.get(file_id(second), None, reader)
    assert reader.calls == 4
    large = write(tmp_path / "large", "x" * 11)
    for _ in range(2):
        cache.get(file_id(large), None, reader)
    cache.get(file_id(second), None, reader)
    assert reader.calls == 6


# --- splits -------------------------------------------------------------------------------------------


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog's clock is the machine's, and a test cannot wait until its files are old."""
    monkeypatch.setattr(file_cache, "SETTLED_NS", -3600 * 10**9)


@pytest.mark.usefixtures("settled")
def test_a_split_is_parsed_once(home: Home) -> None:
    """Whoever asks gets the same indices, which nobody can change."""
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    folder = catalog.splits_folder(dataset, None)
    first = catalog.read_split(dataset, folder, "val")
    assert catalog.read_split(dataset, folder, "val") is first
    with pytest.raises(ValueError, match="read-only"):
        first.indices[0] = 5


@pytest.mark.usefixtures("settled")
def test_a_remembered_split_is_held_against_the_base_as_it_is_now(home: Home) -> None:
    """Against its size, and against another base if the declaration says so; a file that is gone is gone."""
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    folder = catalog.splits_folder(dataset, None)
    assert catalog.read_split(dataset, folder, "val").base == "test"
    home.declare(DIGITS + 'val = "train"\n')
    assert catalog.read_split(catalog.dataset("digits"), folder, "val").base == "train"
    home.write_npz("test", 2)
    with refused("split-out-of-range", "has 2 images"):
        catalog.read_split(dataset, folder, "val")
    catalog.split_path(folder, "val").unlink()
    with refused("unknown-split"):
        catalog.read_split(dataset, folder, "val")
