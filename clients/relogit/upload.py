"""Files of logits on this machine: which of them are meant, whether the server sees them, and how they get there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from relogit.errors import InvalidPath, Problem, RelogitError
from relogit.wire import Wire, segment

SUFFIXES = (".npz", ".pt")
MANIFEST_SUFFIX = ".json"  # of the manifest that lies beside a file, under its name
MARK = "_logits"
BARE_SUFFIX = ".pt"  # of a tensor alone, whose targets may lie beside it
TARGETS_MARKS = ("_targets", "_labels")  # of the file that holds them, in place of MARK; the first that is there
ARRAY_SUFFIXES = (*SUFFIXES, ".npy", ".pth", ".pkl", ".h5")  # what may be meant as logits, whatever its name
INSTANCE = Path(".relogit", "instance")  # below a server's outputs: what tells them from everybody else's
CHUNK = 2**20  # bytes read at a time
NAMED = 5  # other files, in an error

Progress = Callable[[int, int], None]
"""Told the bytes that are sent and all there are to send."""


@dataclass(frozen=True)
class LogitFiles:
    """What a path holds that can be verified.

    Attributes:
        files: where each file is, by the name under which it is uploaded: `<expert>/<split>_logits.npz`.
        others: files that look like arrays but have no such name, relative to the path.
    """

    files: Mapping[str, Path]
    others: tuple[str, ...] = ()


class Sent(NamedTuple):
    """What became of an upload.

    Attributes:
        upload: its id.
        refused: files that the server cannot take under their names.
    """

    upload: str
    refused: tuple[str, ...]


def find_logit_files(path: Path) -> LogitFiles:
    """Find the files of logits at a path, with the manifests and targets beside them.

    Of a folder these are all `*_logits.npz` and `*_logits.pt` below it; hidden ones are left out, and links are
    followed, but for those that lead back up. Files in the folder itself are of the expert that it is named after.
    A single file may have any name. The targets of `<split>_logits.pt` are `<split>_targets.pt` or
    `<split>_labels.pt` beside it.

    Raises:
        InvalidPath: it is not there, cannot be read, or holds no such file.
    """
    whole = _absolute(path)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise _unreadable(error) from error
    if not is_folder:
        if not is_file:
            raise InvalidPath(f"There is neither a folder nor a file {str(path)!r}.")
        return LogitFiles(_with_companions(f"{whole.parent.name or 'logits'}/{whole.name}", path))
    files: dict[str, Path] = {}
    others = []
    for found in sorted(_walk(path)):
        relative = found.relative_to(path)
        if not str(relative).isprintable():  # no URL, no JSON or no terminal could carry the name
            others += [ascii(str(relative))[1:-1]] if found.suffix in ARRAY_SUFFIXES else []
        elif found.suffix in SUFFIXES and found.stem.endswith(MARK) and found.stem != MARK:
            name = relative.as_posix() if len(relative.parts) > 1 else f"{whole.name or 'logits'}/{found.name}"
            while name in files:  # the expert stays the last folder's name, so the server sees that both claim it
                name = f"{whole.name}/{name}"
            files |= _with_companions(name, found)
        elif found.suffix in ARRAY_SUFFIXES:
            others.append(relative.as_posix())
    taken = {file.relative_to(path).as_posix() for file in files.values()}
    others = [name for name in others if name not in taken]
    if not files:
        more = f", and {len(others) - NAMED} more" if len(others) > NAMED else ""
        hint = f" It has other files: {', '.join(others[:NAMED])}{more}." if others else ""
        raise InvalidPath(
            f"There is no file <expert>/<split>{MARK}{SUFFIXES[0]} or {SUFFIXES[1]} in {str(path)!r}.{hint}"
        )
    return LogitFiles(files, tuple(others))


def place_at_server(path: Path, token: str) -> str | None:
    """The path as the server names it, below its outputs ("." for these themselves); None if it is not there.

    Args:
        path: a folder or a file that exists.
        token: the server's `instance`: `<hex>:<inode>` of the file INSTANCE, which itself holds only the hex.
            So neither another server's outputs nor a copy of this one's are taken for them.
    """
    real = path.resolve()
    if path.is_file() and real.parts[-2:] != _absolute(path).parts[-2:]:
        return None  # the last two names say whose logits these are, and a link's may be others than its target's
    for root in (real, *real.parents):
        if _is_instance(root / INSTANCE, token):
            below = real.relative_to(root)
            return None if any(part.startswith(".") for part in below.parts) else below.as_posix()
    return None


@contextmanager
def uploaded(wire: Wire, files: Mapping[str, Path], progress: Progress | None = None) -> Iterator[Sent]:
    """Send the files. If the block does not end well, the upload is deleted.

    Raises:
        InvalidPath: a file cannot be read.
    """
    upload = str(wire.post("/uploads")["id"])
    try:
        try:
            refused = _send(wire, upload, files, progress)
        except OSError as error:
            raise _unreadable(error) from error
        yield Sent(upload, tuple(refused))
    except BaseException:  # Ctrl-C as well: what nobody will verify must not stay on the server's disk
        with suppress(RelogitError):
            wire.delete(f"/uploads/{segment(upload)}")
        raise


def _send(wire: Wire, upload: str, files: Mapping[str, Path], progress: Progress | None) -> list[str]:
    """Send the files. Returns those that the server has no room for under their names."""
    unsent: list[str] = []
    total = sum(path.stat().st_size for path in files.values())
    sent = 0

    def chunks(path: Path) -> Iterator[bytes]:
        nonlocal sent
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
                sent += len(chunk)
                if progress:
                    progress(sent, total)

    for name, path in files.items():
        target = "/".join(segment(part) for part in name.split("/"))
        try:
            wire.put(f"/uploads/{segment(upload)}/{target}", chunks(path))
        except Problem as refused:
            if refused.code != "invalid-name":
                raise
            unsent.append(name)
    return unsent


def _walk(root: Path) -> Iterator[Path]:
    """Files below a folder; links are followed, but for those that lead back up."""

    def refuse(error: OSError) -> None:
        raise _unreadable(error) from error

    for folder, names, files in os.walk(root, followlinks=True, onerror=refuse):
        here = Path(folder)
        depth = len(here.relative_to(root).parts)
        if any(here.samefile(above) for above in here.parents[:depth]):
            names.clear()
            continue
        names[:] = [name for name in names if not name.startswith(".")]
        yield from (here / name for name in files if not name.startswith("."))


def _with_companions(name: str, path: Path) -> dict[str, Path]:
    """The file under its name, with its manifest and its targets, where it has some."""
    manifest, sent = path.with_suffix(MANIFEST_SUFFIX), PurePosixPath(name)
    companions = [manifest] if manifest.is_file() else []
    if path.suffix == BARE_SUFFIX and path.stem.endswith(MARK) and path.stem != MARK:
        split = path.stem.removesuffix(MARK)
        beside = (path.with_name(f"{split}{mark}{BARE_SUFFIX}") for mark in TARGETS_MARKS)
        # A link that leads nowhere counts: to send the logits without it would be silent.
        companions += [targets for targets in beside if targets.is_file() or targets.is_symlink()][:1]
    return {name: path} | {str(sent.with_name(file.name)): file for file in companions}


def _is_instance(marker: Path, token: str) -> bool:
    written, _, inode = token.partition(":")
    try:
        return marker.read_text().strip() == written and str(marker.stat().st_ino) == inode
    except (OSError, ValueError):  # mostly: there is none
        return False


def _absolute(path: Path) -> Path:
    """The path with the names that the caller gave, links included."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow the links


def _unreadable(error: OSError) -> InvalidPath:
    return InvalidPath(f"Cannot read {str(error.filename)!r}: {error.strerror}.")
