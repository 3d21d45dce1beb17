"""Find files of logits by name: `<expert>/<split>_logits.npz` (or `.pt`), at any depth.

The targets of a `.pt` may lie beside it, as `<split>_targets.pt` or `<split>_labels.pt`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from app.domain.errors import RequestError
from app.domain.names import check_name
from app.domain.requests import LogitFile

SUFFIXES = (".npz", ".pt")
MANIFEST_SUFFIX = ".json"
"""Of the manifest beside a file, which has the same name otherwise."""
MARK = "_logits"
BARE_SUFFIX = ".pt"
"""Of a single tensor, whose targets may lie in a file of their own beside it."""
MIXTURE_MARK = "_mixture"
"""In the name of a combination's probabilities and expert weights, which lie beside its logits."""
TARGETS_MARKS = ("_targets", "_labels")
"""In the name of that file, in place of MARK; the first that exists is taken."""
ARRAY_SUFFIXES = (*SUFFIXES, ".npy", ".pth", ".pkl", ".h5")
"""Suffixes of files that may be meant as logits: under another name they are reported, as they are not verified."""


@dataclass(frozen=True, slots=True)
class Found:
    """The files of logits in a folder."""

    files: tuple[LogitFile, ...]
    """Sorted by expert and split."""
    others: tuple[str, ...]
    """Files that look like arrays, but have other names."""


def find_logit_files(root: Path, name: str) -> Found:
    """Find the visible files of logits in a folder.

    The expert of files that lie directly in the folder is its `name`.

    Raises:
        RequestError: `no-logit-files`.
    """
    files, unnamed = [], []
    paths = sorted(_walk(root))
    names = {path.as_posix() for path in paths}
    for path in paths:
        shown = path.as_posix().encode(errors="replace").decode()
        is_text = shown == path.as_posix()  # JSON could not carry any other name
        if is_text and path.suffix in SUFFIXES and path.stem.endswith(MARK) and path.stem != MARK:
            expert = path.parent.name or name
            targets = targets_name(shown, names.__contains__)
            files.append(LogitFile(shown, expert, path.stem.removesuffix(MARK), targets))
        elif path.suffix in ARRAY_SUFFIXES:
            unnamed.append(shown)
    taken = {file.targets for file in files} | {mixture_name(file.name) for file in files}
    others = [name for name in unnamed if name not in taken]
    if not files:
        hint = f" There are other files: {', '.join(others[:5])}." if others else ""
        raise RequestError(
            "no-logit-files",
            f"There is no file <expert>/<split>{MARK}{SUFFIXES[0]} or {SUFFIXES[1]} in {name}.{hint}",
        )
    return Found(tuple(sorted(files, key=lambda file: (file.expert, file.split, file.name))), tuple(others))


def targets_name(name: str, is_there: Callable[[str], bool]) -> str | None:
    """Return the targets file of a single tensor, if any.

    It lies beside the tensor, as `<split>_targets.pt` or `<split>_labels.pt`, if `is_there` knows that name.
    """
    path = PurePath(name)
    if path.suffix != BARE_SUFFIX or not path.stem.endswith(MARK) or path.stem == MARK:
        return None
    beside = (path.with_name(path.stem.removesuffix(MARK) + mark + BARE_SUFFIX) for mark in TARGETS_MARKS)
    return next((targets.as_posix() for targets in beside if is_there(targets.as_posix())), None)


def mixture_name(name: str) -> str:
    """Return the name of the mixture that may lie beside logits."""
    path = PurePath(name)
    return path.with_name(path.stem.removesuffix(MARK) + MIXTURE_MARK + SUFFIXES[0]).as_posix()


def one_logit_file(path: PurePath, expert: str | None, split: str | None) -> LogitFile:
    """Describe a single file, with its expert and split.

    Without an expert it is the name of the folder; without a split the part of the file's name before `_logits`.

    Raises:
        RequestError: `not-logits` (another suffix), `split-unclear`, `expert-unclear` or `invalid-name`.
    """
    if path.suffix not in SUFFIXES:
        raise RequestError("not-logits", f"{path.name} is neither .npz nor .pt.")
    if split is None and (not path.stem.endswith(MARK) or path.stem == MARK):
        raise RequestError(
            "split-unclear", f"{path.name} is not named <split>{MARK}{path.suffix}: say which split it is of."
        )
    if expert is None and not path.parent.name:
        raise RequestError("expert-unclear", f"{path.name} lies in no folder named like its expert: say which it is.")
    split = path.stem.removesuffix(MARK) if split is None else split
    expert = path.parent.name if expert is None else expert
    return LogitFile(path.name, check_name("expert", expert), check_name("split", split))


def _walk(root: Path) -> Iterator[PurePath]:
    """Yield the visible files below a folder, relative to it.

    Links are followed, except for those that lead back up.
    """
    for folder, names, files in os.walk(root, followlinks=True):
        here = Path(folder)
        relative = here.relative_to(root)
        if any(here.samefile(above) for above in here.parents[: len(relative.parts)]):
            names.clear()
            continue
        names[:] = [name for name in names if not name.startswith(".")]
        yield from (PurePath(relative, name) for name in files if not name.startswith("."))
