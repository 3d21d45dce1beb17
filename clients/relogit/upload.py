"""Logit files on this machine, and their way to the server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from relogit.errors import InvalidPath, Problem, RelogitError
from relogit.wire import Wire, segment, segments

SUFFIXES = (".npz", ".pt")
MANIFEST_SUFFIX = ".json"  # of the manifest beside a file of logits
MARK = "_logits"
MIXTURE_MARK = "_mixture"  # of the probabilities that the server writes beside combined logits
BARE_SUFFIX = ".pt"  # of a tensor alone; its targets may be in a file beside it
TARGETS_MARKS = ("_targets", "_labels")  # replace MARK in the name of the targets' file; the first that exists counts
ARRAY_SUFFIXES = (*SUFFIXES, ".npy", ".pth", ".pkl", ".h5")  # of files that may be meant as logits
INSTANCE = Path(".relogit", "instance")  # below a server's outputs: identifies the server
CHUNK = 2**20  # bytes read at a time
OTHERS_NAMED = 5  # of the other files, in an error

Progress = Callable[[int, int], None]  # receives the bytes sent so far and the bytes in all


@dataclass(frozen=True)
class LogitFiles:
    """The files at a path that can be verified."""

    files: Mapping[str, Path]  # by the name for the upload: `<expert>/<split>_logits.npz`
    others: tuple[str, ...] = ()  # files of arrays that have no such name, relative to the path


def find_logit_files(path: Path) -> LogitFiles:
    """Find logit files at a path, with manifests and targets.

    Of a folder these are all `*_logits.npz` and `*_logits.pt` below it, without hidden files and folders. Links are
    followed unless they lead back up. Files in the folder itself belong to the expert named like the folder. A single
    file may have any name. The targets of `<split>_logits.pt` are `<split>_targets.pt` or `<split>_labels.pt`.

    Raises:
        InvalidPath: the path does not exist, cannot be read, or holds no such file.
    """
    whole = _absolute(path)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise _unreadable(error) from error
    if is_folder:
        return _find_in_folder(path, whole.name or "logits")
    if is_file:
        return LogitFiles(_with_companions(f"{whole.parent.name or 'logits'}/{whole.name}", path))
    raise InvalidPath(f"There is neither a folder nor a file {str(path)!r}.")


def path_at_server(path: Path, token: str) -> str | None:
    """Return a path relative to the server's outputs, or None.

    The token is the server's `instance`: `<hex>:<inode>` of the file INSTANCE, which itself holds only the hex.
    Neither another server's outputs nor a copy of this one's have both.
    """
    real = path.resolve()
    if path.is_file() and real.parts[-2:] != _absolute(path).parts[-2:]:
        return None  # a link: its last two names tell expert and split, and its target's may differ
    for root in (real, *real.parents):
        if _is_instance(root / INSTANCE, token):
            below = real.relative_to(root)
            return None if any(part.startswith(".") for part in below.parts) else below.as_posix()
    return None


@contextmanager
def uploaded(
    wire: Wire, files: Mapping[str, Path], progress: Progress | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Upload files, and delete them if the block raises.

    It yields the id of the upload, and the names that the server refused.

    Raises:
        InvalidPath: a file cannot be read.
    """
    upload = str(wire.post("/uploads")["id"])
    try:
        try:
            refused = _send(wire, upload, files, progress)
        except OSError as error:
            raise _unreadable(error) from error
        yield upload, refused
    except BaseException:  # Ctrl-C included: an upload without a verification must not fill the server's disk
        with suppress(RelogitError):
            wire.delete(f"/uploads/{segment(upload)}")
        raise


def _find_in_folder(folder: Path, name: str) -> LogitFiles:
    files: dict[str, Path] = {}
    other_names = []
    for path in sorted(_walk(folder)):
        relative = path.relative_to(folder)
        if not str(relative).isprintable():  # URLs, JSON and terminals cannot carry such a name
            other_names += [ascii(str(relative))[1:-1]] if path.suffix in ARRAY_SUFFIXES else []
        elif path.suffix in SUFFIXES and path.stem.endswith(MARK) and path.stem != MARK:
            upload_name = relative.as_posix() if len(relative.parts) > 1 else f"{name}/{path.name}"
            while upload_name in files:  # the last folder still names the expert, so the server sees the conflict
                upload_name = f"{name}/{upload_name}"
            files |= _with_companions(upload_name, path)
        elif path.suffix in ARRAY_SUFFIXES:
            other_names.append(relative.as_posix())
    companions = {path.relative_to(folder).as_posix() for path in files.values()}
    companions |= {f"{name.removesuffix(MARK + SUFFIXES[0])}{MIXTURE_MARK}{SUFFIXES[0]}" for name in companions}
    other_names = [name for name in other_names if name not in companions]
    if not files:
        more = f", and {len(other_names) - OTHERS_NAMED} more" if len(other_names) > OTHERS_NAMED else ""
        hint = f" It has other files: {', '.join(other_names[:OTHERS_NAMED])}{more}." if other_names else ""
        raise InvalidPath(
            f"There is no file <expert>/<split>{MARK}{SUFFIXES[0]} or {SUFFIXES[1]} in {str(folder)!r}.{hint}"
        )
    return LogitFiles(files, tuple(other_names))


def _send(wire: Wire, upload: str, files: Mapping[str, Path], progress: Progress | None) -> list[str]:
    """Send the files and return the refused names."""
    refused: list[str] = []
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
        try:
            wire.put(f"/uploads/{segment(upload)}/{segments(name)}", chunks(path))
        except Problem as problem:
            if problem.code != "invalid-name":
                raise
            refused.append(name)
    return refused


def _walk(root: Path) -> Iterator[Path]:
    """Yield files below a folder; skip links back up."""

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
    """Return file, manifest and targets by upload name."""
    manifest, upload_path = path.with_suffix(MANIFEST_SUFFIX), PurePosixPath(name)
    companions = [manifest] if manifest.is_file() else []
    if path.suffix == BARE_SUFFIX and path.stem.endswith(MARK) and path.stem != MARK:
        split = path.stem.removesuffix(MARK)
        candidates = (path.with_name(f"{split}{mark}{BARE_SUFFIX}") for mark in TARGETS_MARKS)
        # A broken link counts, so that sending it fails; without it the logits would go without targets in silence.
        companions += [targets for targets in candidates if targets.is_file() or targets.is_symlink()][:1]
    return {name: path} | {str(upload_path.with_name(file.name)): file for file in companions}


def _is_instance(marker: Path, token: str) -> bool:
    digits, _, inode = token.partition(":")
    try:
        return marker.read_text().strip() == digits and str(marker.stat().st_ino) == inode
    except (OSError, ValueError):  # mostly: the file does not exist
        return False


def _absolute(path: Path) -> Path:
    """Return the absolute path without following links."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow the links


def _unreadable(error: OSError) -> InvalidPath:
    return InvalidPath(f"Cannot read {str(error.filename)!r}: {error.strerror}.")
