"""What every benchmark is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """How large a run is, and where it may write."""

    folder: Path
    """Empty, the benchmark's own, deleted afterwards."""
    images: int
    """Of the main job; 10,000 unless one only wants to try."""
    rounds: int
    """How often everything that varies is measured."""
    say: Callable[[str], None]
    """Shows what is being done."""
