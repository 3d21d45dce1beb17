"""Files that a client sends to be verified: kept until the verification that they were sent for is deleted."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from app.domain.errors import NotFound, RequestError
from app.domain.names import check_folder
from app.domain.requests import VerificationRequest
from app.files.artifacts import LEFT_S
from app.files.logit_files import MANIFEST_SUFFIX, SUFFIXES

ID = re.compile(r"[0-9a-f]{32}")
TAKEN_SUFFIXES = (*SUFFIXES, MANIFEST_SUFFIX)
"""Logits, and their manifests."""


class Uploads:
    """Folders of files, one for each upload. Safe to use from any thread and process.

    Args:
        root: where they lie.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self) -> str:
        """A new one, empty. Returns its id."""
        upload = uuid.uuid4().hex
        (self._root / upload).mkdir(parents=True)
        return upload

    def folder(self, upload: str) -> Path:
        """Where its files are.

        Raises:
            NotFound: `upload-not-found`.
        """
        path = self._root / upload
        if not ID.fullmatch(upload) or not path.is_dir():
            raise NotFound("upload-not-found", f"There is no upload {upload!r}. POST /uploads makes one.")
        return path

    def root_of(self, request: VerificationRequest, outputs: Path) -> Path:
        """Where the files of an accepted request are: an upload, or a folder below the outputs directory.

        Raises:
            NotFound: the upload is gone.
        """
        return self.folder(request.upload) if request.upload is not None else outputs / str(request.path)

    def files(self, upload: str) -> dict[str, int]:
        """What it holds: bytes by name, sorted."""
        root = self.folder(upload)
        found = {}
        for path in sorted(root.rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # received whole just now, or removed
                if path.is_file() and not path.name.startswith("."):
                    found[path.relative_to(root).as_posix()] = path.stat().st_size
        return found

    @contextmanager
    def receiving(self, upload: str, name: str) -> Iterator[IO[bytes]]:
        """A file of it, to be written: there, in place of an older one, when the block ends well; else not at all.

        Raises:
            NotFound: `upload-not-found`.
            RequestError: `invalid-name`, `unsupported-file` for what is neither logits nor a manifest, or
                `name-taken` where a folder has a file's name.
        """
        path = self.folder(upload) / check_folder("file", name)
        if path.suffix not in TAKEN_SUFFIXES:
            raise RequestError("unsupported-file", f"{name!r} is none of {', '.join(TAKEN_SUFFIXES)}.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(prefix=".", suffix=".part", dir=path.parent, delete=False) as stream:
                try:
                    yield stream
                    stream.flush()
                    Path(stream.name).replace(path)
                except BaseException:
                    Path(stream.name).unlink(missing_ok=True)
                    raise
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise RequestError("name-taken", f"{name!r} cannot be both a file and a folder of the upload.") from None
        except FileNotFoundError:
            self.folder(upload)  # removed meanwhile
            raise

    def remove(self, upload: str) -> None:
        """Forget it and its files."""
        shutil.rmtree(self.take_away(upload))

    def take_away(self, upload: str) -> Path:
        """Forget it at once; where its files are now, for who removes them when there is time.

        Raises:
            NotFound: `upload-not-found`.
        """
        return self.folder(upload).rename(self._root / f".{upload}.{uuid.uuid4().hex}")

    def sweep(self, referred: Container[str], *, dry_run: bool = False) -> list[str]:
        """Remove those that no job refers to, unless they are so young that a job may be on its way.

        Returns:
            Their ids; with `dry_run` nothing is removed.
        """
        removed = []
        for path in self._root.glob("*"):
            with contextlib.suppress(OSError):  # it stays then, and does no harm
                if path.name not in referred and _touched_at(path) < time.time() - LEFT_S:
                    if not dry_run:
                        shutil.rmtree(path)
                    removed.append(path.name)
        return removed


def _touched_at(path: Path) -> float:
    # A folder's own time says nothing of what is being written further below.
    return max(one.lstat().st_mtime for one in (path, *path.rglob("*")))
