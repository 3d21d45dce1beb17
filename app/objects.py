"""The jobs' own immutable artifacts: files named by their content."""

from __future__ import annotations

from pathlib import Path


def object_path(objects_dir: Path, sha256: str) -> Path:
    """Where the artifact with that digest lies."""
    return objects_dir / sha256[:2] / f"{sha256}.npz"
