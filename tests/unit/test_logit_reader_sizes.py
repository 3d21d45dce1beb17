"""Files of logits that are, or say that they are, much larger than anything relogit needs."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.fakes import refused
from tests.unit.archives import C, N, declared, npy, zipped
from worker.outputs.logit_reader import read_stored


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    return tmp_path / "val_logits.npz"


def _peak(path: Path) -> tuple[dict[str, tuple[int, ...]], int]:
    tracemalloc.start()
    try:
        shapes = {name: array.shape for name, array in read_stored(path, N, C).arrays.items()}
        return shapes, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["logits", "notes"])
@pytest.mark.parametrize("shape", [(10**9, 100), (2**40,), (5 * 10**6,)])
def test_a_huge_array_is_told_by_its_shape_alone(npz: Path, shape: tuple[int, ...], name: str) -> None:
    """Whether its bytes are there or only declared, no more than a few megabytes are ever held."""
    there = b"\0" * 20_000_000 if shape == (5 * 10**6,) else b""
    zipped(npz, (f"{name}.npy", declared("<f4", shape, there)), compression=zipfile.ZIP_DEFLATED)
    shapes, peak = _peak(npz)
    assert shapes == {name: shape}
    assert peak < 8_000_000


def test_many_arrays_of_other_names_take_no_room(npz: Path) -> None:
    """Each alone would do no harm."""
    zipped(npz, *((f"{n}.npy", npy(np.zeros(1_000_000, np.uint8))) for n in range(20)))
    shapes, peak = _peak(npz)
    assert len(shapes) == 20
    assert peak < 4_000_000


def test_a_huge_header_is_not_read(npz: Path) -> None:
    """A header may say that it has gigabytes, which compress to nothing."""
    header = b"\x93NUMPY\x02\x00" + (20_000_000).to_bytes(4, "little") + b" " * 20_000_000
    zipped(npz, ("logits.npy", header), compression=zipfile.ZIP_DEFLATED)
    del header
    tracemalloc.start()
    try:
        with refused("logits-unreadable"):
            read_stored(npz, N, C)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_one_number_that_is_repeated_without_end_takes_no_room(tmp_path: Path, dtype: torch.dtype) -> None:
    """A tensor can have a billion entries in a file of a kilobyte: its shape is told, and nothing is made of it."""
    tensor = torch.zeros(1, dtype=dtype).expand(10**9, 100)
    pt = tmp_path / "val_logits.pt"
    torch.save(tensor.conj() if dtype.is_complex else tensor, pt)
    array = read_stored(pt, N, C).arrays["logits"]
    assert array.shape == (10**9, 100)
    assert array.strides == (0, 0)
