"""An export: a new folder that appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from relogit.errors import Refused
from relogit.export.formats import in_sample_note, write_fd_shifts, write_fiftyone, write_pred_probs, write_stack
from relogit.export.parquet import write_parquet
from relogit.export.sources import Source
from relogit.job import Job

Format = Literal["parquet", "stack", "pred-probs", "fd-shifts", "fiftyone"]
FORMATS: Mapping[str, Callable[[Source, Path], None]] = {
    "parquet": write_parquet,
    "stack": write_stack,
    "pred-probs": write_pred_probs,
    "fd-shifts": write_fd_shifts,
    "fiftyone": write_fiftyone,
}
DESCRIPTION = "export.json"


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export."""

    name: str
    """Its path below the folder, with slashes."""
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Exported:
    """A folder that was written."""

    folder: Path
    files: tuple[ExportedFile, ...]
    notes: tuple[str, ...]
    """What a reader of the files has to know."""


def export_job(job: Job, to: Format, folder: str | Path, *, force: bool = False) -> Exported:
    """Export a job's verified logits to a new folder.

    Example:
        export_job(client.job("3fa9c2"), "parquet", "tables")

    Args:
        job: that recomputed or combined logits, succeeded, and passed its checks.
        to: the format; docs/exports.md describes them.
        folder: does not exist yet, or is empty.
        force: whether to replace an earlier export in that folder.

    Raises:
        Refused: the job is not verified, or the folder must not be replaced.
        StaleList: an index list is no longer the one that the job used.
        MissingExtra: the format needs a library that is not installed.
        OSError: the folder cannot be written.
    """
    target = Path(folder)
    _check_target(target, force=force)
    source = Source.of(job)
    notes = (in_sample_note(source),) if to == "pred-probs" else ()
    with _new_folder(target) as part:
        FORMATS[to](source, part)
        files = tuple(_files(part))
        description = {
            "format": to,
            "relogit": version("relogit"),
            **source.describe(),
            "notes": list(notes),
            "files": [vars(file) for file in files],
        }
        (part / DESCRIPTION).write_text(
            json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        files = (*files, _file(part, part / DESCRIPTION))
    return Exported(target, files, notes)


def _check_target(target: Path, *, force: bool) -> None:
    """Refuse a target that holds anything but, with `force`, an earlier export."""
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir() or target.is_symlink():
        raise Refused(f"{target} is no folder; name a new one.")
    if not any(target.iterdir()):
        return
    if not (target / DESCRIPTION).is_file():
        raise Refused(f"{target} holds files that are no export of relogit's; name a new folder.")
    if not force:
        raise Refused(f"{target} holds an earlier export; name a new folder, or replace it with --force.")


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Yield a hidden folder that takes the target's place at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    part, earlier = (target.with_name(f".{target.name}.{token}.{end}") for end in ("part", "old"))
    part.mkdir()
    try:
        yield part
        if target.exists():
            target.replace(earlier)
        part.replace(target)
    finally:
        if earlier.exists() and not target.exists():
            earlier.replace(target)
        for folder in (part, earlier):
            shutil.rmtree(folder, ignore_errors=True)


def _files(folder: Path) -> Iterator[ExportedFile]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield _file(folder, path)


def _file(folder: Path, path: Path) -> ExportedFile:
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return ExportedFile(path.relative_to(folder).as_posix(), path.stat().st_size, sha256)


def to_json(exported: Exported, job_id: str, to: str) -> dict[str, Any]:
    """Describe an export as JSON."""
    files = [vars(file) for file in exported.files]
    return {
        "job": job_id,
        "format": to,
        "folder": str(exported.folder),
        "files": files,
        "notes": list(exported.notes),
    }
