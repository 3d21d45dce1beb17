"""Sets of splits on disk: whole or not at all, and where their lists point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.split_sets import base_in, read_description, write_set
from tests.fakes import Home, refused


def _content(folder: Path) -> dict[str, object]:
    return {path.name: json.loads(path.read_text()) for path in folder.iterdir()}


def test_a_set_is_written_as_compact_json(tmp_path: Path) -> None:
    """So that equal lists have equal bytes; and others of the group may read them."""
    write_set(tmp_path / "lt", {"a.json": [1, 2], "b.json": {"x": 0.5}}, overwrite=False)
    assert (tmp_path / "lt" / "a.json").read_bytes() == b"[1,2]"
    assert (tmp_path / "lt").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["lt"]


def test_what_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    """A failure in the middle leaves the old set whole, and nothing beside it."""
    write_set(tmp_path / "lt", {"a.json": [1]}, overwrite=False)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_set(tmp_path / "lt", {"a.json": [2], "b.json": float("nan")}, overwrite=True)
    assert _content(tmp_path / "lt") == {"a.json": [1]}
    assert [path.name for path in tmp_path.iterdir()] == ["lt"]


def test_an_old_set_stays_unless_it_is_to_be_overwritten(tmp_path: Path) -> None:
    """Refused, it is as it was; overwritten, nothing of it is left."""
    write_set(tmp_path / "lt", {"a.json": [1], "old.json": []}, overwrite=False)
    with refused("splits-exist", "lt", "overwrite"):
        write_set(tmp_path / "lt", {"a.json": [2]}, overwrite=False)
    assert _content(tmp_path / "lt") == {"a.json": [1], "old.json": []}
    write_set(tmp_path / "lt", {"a.json": [2]}, overwrite=True)
    assert _content(tmp_path / "lt") == {"a.json": [2]}
    assert [path.name for path in tmp_path.iterdir()] == ["lt"]


def test_a_description_says_where_a_list_points(home: Home) -> None:
    """Before datasets.toml does, for the lists that it names; for others, and without it, datasets.toml counts."""
    catalog, folder = home.catalog(), home.data / "digits_splits"
    dataset = catalog.dataset("digits")
    splits = catalog.splits_folder(dataset, None)
    assert catalog.read_split(dataset, splits, "val").base == "test"
    (folder / "splits.json").write_text(json.dumps({"lists": {"val": {"base": "train"}}}))
    assert catalog.read_split(dataset, splits, "val").base == "train"
    assert catalog.read_split(dataset, splits, "test").base == "test"
    assert catalog.read_split(dataset, splits, "train").base == "train"


@pytest.mark.parametrize("text", ["{", "[]", '{"lists": {"val": {}}}', '{"lists": {"val": 3}}', "\udcff"])
def test_a_description_that_does_not_say_it_is_a_problem(tmp_path: Path, text: str) -> None:
    """Nothing is guessed where a file says something that nobody can read."""
    (tmp_path / "splits.json").write_bytes(text.encode(errors="surrogateescape"))
    with refused("splits-file-invalid", "datasets.toml"):
        base_in(read_description(tmp_path), tmp_path, "val")
