"""Files of logits by their names: which are found in a folder, as whose, and which are only mentioned."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import pytest

from app.domain.requests import LogitFile
from app.files.logit_files import find_logit_files, one_logit_file
from tests.fakes import refused


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _found(root: Path) -> list[tuple[str, str, str]]:
    return [(file.expert, file.split, file.name) for file in find_logit_files(root, "here").files]


def test_a_folder_of_experts_is_found_sorted_by_expert_and_split(tmp_path: Path) -> None:
    """At any depth, the expert is the folder; in the folder itself, it is the folder's own name."""
    _touch(tmp_path, "job/ce/val_logits.npz", "bal/test_logits.pt", "bal/a_logits.npz", "x_logits.npz")
    assert _found(tmp_path) == [
        ("bal", "a", "bal/a_logits.npz"),
        ("bal", "test", "bal/test_logits.pt"),
        ("ce", "val", "job/ce/val_logits.npz"),
        ("here", "x", "x_logits.npz"),
    ]


def test_two_files_of_one_unit_stand_beside_each_other(tmp_path: Path) -> None:
    """Both are kept, for the check that names them; nothing is chosen."""
    _touch(tmp_path, "a/ce/val_logits.npz", "b/ce/val_logits.npz", "b/ce/val_logits.pt", "b/aa/val_logits.pt")
    assert [name for _, _, name in _found(tmp_path)] == [
        "b/aa/val_logits.pt",
        "a/ce/val_logits.npz",
        "b/ce/val_logits.npz",
        "b/ce/val_logits.pt",
    ]


def test_arrays_under_other_names_are_mentioned(tmp_path: Path) -> None:
    """So that nobody takes them for verified; manifests and texts are no arrays."""
    others = ("val.npz", "_logits.npz", "val_logits.npy", "val_logits.h5", "val_logits.json", "val_logits.npz.txt")
    _touch(tmp_path, "ce/val_logits.npz", "README", *(f"ce/{name}" for name in others))
    found = find_logit_files(tmp_path, "here")
    assert found.files == (LogitFile("ce/val_logits.npz", "ce", "val"),)
    assert found.others == ("ce/_logits.npz", "ce/val.npz", "ce/val_logits.h5", "ce/val_logits.npy")


def test_what_is_hidden_is_no_part_of_a_folder(tmp_path: Path) -> None:
    """The outputs directory holds the service's own files in one such."""
    _touch(tmp_path, ".relogit/uploads/ce/val_logits.npz", "ce/.val_logits.npz.part", "ce/.x_logits.npz")
    with refused("no-logit-files"):
        find_logit_files(tmp_path, "here")


def test_a_folder_without_logits_is_refused_with_what_would_be_right(tmp_path: Path) -> None:
    """Empty, or with other files, of which the first five are named."""
    with refused("no-logit-files", "<expert>/<split>_logits.npz or .pt in here"):
        find_logit_files(tmp_path, "here")
    _touch(tmp_path, *(f"{n}.npz" for n in range(7)))
    with refused("no-logit-files", "0.npz, 1.npz, 2.npz, 3.npz, 4.npz."):
        find_logit_files(tmp_path, "here")


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    """A link to a folder elsewhere is one of the folder's; a link back up is not gone into again."""
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    _touch(elsewhere, "val_logits.npz")
    _touch(root, "ce/val_logits.npz")
    (root / "linked").symlink_to(elsewhere)
    (root / "ce" / "up").symlink_to(root)
    (root / "ce" / "self").symlink_to(root / "ce" / "self")
    (root / "ce" / "nothing").symlink_to(tmp_path / "nothing")
    assert [name for _, _, name in _found(root)] == ["ce/val_logits.npz", "linked/val_logits.npz"]


def test_one_folder_under_two_names_is_two_experts(tmp_path: Path) -> None:
    """The check for copies can only see what is listed; which name the disk gives first must not matter."""
    _touch(tmp_path, "b/val_logits.npz")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    assert [expert for expert, _, _ in _found(tmp_path)] == ["a", "b", "c"]


