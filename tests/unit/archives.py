"""Files of logits for tests of reading them: right arrays, and the means to write wrong ones."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import numpy as np

N, C = 6, 3
LOGITS = np.random.default_rng(0).random((N, C), dtype=np.float32)


def npy(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array))
    return stream.getvalue()


def declared(descr: object, shape: tuple[int, ...], data: bytes = b"") -> bytes:
    """An .npy of that header, whatever follows."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def zipped(path: Path, *members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")  # a name twice
        for name, data in members:
            archive.writestr(name, data)
    return path
