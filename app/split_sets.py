"""Sets of splits on disk: written whole, and described by a `splits.json` that says what the lists themselves cannot.

<data>/NAME/{split}_indices.json         flat JSON lists, in their rows' order
<data>/NAME/class_weights.json           n_c / Σ n of the train list, in class order
<data>/NAME/train_class_counts.json      n_c, in class order
<data>/NAME/splits.json                  where each list points, how it was made, what it was made from
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.errors import Conflict, RequestError
from app.names import check_name

DESCRIPTION_FILE = "splits.json"
RENAME_EXCHANGE = 2
AT_FDCWD = -100
"""Of renameat2(2), for two folders that change places at once."""


def write_set(folder: Path, files: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write JSON files as one folder: it is there with all of them, or not at all.

    Args:
        folder: what it is to be called.
        files: JSON-able content by file name; lists are written without spaces, so equal lists have equal bytes.
        overwrite: whether a folder of that name may be replaced. Until the new one is whole, the old one stays.

    Raises:
        Conflict: `splits-exist`, it is there and is not to be overwritten.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder.parent))
    try:
        for name, content in files.items():
            with (fresh / name).open("w") as stream:
                json.dump(content, stream, separators=(",", ":"), allow_nan=False)
                stream.flush()
                os.fsync(stream.fileno())
        fresh.chmod(0o755)  # mkdtemp's 0700 would hide it from the rest of the group
        _flush(fresh)
        if overwrite and folder.exists():
            _exchange(fresh, folder)
        else:
            _move(fresh, folder)
        _flush(folder.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # what was there before, or what could not be shown


def read_description(folder: Path) -> dict[str, Any]:
    """The folder's `splits.json`; empty where there is none, for nothing needs it.

    Raises:
        RequestError: `splits-file-invalid`, it cannot be read. To go on without it might take another base.
    """
    try:
        described = json.loads((folder / DESCRIPTION_FILE).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid(folder, str(error)) from error
    if not isinstance(described, dict):
        raise _invalid(folder, "it is no JSON object")
    return described


def base_in(described: Mapping[str, Any], folder: Path, split: str) -> str | None:
    """The base that a description gives for a list, or None where it says nothing of it.

    Raises:
        RequestError: `splits-file-invalid`.
    """
    lists = described.get("lists", {})
    if not isinstance(lists, dict) or split not in lists:
        return None
    base = lists[split].get("base") if isinstance(lists[split], dict) else None
    if not isinstance(base, str):
        raise _invalid(folder, f"it gives no base for the list {split!r}")
    return check_name("base", base)


def _invalid(folder: Path, why: str) -> RequestError:
    return RequestError(
        "splits-file-invalid",
        f"{DESCRIPTION_FILE} in {folder.name} cannot be used: {why}. Mend it, or remove it: datasets.toml then says "
        "where the lists point.",
    )


def free_name(given: str, data_dir: Path, overwrite: bool) -> str:
    """A name that a new set may have.

    Raises:
        RequestError: `invalid-name`, or `not-splits` where something else is there, which is never overwritten.
        Conflict: `splits-exist`.
    """
    name = check_name("name", given)
    path = data_dir / name
    if path.exists() and not overwrite:
        raise exists(name)
    if path.exists() and not (path.is_dir() and any(path.glob("*_indices.json"))):
        raise RequestError("not-splits", f"{name!r} is there, but is no set of splits, so it is not overwritten.")
    return name


def exists(name: str) -> Conflict:
    """The error where a set of that name is there already."""
    return Conflict(
        "splits-exist", f"There is a folder {name!r} already. Choose another name, or ask to overwrite it."
    )


def _move(fresh: Path, folder: Path) -> None:
    try:
        folder.mkdir()  # only one of two who write the same set gets past this
    except FileExistsError:
        raise exists(folder.name) from None
    fresh.rename(folder)  # over the empty one, at once


def _exchange(one: Path, other: Path) -> None:
    """Let two folders change places at once, where the system can; else the old one goes first."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None and rename(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE) == 0:
        return
    aside = Path(tempfile.mkdtemp(prefix=".", suffix=".old", dir=other.parent))
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
