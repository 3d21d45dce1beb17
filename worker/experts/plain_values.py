"""Harmless values beside the weights of a checkpoint, whose loading runs no code.

Training scripts save their best accuracy as a NumPy scalar and their command line as a Namespace.
`weights_only=True` refuses both by name, although building them only fills in data.
"""

from __future__ import annotations

import _codecs
import argparse
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_ALLOWING = threading.Lock()


@contextmanager
def plain_values_allowed() -> Iterator[None]:
    """Allow `torch.load(weights_only=True)` to build plain values too.

    Only one thread may be in the block, because PyTorch keeps one list of allowed values per process.
    """
    with _ALLOWING, torch.serialization.safe_globals(_plain_values()):
        yield


def _plain_values() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    # NumPy's constructors, which every pickle of a scalar or an array names.
    scalar: Any = np.float64().__reduce__()[0]
    array: Any = np.empty(0).__reduce__()[0]
    dtypes = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
    return [
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),  # as NumPy 1 wrote it
        array,
        (array, "numpy.core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        *dtypes,
        _codecs.encode,  # bytes, in pickles of protocol 2
        argparse.Namespace,
    ]
