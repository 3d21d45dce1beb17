"""Files that a client sends to be verified, kept until that verification is deleted."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.domain.errors import NotFound, RequestError
from app.domain.names import check_folder
from app.domain.requests import VerificationRequest
from app.files.disk import is_old, remove, replacing
from app.files.logit_files import MANIFEST_SUFFIX, SUFFIXES

ID = re.compile(r"[0-9a-f]{32}")
TAKEN_SUFFIXES = (*SUFFIXES, MANIFEST_SUFFIX)
"""Suffixes of logits and of their manifests."""


class Uploads:
    """Folders of files, one for each upload. Safe to use from any thread and process."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self) -> str:
        """Create an empty upload and return its id."""
        upload = uuid.uuid4().hex
        (self._root / upload).mkdir(parents=True)
        return upload

    def folder(self, upload: str) -> Path:
        """Return the folder of an upload.

        Raises:
            NotFound: `upload-not-found`.
        """
        path = self._root / upload
        if not ID.fullmatch(upload) or not path.is_dir():
            raise NotFound("upload-not-found", f"There is no upload {upload!r}. POST /uploads makes one.")
        return path

    def root_of(self, request: VerificationRequest, outputs: Path) -> Path:
        """Return the upload or output folder of a request.

        Raises:
            NotFound: `upload-not-found`.
        """
        return self.folder(request.upload) if request.upload is not None else outputs / str(request.path)

    def files(self, upload: str) -> dict[str, int]:
        """Return an upload's files: bytes by name, sorted."""
        root = self.folder(upload)
        sizes = {}
        for path in sorted(root.rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # completed or removed meanwhile
                if path.is_file() and not path.name.startswith("."):
                    sizes[path.relative_to(root).as_posix()] = path.stat().st_size
        return sizes

    @contextmanager
    def receiving(self, upload: str, name: str) -> Iterator[BinaryIO]:
        """Write a file that joins the upload on success.

        It replaces an older file of that name.

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
            with replacing(path) as stream:
                yield stream
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise RequestError("name-taken", f"{name!r} cannot be both a file and a folder of the upload.") from None
        except FileNotFoundError:
            self.folder(upload)  # removed meanwhile
            raise

    def remove(self, upload: str) -> None:
        """Remove an upload and its files."""
        remove(self.set_aside(upload))

    def set_aside(self, upload: str) -> Path:
        """Hide an upload at once; return its new folder.

        Its files wait there to be removed.

        Raises:
            NotFound: `upload-not-found`.
        """
        return self.folder(upload).rename(self._root / f".{upload}.{uuid.uuid4().hex}")

    def orphans(self, referred: Container[str]) -> list[Path]:
        """List the folders of old, unreferenced uploads."""
        return [path for path in self._root.glob("*") if path.name not in referred and is_old(path)]
