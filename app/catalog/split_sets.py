"""Sets of splits on disk, each described by a `splits.json`.

<data>/NAME/{split}_indices.json         flat JSON lists, in their rows' order
<data>/NAME/class_weights.json           n_c / Σ n of the train list, in class order
<data>/NAME/train_class_counts.json      n_c, in class order
<data>/NAME/splits.json                  where each list points, how it was made, what it was made from
<data>/.NAME.<hex>.old                   the older set, while a new one takes its place

A set is replaced by two renames: the old one away, the new one in. After a crash in between, `restore_set` puts the
old one back: a reader that misses the set calls it, and the sweep of orphans.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.catalog.datasets import read_datasets
from app.catalog.folders import is_dir
from app.domain.errors import Conflict, RequestError
from app.domain.fault_points import reach
from app.domain.names import check_name
from app.files.disk import TAKEN, flush, remove

DESCRIPTION_FILE = "splits.json"
LISTS = "*_indices.json"
OWN_FILES = (LISTS, "class_weights.json", "train_class_counts.json", DESCRIPTION_FILE)
"""Files of a set of splits; a folder with any other file is never overwritten."""
ASIDE = re.compile(r"\.(.+)\.[0-9a-f]{32}\.old")
"""Name of a set while a new one takes its place."""
REPLACING_S = 0.1
"""How long a reader leaves a living process to finish the two renames, which take microseconds."""
MAX_TRIES = 10
"""A try fails if the set is replaced between two looks at the folder."""


T = TypeVar("T")


class _Described(BaseModel):
    # Strict: a size of "7" would be equal to no size. Other fields are for human readers and are ignored.
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class ListDescription(_Described):
    """The entry of a `splits.json` for one list; None for what it leaves out."""

    base: str
    size: int | None = Field(None, ge=0)
    sha256: str | None = None
    """As `list_sha256` has it."""
    balance: Literal["balanced", "long-tailed"] | None = None
    row_order: Literal["class-major", "ascending", "shuffled"] | None = None
    part_of: str | None = None
    """The list that this one is a part of, on purpose."""


class DatasetDescription(_Described):
    """The data set that the lists were made from."""

    name: str | None = None
    labels_sha256: dict[str, str] = {}
    """Base → `list_sha256` of its labels, as the lists were drawn from them."""


class Description(_Described):
    """A folder's `splits.json`."""

    made_by: str | None = None
    made_at: str | None = None
    profile: str | None = None
    imbalance_factor: float | None = None
    seed: int | None = None
    test_shares: list[int] | None = None
    expert_share: float | None = None
    dataset: DatasetDescription | None = None
    lists: dict[str, ListDescription] | None = None

    @model_validator(mode="after")
    def _profile_is_whole(self) -> Self:
        if self.profile is not None and None in (self.imbalance_factor, self.seed):
            raise ValueError("a profile goes with an imbalance_factor and a seed")
        return self


def list_sha256(values: Sequence[int]) -> str:
    """Hash a list as `write_set` writes it: compact JSON."""
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def write_set(folder: Path, files: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write JSON files as one folder, all or none.

    Lists are written without spaces, so equal lists have equal bytes. With `overwrite` the old set stays until the
    new one is complete.

    Raises:
        Conflict: `splits-exist`, there is a folder, and it is not to be overwritten.
        RequestError: `not-splits`, it is to be overwritten, but holds more than a set of splits.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    restore_set(folder)
    new = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder.parent))
    try:
        for name, content in files.items():
            with (new / name).open("w") as stream:
                json.dump(content, stream, separators=(",", ":"), allow_nan=False)
        new.chmod(0o755)  # mkdtemp's 0700 would hide it from the rest of the group
        flush(*(new / name for name in files), new)
        reach("set.whole")
        _put_in_place(new, folder, overwrite=overwrite)
        flush(folder.parent)
        reach("set.shown")
    finally:
        with contextlib.suppress(OSError):
            remove(new)  # where it could not take its place


def _put_in_place(new: Path, folder: Path, *, overwrite: bool) -> None:
    """Give a set its name, then remove any older one."""
    old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.old")
    while True:
        try:
            new.rename(folder)
            break
        except OSError as error:
            if error.errno not in TAKEN:
                raise
        if not overwrite:
            raise exists(folder.name)
        remove(old)  # a second round: another process put its own set there, so this older one is obsolete
        with contextlib.suppress(FileNotFoundError):  # another process is replacing the set as well
            read_unchanged(folder, partial(_check_own, folder))
            folder.rename(old)
            reach("set.aside")
    with contextlib.suppress(OSError):  # the sweep of orphans has another try
        remove(old)


