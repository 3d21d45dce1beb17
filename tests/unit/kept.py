"""Kept rows to test with: sources, logits that tell their place, and files that can be spoilt."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.domain.numerics import NumericsKey, RowSource
from app.files.row_files import ABOUT, KeptRows
from app.files.row_store import RowStore

SIZE, CLASSES = 7, 3
SEEN = {"expert": "ce", "file": "best_ce.pth", "dataset": "digits", "base": "test"}
NUMERICS = NumericsKey(
    precision="fp32",
    device="cpu",
    model="a processor",
    capability="AVX512",
    engine="torch",
    engine_version="2.13.0",
    revision="r1",
    batch="any multiple of 16",
)
SOURCE = RowSource(
    tensors_sha256="ab" * 32,
    network={"kind": "CifarResNetSpec", "architecture": "cifar_resnet32", "widths": (16, 32, 64)},
    classes=CLASSES,
    pixels_sha256="cd" * 32,
    transform={"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)},
    numerics=NUMERICS,
)


def source(number: int, classes: int = CLASSES) -> RowSource:
    """One of many sources that differ in their tensors."""
    return replace(SOURCE, tensors_sha256=f"{number:064x}", classes=classes)


def logits(size: int = SIZE, classes: int = CLASSES) -> NDArray[np.float32]:
    """[size, classes] float32: no two rows are alike."""
    return np.random.default_rng(size).standard_normal((size, classes)).astype(np.float32)


def filled(folder: Path, kept_source: RowSource = SOURCE, size: int = SIZE) -> KeptRows:
    """Rows of which each is there."""
    kept = RowStore(folder).open(kept_source, size, SEEN)
    kept.write(np.arange(size), logits(size, kept_source.classes))
    return kept


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file; flipped again, it is as before."""
    with path.open("r+b") as stream:
        stream.seek(bit // 8)
        byte = stream.read(1)[0]
        stream.seek(bit // 8)
        stream.write(bytes([byte ^ 1 << bit % 8]))


def cut(path: Path, by: int) -> None:
    """Make a file shorter by so many bytes, or longer by a negative number of them."""
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - by)


def used(folder: Path, ago_s: float) -> None:
    """As if a job had last used the rows so long ago."""
    then = time.time() - ago_s
    os.utime(folder / ABOUT, (then, then))
