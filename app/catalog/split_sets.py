"""Sets of splits on disk: written whole, and described by a `splits.json` that says what the lists themselves cannot.

<data>/NAME/{split}_indices.json         flat JSON lists, in their rows' order
<data>/NAME/class_weights.json           n_c / Σ n of the train list, in class order
<data>/NAME/train_class_counts.json      n_c, in class order
<data>/NAME/splits.json                  where each list points, how it was made, what it was made from
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.catalog.datasets import read_datasets
from app.domain.errors import Conflict, RequestError
from app.domain.fault_points import reach
from app.domain.names import check_name

DESCRIPTION_FILE = "splits.json"
LISTS = "*_indices.json"
OWN_FILES = (LISTS, "class_weights.json", "train_class_counts.json", DESCRIPTION_FILE)
"""What a set of splits holds; a folder with anything else in it is not only a set, and is never overwritten."""
RENAME_EXCHANGE = 2
AT_FDCWD = -100
"""Of renameat2(2), for two folders that change places at once."""
TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
"""How rename(2) refuses to put a folder where something is. It does replace an empty folder."""


class _Described(BaseModel):
    # Strict: a size of "7" would be equal to no size. What is not listed here is for readers, and is not looked at.
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class ListDescription(_Described):
    """What a `splits.json` says of one list; None where it says nothing."""

    base: str
    size: int | None = Field(None, ge=0)
    sha256: str | None = None
    """As `list_sha256` has it."""
    balance: Literal["balanced", "long-tailed"] | None = None
    row_order: Literal["class-major", "ascending", "shuffled"] | None = None
    part_of: str | None = None
    """The list whose samples these are too, on purpose."""


class DatasetDescription(_Described):
    """What the set was made from."""

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
    """Of a list as `write_set` writes it, so also of its file: compact JSON."""
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def write_set(folder: Path, files: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write JSON files as one folder: it is there with all of them, or not at all.

    Args:
        folder: what it is to be called.
        files: JSON-able content by file name; lists are written without spaces, so equal lists have equal bytes.
        overwrite: whether a folder of that name may be replaced. Until the new one is whole, the old one stays.

    Raises:
        Conflict: `splits-exist`, it is there and is not to be overwritten.
        RequestError: `not-splits`, it is to be overwritten, but is more than a set of splits.
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
        reach("set.whole")
        if overwrite and not _is_free(folder):
            _check_own(folder)  # once more: it is only now that its files go
            _exchange(fresh, folder)
        else:
            _move(fresh, folder)
        _flush(folder.parent)
        reach("set.shown")
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # what was there before, or what could not be shown


def read_description(folder: Path) -> Description | None:
    """The folder's `splits.json`; None where there is none, for nothing needs it.

    Raises:
        RequestError: `splits-file-invalid`, it cannot be read. To go on without it might take another base.
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
    """The base that a description gives for a list, or None where it says nothing of it.

    Raises:
        RequestError: `invalid-name`, it is no name of a base.
    """
    said = (described.lists or {}).get(split) if described else None
    return None if said is None else check_name(f"{DESCRIPTION_FILE} in {folder.name}: base", said.base)


def _invalid(folder: Path, why: str) -> RequestError:
    return RequestError(
        "splits-file-invalid",
        f"{DESCRIPTION_FILE} in {folder.name} cannot be used: {why}. Mend it, or remove it: datasets.toml then says "
        "where the lists point.",
    )


def free_name(given: str, data_dir: Path, overwrite: bool) -> str:
    """A name that a new set may have.

    Raises:
        RequestError: `invalid-name`, or `not-splits` where more than a set is there, which is never overwritten.
        Conflict: `splits-exist`.
    """
    name = check_name("name", given)
    path = data_dir / name
    if _is_free(path):
        return name
    if not overwrite:
        raise exists(name)
    _check_own(path)
    for dataset_name, dataset in read_datasets(data_dir).items():
        if (data_dir / dataset.root).resolve().is_relative_to(path.resolve()):
            raise _foreign(name, f"it is where the images of the data set {dataset_name!r} belong")
    return name


def exists(name: str) -> Conflict:
    """The error where a set of that name is there already."""
    return Conflict(
        "splits-exist", f"There is a folder {name!r} already. Choose another name, or ask to overwrite it."
    )


def _is_free(path: Path) -> bool:
    """Whether nothing would be lost if a new folder took its place: it is not there, or is an empty folder."""
    if path.is_symlink() or not path.is_dir():
        return not os.path.lexists(path)
    return not any(path.iterdir())


def _check_own(folder: Path) -> None:
    if folder.is_symlink() or not folder.is_dir():
        raise _foreign(folder.name, "it is a link" if folder.is_symlink() else "it is no folder")
    there = {path.name: path.is_file() and not path.is_symlink() for path in folder.iterdir()}
    others = sorted(
        name for name, plain in there.items() if not (plain and any(fnmatchcase(name, own) for own in OWN_FILES))
    )
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        raise _foreign(folder.name, f"it also holds {', '.join(others[:5])}{more}, which would be lost")
    if not any(fnmatchcase(name, LISTS) for name in there):
        raise _foreign(folder.name, f"it has no list ({LISTS})")


def _foreign(name: str, why: str) -> RequestError:
    return RequestError("not-splits", f"{name!r} is not overwritten, for it is not just a set of splits: {why}.")


def _move(fresh: Path, folder: Path) -> None:
    try:
        fresh.rename(folder)  # at once, and only one of two who write the same set gets past this
    except OSError as error:
        if error.errno in TAKEN:
            raise exists(folder.name) from None
        raise


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