def restore_set(folder: Path) -> bool:
    """Restore a set after a crash between two renames.

    A living process gets REPLACING_S to finish. Returns whether the set is there.
    """
    for _ in range(MAX_TRIES):
        if is_dir(folder):
            return True
        if asides := _asides(folder.parent, folder.name):
            time.sleep(REPLACING_S)
            with contextlib.suppress(OSError):  # the name is taken by then, or another reader was faster
                max(asides, key=lambda path: path.stat().st_ctime).rename(folder)
    return False


def read_unchanged(folder: Path, read: Callable[[], T]) -> T:
    """Read a set, again if it was replaced meanwhile.

    Otherwise a list of the old set might be read with the description of the new one, or with none.
    """
    while True:
        is_set = restore_set(folder)
        before = _state(folder)
        try:
            result = read()
        except (OSError, RequestError):
            if before == _state(folder) and (before or not is_set):
                raise
        else:
            if before == _state(folder):
                return result


def _state(folder: Path) -> tuple[int, int] | None:
    try:
        state = folder.stat()
    except OSError:
        return None
    return state.st_ino, state.st_ctime_ns


def obsolete_sets(data_dir: Path) -> list[Path]:
    """List the replaced sets that were set aside; restore others."""
    return [path for path, name in _asides(data_dir).items() if restore_set(data_dir / name) and path.exists()]


def _asides(data_dir: Path, name: str | None = None) -> dict[Path, str]:
    """Return the names of sets that were set aside, by path."""
    names = {path: match[1] for path in data_dir.glob(".*.old") if (match := ASIDE.fullmatch(path.name))}
    return {path: own for path, own in names.items() if name in (None, own)}


def read_description(folder: Path) -> Description | None:
    """Read a folder's `splits.json`; None if there is none.

    Raises:
        RequestError: `splits-file-invalid`, it cannot be read. Without it the wrong base might be taken.
    """
    try:
        return Description.model_validate(json.loads((folder / DESCRIPTION_FILE).read_bytes()))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        wrong = [": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in error.errors()]
        raise _invalid(folder, "; ".join(wrong)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid(folder, str(error)) from error


def base_in(described: Description | None, folder: Path, split: str) -> str | None:
    """Return the base that the description gives, if any.

    Raises:
        RequestError: `invalid-name`, it is no name of a base.
    """
    entry = (described.lists or {}).get(split) if described else None
    return None if entry is None else check_name(f"{DESCRIPTION_FILE} in {folder.name}: base", entry.base)


def _invalid(folder: Path, why: str) -> RequestError:
    return RequestError(
        "splits-file-invalid",
        f"{DESCRIPTION_FILE} in {folder.name} cannot be used: {why}. Correct it, or remove it: datasets.toml then "
        "says where the lists point.",
    )


def free_name(given: str, data_dir: Path, overwrite: bool) -> str:
    """Check and return the name of a new set.

    Raises:
        RequestError: `invalid-name`, or `not-splits` where the folder holds more than a set.
        Conflict: `splits-exist`.
    """
    name = check_name("name", given)
    path = data_dir / name
    if _is_free(path):
        return name
    if not overwrite:
        raise exists(name)
    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
        read_unchanged(path, partial(_check_own, path))
    for dataset_name, dataset in read_datasets(data_dir).items():
        if (data_dir / dataset.root).resolve().is_relative_to(path.resolve()):
            raise _foreign(name, f"it is where the images of the data set {dataset_name!r} belong")
    return name


def exists(name: str) -> Conflict:
    """Describe the conflict with a set of that name."""
    message = f"There is a folder {name!r} already. Choose another name, or ask to overwrite it."
    return Conflict("splits-exist", message)


def _is_free(path: Path) -> bool:
    """Tell whether a place is free; an empty folder is."""
    if path.is_symlink() or not path.is_dir():
        return not os.path.lexists(path)
    return not any(path.iterdir())


def _check_own(folder: Path) -> None:
    """Refuse to overwrite anything but a set of splits.

    Raises:
        RequestError: `not-splits`.
        FileNotFoundError: nothing is there.
    """
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise _foreign(folder.name, "it is a link" if folder.is_symlink() else "it is no folder")
    with os.scandir(folder) as entries:
        is_file = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    foreign = sorted(
        name for name, plain in is_file.items() if not (plain and any(fnmatchcase(name, own) for own in OWN_FILES))
    )
    if foreign:
        more = f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
        raise _foreign(folder.name, f"it also holds {', '.join(foreign[:5])}{more}, which would be lost")
    if not any(fnmatchcase(name, LISTS) for name in is_file):
        raise _foreign(folder.name, f"it has no list ({LISTS})")


def _foreign(name: str, why: str) -> RequestError:
    return RequestError("not-splits", f"{name!r} is not overwritten, because it is not just a set of splits: {why}.")
