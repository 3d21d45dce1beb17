"""The parameters of every benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """The size of a run, and its folder."""

    folder: Path
    """An empty folder for the benchmark alone, deleted afterwards."""
    images: int
    """Images of the main job; 10,000 except for trials."""
    rounds: int
    """Number of measurements of everything that varies."""
    say: Callable[[str], None]
    """Shows the current step."""
