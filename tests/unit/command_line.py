"""The `relogit` command, run in this process against a fake server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Ran:
    """One run of the command line."""

    code: int
    out: str
    err: str


Relogit = Callable[..., Ran]
