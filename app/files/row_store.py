"""The folders of kept rows: look them up by key, create, list and remove them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.numerics import NumericsKey, RowSource
from app.files.disk import TAKEN, is_old, remove, tree_size
from app.files.row_files import ABOUT, LOGITS, SUMS, Condition, KeptRows, npy_header

KEY = re.compile(r"[0-9a-f]{64}")
"""What a key looks like. Entries of the folder with other names do not belong to the store."""

MAX_TRIES = 10
"""A try fails only if another process removes the rows just after they were created."""


@dataclass(frozen=True)
class Entry:
    """The rows of one key, as a listing shows them."""

    key: str
    about: Mapping[str, Any]
    """`source` (a `RowSource` as a dictionary), `size`, and `seen`: what they were first computed for."""
    rows: int
    """Rows that have a checksum."""
    bytes: int
    """On disk."""
    used_at: float
    """When a job last used them, in seconds since the epoch; 0 where that is unknown."""

    @property
    def usable(self) -> bool:
        """Whether a job can use them. Unusable rows are created anew when a job asks for them."""
        return bool(self.about)


class RowStore:
    """All kept rows of an installation. Safe to use from any thread and process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, source: RowSource, size: int, seen: Mapping[str, Any]) -> KeptRows:
        """Return or create a source's rows for `size` images.

        `seen` tells people what they were first computed for.

        Raises:
            OSError: they can neither be read nor created.
        """
        for _ in range(MAX_TRIES):
            kept = self.look(source, size)
            if kept is not None:
                return kept
            self._make(source, size, seen)
        raise OSError(f"{self._folder / source.key} was created {MAX_TRIES} times, and was unusable each time")

    def look(self, source: RowSource, size: int) -> KeptRows | None:
        """Return a source's rows; None if missing or unusable."""
        try:
            _, kept = self._read(source.key)
        except (OSError, ValueError):
            return None
        return kept if kept.shape == (size, source.classes) else None

    def entries(self) -> list[Entry]:
        """List the kept rows, last used first.

        Unusable ones lack `about`.
        """
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except FileNotFoundError:
            return []
        entries = [self.entry(name) for name in names if KEY.fullmatch(name)]
        return sorted((entry for entry in entries if entry is not None), key=lambda entry: -entry.used_at)

    def entry(self, key: str) -> Entry | None:
        """Describe a key's rows; None if there are none."""
        folder = self._folder / key
        if not os.path.lexists(folder):
            return None
        size = tree_size(folder, on_disk=True)
        used_at = 0.0
        with contextlib.suppress(OSError):
            used_at = (folder / ABOUT).stat().st_mtime
        try:
            about, kept = self._read(key)
            return Entry(key, about, kept.there(), size, used_at)
        except (OSError, ValueError):
            return Entry(key, {}, 0, size, used_at)

    def condition(self, key: str) -> Condition | None:
        """Check every row of a key; None if unusable."""
        try:
            return self._read(key)[1].condition()
        except (OSError, ValueError):
            return None

    def remove(self, key: str) -> int:
        """Remove a key's rows and return the bytes freed.

        Jobs that use them compute the missing rows.

        Raises:
            OSError: they cannot be removed.
        """
        folder = self._folder / key
        freed = tree_size(folder, on_disk=True)
        # Renamed first, because nobody may read half a folder. A full disk has room for another name.
        aside = self._folder / f".{key}.{uuid.uuid4().hex}"
        try:
            folder.rename(aside)
        except FileNotFoundError:  # there are none, or another process was faster
            return 0
        _remove_as_far_as_possible(aside)
        return freed

    def prune(
        self,
        *,
        max_bytes: int | None = None,
        older_than_s: float | None = None,
        spare_since: float = math.inf,
        dry_run: bool = False,
    ) -> list[Entry]:
        """Remove unusable rows, old rows, and rows beyond a size.

        The longest unused go first. Usable rows that were used since `spare_since`, in seconds since the epoch, stay
        whatever their size.

        Returns:
            What was removed, or would be without `dry_run`.

        Raises:
            OSError: rows cannot be removed.
        """
        now = time.time()
        entries = self.entries()
        surplus = [entry for entry in entries if not entry.usable]
        total = sum(entry.bytes for entry in entries if entry.usable)
        for entry in reversed(entries):  # the longest unused first
            old = older_than_s is not None and now - entry.used_at > older_than_s
            over = max_bytes is not None and total > max_bytes
            if entry.usable and entry.used_at < spare_since and (old or over):
                total -= entry.bytes
                surplus.append(entry)
        return surplus if dry_run else [entry for entry in surplus if self.remove_as_listed(entry)]

    def remove_as_listed(self, listed: Entry) -> bool:
        """Remove listed rows, unless used or changed since.

        Returns whether it removed them.

        Raises:
            OSError: they cannot be removed.
        """
        now = self.entry(listed.key)
        if now is None or (now.used_at, now.usable) != (listed.used_at, listed.usable):
            return False
        self.remove(listed.key)
        return True

    def sweep(self) -> int:
        """Remove the orphans and return the bytes freed."""
        freed = 0
        for path in self.orphans():
            freed += tree_size(path, on_disk=True)
            _remove_as_far_as_possible(path)
        return freed

    def orphans(self) -> list[Path]:
        """List folders of rows left behind by killed processes."""
        return [path for path in self._folder.glob(".*") if is_old(path)]

    def _read(self, key: str) -> tuple[dict[str, Any], KeptRows]:
        """Read the description and the rows of a key.

        Raises:
            OSError, ValueError: they are not usable.
        """
        folder = self._folder / key
        text = (folder / ABOUT).read_text()
        try:
            about = json.loads(text)
            source = RowSource(**{**about["source"], "numerics": NumericsKey(**about["source"]["numerics"])})
            size, _ = about["size"], about["seen"].keys()
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{folder / ABOUT} does not have the expected fields") from error
        if source.key != key:
            raise ValueError(f"{folder / ABOUT} describes other rows")
        return about, KeptRows(folder, key, size, source.classes)

    def _make(self, source: RowSource, size: int, seen: Mapping[str, Any]) -> None:
        """Create an empty folder of rows, unless another process already has."""
        self._folder.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".", dir=self._folder)) / source.key
        try:
            new.mkdir()
            about = {"source": source.to_dict(), "size": size, "seen": dict(seen)}
            (new / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
            _make_array(new / LOGITS, "<f4", (size, source.classes))
            _make_array(new / SUMS, "<u8", (size,))
            self._put_in_place(new, source, size)
        finally:
            _remove_as_far_as_possible(new.parent)

    def _put_in_place(self, new: Path, source: RowSource, size: int) -> None:
        try:
            new.rename(self._folder / source.key)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            # Removed only now, and only if it is unusable: another job may have created it meanwhile.
            if self.look(source, size) is None:
                self.remove(source.key)


def _make_array(path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    with path.open("wb") as stream:
        stream.write(npy_header(dtype, shape))
        stream.truncate(stream.tell() + int(np.prod(shape)) * np.dtype(dtype).itemsize)  # zeros that take no room


def _remove_as_far_as_possible(path: Path) -> None:
    with contextlib.suppress(OSError):
        remove(path)
