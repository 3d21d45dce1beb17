"""Sets of splits on disk: whole or not at all, and where their lists point."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.api.set_views import list_sets
from app.catalog.folders import Folder
from app.catalog.split_lists import COUNTS_FILE, SPLIT_SUFFIX, WEIGHTS_FILE
from app.catalog.split_sets import OWN_FILES, base_in, free_name, read_description, write_set
from tests.fakes import DIGITS, Home, refused

A = "a_indices.json"


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
    write_set(tmp_path / "lt", {A: [1]}, overwrite=False)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_set(tmp_path / "lt", {A: [2], "b.json": float("nan")}, overwrite=True)
    assert _content(tmp_path / "lt") == {A: [1]}
    assert [path.name for path in tmp_path.iterdir()] == ["lt"]


def test_an_old_set_stays_unless_it_is_to_be_overwritten(tmp_path: Path) -> None:
    """Refused, it is as it was; overwritten, nothing of it is left."""
    write_set(tmp_path / "lt", {A: [1], "class_weights.json": []}, overwrite=False)
    with refused("splits-exist", "lt", "overwrite"):
        write_set(tmp_path / "lt", {A: [2]}, overwrite=False)
    assert _content(tmp_path / "lt") == {A: [1], "class_weights.json": []}
    write_set(tmp_path / "lt", {A: [2]}, overwrite=True)
    assert _content(tmp_path / "lt") == {A: [2]}
    assert [path.name for path in tmp_path.iterdir()] == ["lt"]


def test_an_empty_folder_is_free(home: Home) -> None:
    """Nothing is lost with it, and a worker that died may have left it; a link to one is somebody's own."""
    (home.data / "lt").mkdir()
    (home.data / "link").symlink_to("lt")
    (home.data / "dangling").symlink_to("nowhere")
    assert free_name("lt", home.data, overwrite=False) == "lt"
    for name in ("link", "dangling"):
        with refused("splits-exist"):
            free_name(name, home.data, overwrite=False)
        with refused("splits-exist"):
            write_set(home.data / name, {A: [1]}, overwrite=False)
    write_set(home.data / "lt", {A: [1]}, overwrite=False)
    assert _content(home.data / "lt") == {A: [1]}
    assert not list(home.data.glob(".*"))


def _link(folder: Path) -> None:
    folder.rename(folder.with_name("real"))
    folder.symlink_to("real")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "test.npz").write_bytes(b""), "test.npz"),
        (lambda folder: (folder / ".notes").write_bytes(b""), ".notes"),
        (lambda folder: (folder / "x_indices.json").mkdir(), "x_indices.json"),
        (lambda folder: (folder / "x_indices.json").symlink_to("a_indices.json"), "x_indices.json"),
        (lambda folder: (folder / A).unlink(), "no list"),
        (_link, "link"),
    ],
)
def test_what_is_more_than_a_set_is_never_overwritten(home: Home, spoil: Callable[[Path], object], said: str) -> None:
    """Files of others, folders and links would be lost: refused with the request, and once more before it is done."""
    write_set(home.data / "lt", {A: [1], "splits.json": {}}, overwrite=False)
    assert free_name("lt", home.data, overwrite=True) == "lt"
    spoil(home.data / "lt")
    before = sorted((home.data / "lt").iterdir())
    with refused("not-splits", "lt", said):
        free_name("lt", home.data, overwrite=True)
    with refused("not-splits", "lt", said):
        write_set(home.data / "lt", {A: [2]}, overwrite=True)
    assert sorted((home.data / "lt").iterdir()) == before
    assert not list(home.data.glob(".*"))


