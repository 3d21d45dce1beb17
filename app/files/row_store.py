"""The folders of kept rows: found by their key, made, listed, removed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.numerics import NumericsKey, RowSource
from app.files.row_files import ABOUT, LOGITS, SUMS, Condition, KeptRows, npy_header

KEY = re.compile(r"[0-9a-f]{64}")
"""What a key looks like. Other names in the folder are not ours."""

LEFT_S = 3600.0
"""A folder that is still being made or removed after so long was left by a process that died."""

TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
"""How a rename fails where there is a folder already, or a file."""

MAX_TRIES = 10
"""Each fails only if somebody else removes the rows in the moment after they were made."""


@dataclass(frozen=True)
class Entry:
    """One key's rows, as a listing shows them."""

    key: str
    about: Mapping[str, Any]
    """`source` (a `RowSource` as a dictionary), `size`, and `seen`: what they were first computed for."""
    rows: int
    """Rows that claim to be there."""
    bytes: int
    """On disk."""
    used_at: float
    """When a job last used them, in seconds since the epoch; 0 where that cannot be known."""

    @property
    def usable(self) -> bool:
        """Whether a job can use them. What is not usable is made anew when a job asks for it."""
        return bool(self.about)


class RowStore:
    """All kept rows of an installation. Safe to use from any thread and process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, source: RowSource, size: int, seen: Mapping[str, Any]) -> KeptRows:
        """The rows of a source, made if they are not there or not usable.

        Args:
            source: what they depend on.
            size: images in the pool.
            seen: for people: what they are computed for.

        Raises:
            OSError: they can neither be read nor made.
        """
        for _ in range(MAX_TRIES):
            kept = self.look(source, size)
            if kept is not None:
                return kept
            self._make(source, size, seen)
        raise OSError(f"{self._folder / source.key} was made {MAX_TRIES} times, and was gone or not whole each time")

    def look(self, source: RowSource, size: int) -> KeptRows | None:
        """The rows of a source; None if there are none that can be used."""
        try:
            _, kept = self._read(source.key)
        except (OSError, ValueError):
            return None
        return kept if kept.shape == (size, source.classes) else None

    def entries(self) -> list[Entry]:
        """What is kept, last used first. What is not usable has no `about` and no rows."""
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except FileNotFoundError:
            return []
        found = [self.entry(name) for name in names if KEY.fullmatch(name)]
        return sorted((entry for entry in found if entry is not None), key=lambda entry: -entry.used_at)

    def entry(self, key: str) -> Entry | None:
        """The rows of a key as a listing shows them; None if there are none."""
        folder = self._folder / key
        if not os.path.lexists(folder):
            return None
        try:
            used_at = (folder / ABOUT).stat().st_mtime
        except OSError:
            used_at = 0.0
        try:
            about, kept = self._read(key)
            return Entry(key, about, kept.there(), on_disk(folder), used_at)
        except (OSError, ValueError):
            return Entry(key, {}, 0, on_disk(folder), used_at)

    def condition(self, key: str) -> Condition | None:
        """A look at every row of a key; None if they are not usable."""
        try:
            return self._read(key)[1].condition()
        except (OSError, ValueError):
            return None

    def remove(self, key: str) -> int:
        """Forget a key's rows; a job that is using them computes what it has not read yet.

        Returns:
            The bytes freed.

        Raises:
            OSError: they cannot be removed.
        """
        folder = self._folder / key
        freed = on_disk(folder)
        # First out of sight, whole: nobody may find half a folder. A full disk has room for another name.
        doomed = self._folder / f".{key}.{uuid.uuid4().hex}"
        try:
            folder.rename(doomed)
        except FileNotFoundError:  # there are none, or somebody else was faster
            return 0
        _delete(doomed)
        return freed

    def prune(self, *, max_bytes: int | None = None, older_than_s: float | None = None) -> list[Entry]:
        """Remove what is not usable and what was not used for so long; then the longest unused until the rest fits.

        Args:
            max_bytes: what may be left, in bytes on disk.
            older_than_s: what was not used for longer goes.

        Returns:
            What was removed, with the bytes that this freed.

        Raises:
            OSError: something cannot be removed.
        """
        surplus = self.surplus(max_bytes=max_bytes, older_than_s=older_than_s)
        return [replace(entry, bytes=self.remove(entry.key)) for entry in surplus]

    def surplus(
        self,
        *,
        max_bytes: int | None = None,
        older_than_s: float | None = None,
        spare_since: float | None = None,
    ) -> list[Entry]:
        """What `prune` would remove.

        Args:
            max_bytes: as for `prune`.
            older_than_s: as for `prune`.
            spare_since: what was used since then, in seconds since the epoch, stays whatever it takes.
        """
        now = time.time()
        doomed: list[Entry] = []
        rest: list[Entry] = []
        spared = 0
        for entry in self.entries():
            old = older_than_s is not None and now - entry.used_at > older_than_s
            if entry.usable and spare_since is not None and entry.used_at >= spare_since:
                spared += entry.bytes
            else:
                (doomed if old or not entry.usable else rest).append(entry)
        left = spared + sum(entry.bytes for entry in rest)
        while max_bytes is not None and rest and left > max_bytes:
            left -= rest[-1].bytes
            doomed.append(rest.pop())
        return doomed

    def remove_as_listed(self, listed: Entry) -> int | None:
        """Forget a key's rows, unless they were used, made anew or found to be usable since they were listed.

        Returns:
            The bytes freed; None where they stay, or somebody else was faster.

        Raises:
            OSError: they cannot be removed.
        """
        now = self.entry(listed.key)
        if now is None or (now.used_at, now.usable) != (listed.used_at, listed.usable):
            return None
        return self.remove(listed.key)

    def sweep(self) -> int:
        """Remove what processes left that died while they made or removed rows. Returns the bytes freed."""
        freed = 0
        for left in self.leftovers():
            freed += on_disk(left)
            _delete(left)
        return freed

    def leftovers(self) -> list[Path]:
        """What `sweep` would remove."""
        old = time.time() - LEFT_S
        found = []
        for left in self._folder.glob(".*"):
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                if left.lstat().st_mtime < old:
                    found.append(left)
        return found

    def _read(self, key: str) -> tuple[dict[str, Any], KeptRows]:
        """What the rows are and the rows themselves; OSError or ValueError if they are not usable."""
        folder = self._folder / key
        text = (folder / ABOUT).read_text()
        try:
            about = json.loads(text)
            source = RowSource(**{**about["source"], "numerics": NumericsKey(**about["source"]["numerics"])})
            size, _ = about["size"], about["seen"].keys()
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{folder / ABOUT} does not say what it should") from error
        if source.key != key:
            raise ValueError(f"{folder / ABOUT} describes other rows")
        return about, KeptRows(folder, key, size, source.classes)

    def _make(self, source: RowSource, size: int, seen: Mapping[str, Any]) -> None:
        """Make an empty folder of rows, unless somebody else has just done so."""
        self._folder.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".", dir=self._folder)) / source.key
        try:
            making.mkdir()
            about = {"source": source.to_dict(), "size": size, "seen": dict(seen)}
            (making / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
            _make_array(making / LOGITS, "<f4", (size, source.classes))
            _make_array(making / SUMS, "<u8", (size,))
            self._put_in_place(making, source, size)
        finally:
            shutil.rmtree(making.parent, ignore_errors=True)

    def _put_in_place(self, making: Path, source: RowSource, size: int) -> None:
        try:
            making.rename(self._folder / source.key)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            # Removed only now, and only if nobody can use it: another job may have made it meanwhile.
            if self.look(source, size) is None:
                self.remove(source.key)


def _make_array(path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    with path.open("wb") as stream:
        stream.write(npy_header(dtype, shape))
        stream.truncate(stream.tell() + int(np.prod(shape)) * np.dtype(dtype).itemsize)  # zeros that take no room


def _delete(path: Path) -> None:
    """Remove a folder with everything in it, or a file; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)  # one that nobody may read is removed as well
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def on_disk(path: Path) -> int:
    """What a file, or all files below a folder, take on the disk."""
    total = 0
    for file in [path, *(Path(root, name) for root, _, names in os.walk(path) for name in names)]:
        with contextlib.suppress(OSError):
            if not file.is_dir():
                total += file.lstat().st_blocks * 512
    return total