def test_whatever_is_named_so_is_listed(tmp_path: Path) -> None:
    """A link to nothing, for a check to say so; what lies in a folder named like a file; and at any depth."""
    (tmp_path / "val_logits.npz").symlink_to(tmp_path / "gone.npz")
    deep = "/".join("abcdefghijklmnop")
    _touch(tmp_path, "x_logits.npz/test_logits.npz", f"{deep}/val_logits.npz")
    names = ["val_logits.npz", f"{deep}/val_logits.npz", "x_logits.npz/test_logits.npz"]
    assert [name for _, _, name in _found(tmp_path)] == names


@pytest.mark.parametrize("name", ["ein Experte", "naïve=0.5", "日本", "a'b\"c", "a\nb", "-x", "a\\b"])
def test_odd_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    """A folder may be called anything; whether there is such a split, its check says."""
    _touch(tmp_path, f"{name}/{name}_logits.npz")
    assert _found(tmp_path) == [(name, name, f"{name}/{name}_logits.npz")]


def test_names_that_are_no_text_are_mentioned_in_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 can be in a file's name, but not in an answer."""
    _touch(tmp_path, "ce/val_logits.npz")
    (tmp_path / os.fsdecode(b"ce/\xffx_logits.npz")).touch()
    (tmp_path / os.fsdecode(b"\xff")).mkdir()
    (tmp_path / os.fsdecode(b"\xff/val_logits.npz")).touch()
    (tmp_path / os.fsdecode(b"\xff/README")).touch()
    found = find_logit_files(tmp_path, "here")
    assert [file.name for file in found.files] == ["ce/val_logits.npz"]
    assert sorted(found.others) == ["?/val_logits.npz", "ce/?x_logits.npz"]


@pytest.mark.parametrize(
    ("path", "expert", "split", "right"),
    [
        ("ce/val_logits.npz", None, None, LogitFile("val_logits.npz", "ce", "val")),
        ("/far/away/ce/val_logits.pt", None, None, LogitFile("val_logits.pt", "ce", "val")),
        ("ce/val_logits.npz", "bal", "test", LogitFile("val_logits.npz", "bal", "test")),
        ("tensor.pt", "bal", "test", LogitFile("tensor.pt", "bal", "test")),
        ("ce/_logits.npz", None, "test", LogitFile("_logits.npz", "ce", "test")),
        ("ce/a_logits_logits.npz", None, None, LogitFile("a_logits_logits.npz", "ce", "a_logits")),
    ],
)
def test_a_single_file_is_what_is_said_or_else_named(
    path: str, expert: str | None, split: str | None, right: LogitFile
) -> None:
    """What is given comes before what the name and the folder say."""
    assert one_logit_file(PurePath(path), expert, split) == right


@pytest.mark.parametrize(
    ("path", "expert", "split", "code"),
    [
        *((name, None, None, "not-logits") for name in ("ce/val_logits.npy", "ce/val_logits", "ce/.npz")),
        ("ce/val.npz", None, None, "split-unclear"),
        ("ce/_logits.npz", None, None, "split-unclear"),
        ("val_logits.npz", None, None, "expert-unclear"),
        ("/val_logits.npz", None, None, "expert-unclear"),
        ("../val_logits.npz", None, None, "invalid-name"),
        ("ce/val_logits.npz", "", None, "invalid-name"),
        ("ce/val_logits.npz", None, "../val", "invalid-name"),
        ("ce/val_logits.npz", "a/b", None, "invalid-name"),
        ("ce/val_logits.npz", "\ud800", None, "invalid-name"),
    ],
)
def test_a_single_file_that_is_unclear_is_refused(
    path: str, expert: str | None, split: str | None, code: str
) -> None:
    """Nothing is guessed: another suffix, no split, no expert, or names that are none."""
    with refused(code):
        one_logit_file(PurePath(path), expert, split)