@pytest.mark.parametrize("root", ["lt", "lt/images", "link"])
def test_where_images_belong_nothing_is_overwritten(home: Home, root: str) -> None:
    """Even if there are none yet: it is not just a set that such a folder is for."""
    write_set(home.data / "lt", {A: [1]}, overwrite=False)
    (home.data / "link").symlink_to("lt")
    home.declare(DIGITS.replace('root = "digits"', f'root = "{root}"'))
    with refused("not-splits", "digits"):
        free_name("lt", home.data, overwrite=True)


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
    (folder / "splits.json").write_text('{"lists": {"val": {"base": "../x"}}}')
    with refused("invalid-name", "../x", "splits.json"):  # nothing leads out of the data set's folder
        catalog.base_of(dataset, splits, "val")


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "\udcff", "[" * 100_000, '{"lists": []}', '{"lists": {"val": {}}}', '{"lists": {"val": 3}}',
        '{"lists": {"val": {"base": "test", "part_of": ["val"]}}}',
        '{"lists": {"val": {"base": "test", "size": "3"}}}',
        '{"profile": "step", "imbalance_factor": null, "seed": 3}',
        '{"profile": "step", "imbalance_factor": "10", "seed": 3}',
        '{"imbalance_factor": NaN}', '{"dataset": {"labels_sha256": [1]}}',
    ],
)  # fmt: skip
def test_a_description_that_does_not_say_it_is_a_problem(tmp_path: Path, text: str) -> None:
    """Nothing is guessed where a file says something that nobody can read."""
    (tmp_path / "splits.json").write_bytes(text.encode(errors="surrogateescape"))
    with refused("splits-file-invalid", "datasets.toml"):
        base_in(read_description(tmp_path), tmp_path, "val")


def test_a_description_of_wrong_types_is_a_problem_of_its_set_alone(home: Home) -> None:
    """The listing says what is wrong with it, and shows no description that a reader would stumble over."""
    for name, factor in (("good", "10"), ("bad", '"10"')):
        (home.data / name).mkdir()
        (home.data / name / "val_indices.json").write_text("[1]")
        made = f'{{"profile": "step", "imbalance_factor": {factor}, "seed": 3, "test_shares": [8, 1, 1]}}'
        (home.data / name / "splits.json").write_text(made)
    sets = {summary.name: summary for summary in list_sets("digits", home.catalog())}
    good, bad, undescribed = sets["good"], sets["bad"], sets["digits_splits"]
    assert good.description is not None
    assert (good.description.imbalance_factor, good.description.test_shares) == (10, [8, 1, 1])
    assert bad.problem is not None
    assert (bad.problem.code, "imbalance_factor" in bad.problem.message) == ("splits-file-invalid", True)
    assert (good.problem, bad.description, undescribed.problem, undescribed.description) == (None,) * 4


def test_a_sets_own_files_are_those_that_the_catalog_reads() -> None:
    """One that is missing here would make every set something that cannot be overwritten."""
    assert {f"*{SPLIT_SUFFIX}", COUNTS_FILE, WEIGHTS_FILE, "splits.json"} == set(OWN_FILES)


DYING = """
import os, sys
from pathlib import Path
from app.catalog.split_sets import write_set
sys.addaudithook(lambda event, args: event == "relogit.fault" and args[0] == "set.aside" and os._exit(9))
write_set(Path(sys.argv[1]), {"a_indices.json": [2]}, overwrite=True)
"""
"""A process that dies between the two renames of an overwrite."""


def test_a_crash_while_a_set_is_replaced_leaves_the_old_one(home: Home) -> None:
    """The next reader of a list finds it, and so does the next writer."""
    folder, catalog = home.data / "digits_splits", home.catalog()
    dataset = catalog.dataset("digits")
    before = _content(folder)

    def write() -> None:
        with refused("splits-exist"):
            write_set(folder, {A: [3]}, overwrite=False)

    for read in (
        lambda: catalog.read_split(dataset, Folder("digits_splits", folder), "val"),
        lambda: catalog.splits_folder(dataset, None),
        write,
    ):
        died = subprocess.run([sys.executable, "-c", DYING, str(folder)], check=False)
        assert (died.returncode, folder.exists()) == (9, False)
        read()
        assert _content(folder) == before
    write_set(folder, {A: [4]}, overwrite=True)
    assert _content(folder) == {A: [4]}


def test_readers_of_a_set_that_is_replaced_always_find_one(home: Home) -> None:
    """Two writers replace it again and again; a list is one of theirs, and nothing is left beside it."""
    catalog, folder = home.catalog(), home.data / "lt"
    dataset = catalog.dataset("digits")
    write_set(folder, {A: [1]}, overwrite=False)

    def replace_often(value: int) -> None:
        for _ in range(60):
            write_set(folder, {A: [value]}, overwrite=True)

    with ThreadPoolExecutor(2) as threads:
        writers = [threads.submit(replace_often, value) for value in (1, 2)]
        while not all(writer.done() for writer in writers):
            split = catalog.read_split(dataset, catalog.splits_folder(dataset, "lt"), "a")
            assert split.indices.tolist() in ([1], [2])
    assert [writer.result() for writer in writers] == [None, None]
    assert not list(home.data.glob(".*"))
