"""Uploads: files are there whole or not at all, stay below their folder, and go when nobody refers to them."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.errors import NotFound
from app.files.disk import ORPHAN_AGE_S
from app.files.uploads import Uploads
from tests.fakes import refused
from tests.unit.test_requests import VERIFICATION


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads")


def _send(uploads: Uploads, upload: str, name: str, data: bytes, error: type[BaseException] | None = None) -> None:
    with uploads.receiving(upload, name) as stream:
        stream.write(data)
        if error is not None:
            raise error


def test_files_are_received_listed_and_replaced(uploads: Uploads) -> None:
    """By name, sorted, with their bytes; a second one of a name takes the place of the first."""
    upload = uploads.create()
    assert uploads.files(upload) == {}
    _send(uploads, upload, "ce/val_logits.npz", b"first one")
    _send(uploads, upload, "ce/val_logits.json", b"{}")
    _send(uploads, upload, "bal/val_logits.pt", b"")
    _send(uploads, upload, "ce/val_logits.npz", b"second")
    assert list(uploads.files(upload).items()) == [
        ("bal/val_logits.pt", 0),
        ("ce/val_logits.json", 2),
        ("ce/val_logits.npz", 6),
    ]
    assert (uploads.folder(upload) / "ce" / "val_logits.npz").read_bytes() == b"second"


class _CutOff(BaseException):
    """As a client's disconnection, no `Exception`."""


@pytest.mark.parametrize("error", [ConnectionResetError, _CutOff, KeyboardInterrupt])
def test_a_body_that_is_cut_off_leaves_what_was_there(uploads: Uploads, error: type[BaseException]) -> None:
    """The older file, or none, and nothing beside it."""
    upload = uploads.create()
    _send(uploads, upload, "ce/val_logits.npz", b"whole")
    for name in ("ce/val_logits.npz", "ce/test_logits.npz"):
        with pytest.raises(error):
            _send(uploads, upload, name, b"ha", error)
    assert [path.name for path in (uploads.folder(upload) / "ce").iterdir()] == ["val_logits.npz"]
    assert uploads.files(upload) == {"ce/val_logits.npz": 5}


def test_what_is_being_received_is_not_listed(uploads: Uploads) -> None:
    """Nobody verifies half a file."""
    upload = uploads.create()
    with uploads.receiving(upload, "ce/val_logits.npz") as stream:
        stream.write(b"half")
        assert uploads.files(upload) == {}


ELSEWHERE = [
    "", "../val_logits.npz", "ce/../../x_logits.npz", "/etc/val_logits.npz", ".hidden/val_logits.npz", "ce/.npz",
    "a\0b.npz", "a\nb.npz", "\ud800.npz", "x" * 500 + ".npz",
]  # fmt: skip
NO_LOGITS = [".", "ce/val_logits.npy", "ce/val_logits.npz.exe", "ce"]


@pytest.mark.parametrize(
    ("name", "code"),
    [*((name, "invalid-name") for name in ELSEWHERE), *((name, "unsupported-file") for name in NO_LOGITS)],
)
def test_a_name_that_leads_elsewhere_or_means_nothing_is_refused(uploads: Uploads, name: str, code: str) -> None:
    """Before a byte is written."""
    upload = uploads.create()
    with refused(code), uploads.receiving(upload, name):
        pytest.fail("it was opened")
    assert list(uploads.folder(upload).iterdir()) == []


@pytest.mark.parametrize(
    ("first", "second"), [("a.npz", "a.npz/b.npz"), ("a.npz", "a.npz/b/c.npz"), ("a.npz/b.npz", "a.npz")]
)
def test_a_name_cannot_be_file_and_folder(uploads: Uploads, first: str, second: str) -> None:
    """The second is refused, the first stays."""
    upload = uploads.create()
    _send(uploads, upload, first, b"1")
    with refused("name-taken", repr(second)):
        _send(uploads, upload, second, b"2")
    assert uploads.files(upload) == {first: 1}


@pytest.mark.parametrize("upload", ["", ".", "..", "/", "/etc", "0" * 32, "0" * 31 + "\n", "a\0", "A" * 32])
def test_an_unknown_or_malformed_upload_is_not_found(uploads: Uploads, upload: str) -> None:
    """Every method that takes an id says how to make one."""
    uploads.create()
    for method in (uploads.folder, uploads.files, uploads.remove):
        with refused("upload-not-found", "POST /uploads makes one"):
            method(upload)
    with refused("upload-not-found"):
        _send(uploads, upload, "ce/val_logits.npz", b"")


def test_an_upload_that_is_deleted_while_it_is_received_is_not_found(uploads: Uploads) -> None:
    """The sender learns that its file is nowhere, and nothing of it is left."""
    upload = uploads.create()
    with refused("upload-not-found"), uploads.receiving(upload, "ce/val_logits.npz") as stream:
        stream.write(b"late")
        uploads.remove(upload)
    with pytest.raises(NotFound):
        uploads.folder(upload)


def test_a_request_says_where_its_files_are(uploads: Uploads, tmp_path: Path) -> None:
    """An upload, as long as it is there, or a folder below the outputs directory."""
    upload = uploads.create()
    request = replace(VERIFICATION, upload=upload)
    assert uploads.root_of(request, tmp_path) == uploads.folder(upload)
    assert uploads.root_of(replace(request, upload=None, path="a/b"), tmp_path) == tmp_path / "a" / "b"
    uploads.remove(upload)
    with pytest.raises(NotFound):
        uploads.root_of(request, tmp_path)


def test_an_orphan_is_neither_young_nor_referred_to(uploads: Uploads, tmp_path: Path) -> None:
    """A client may be on its way from its files to its verification."""
    young, kept, left, growing = (uploads.create() for _ in range(4))
    _send(uploads, left, "ce/val_logits.npz", b"1")
    old = time.time() - ORPHAN_AGE_S - 1
    for folder in map(uploads.folder, (kept, left)):
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (old, old))
    _send(uploads, growing, "ce/val_logits.npz", b"1")  # below its folder, which is as it was an hour ago
    os.utime(uploads.folder(growing), (old, old))
    assert uploads.orphans({kept}) == [uploads.folder(left)]
    assert uploads.folder(young).is_dir()
    assert Uploads(tmp_path / "none").orphans(()) == []  # before the first upload there is no folder
