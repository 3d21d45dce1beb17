"""Folders that requests name or data sets declare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import RequestError


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that a request named or a data set declares."""

    name: str
    """Relative to the server's own directory."""
    path: Path


def is_dir(path: Path) -> bool:
    """Tell whether a folder exists; False for impossible names."""
    try:
        return path.is_dir()
    except OSError:
        return False


def existing_folder(parameter: str, root: Path, name: str, variable: str) -> Folder:
    """Return the folder of a name below a root.

    The message names the `parameter` of requests and the setting of the root, `variable`.

    Raises:
        RequestError: `<parameter>-missing`.
    """
    if not is_dir(root / name):
        code = f"{parameter.replace('_', '-')}-missing"
        hint = f"Put the files there, or name another folder below {root} with {parameter}."
        if not root.is_dir():
            hint = f"{root} is not there either; is {variable} right?"
        raise RequestError(code, f"The folder {root / name} is not there. {hint}")
    return Folder(name, root / name)


def listed(names: Iterable[str], label: str = "There are") -> str:
    """List up to 20 names for a message."""
    shown = sorted(names)
    if not shown:
        return " There are none."
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    return f" {label}: {', '.join(shown[:20])}{more}."
