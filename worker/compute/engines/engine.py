"""The interface of engines: fixed batches of images in, logits out."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.catalog.datasets import Transform
from app.domain.requests import Precision
from worker.device import NO_MEMORY

SAID_OF_MEMORY = (*NO_MEMORY, "bad_alloc", "Failed to allocate")
"""Texts in out-of-memory errors, including those of C++ and OpenVINO."""


class NoMemory(Exception):
    """The expert does not fit into memory at this batch size."""


@dataclass(frozen=True)
class Setup:
    """The properties that an engine is compiled for."""

    transform: Transform
    image: tuple[int, int, int]
    """H, W, 3 of every image."""
    batch: int
    """Images of a physical batch."""
    precision: Precision
    device: torch.device
    threads: int
    """CPU threads that OpenVINO may use; PyTorch has one number for the whole process."""


class Engine(Protocol):
    """One expert, ready to run.

    It runs at one physical batch shape, on one device and in one precision. A row's bits depend on its image alone:
    not on the rest of the batch, on threads or on other batches in flight.
    """

    @property
    def batch(self) -> int:
        """Images of a physical batch."""

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Yield the logits of each batch, in order.

        Several batches may be in flight: the input is read ahead of the output.

        Args:
            batches: [batch, H, W, 3] uint8 each, always full.

        Yields:
            [batch, C] float32, before softmax and temperature. An early close waits for batches in flight.

        Raises:
            NoMemory: a batch does not fit; batches not yet yielded have to be run again.
            ValueError: a batch has another shape.
            torch.AcceleratorError: the device is lost.
        """


def whole_batch(images: NDArray[np.uint8], setup: Setup) -> Tensor:
    """Convert a batch to a tensor [batch, H, W, 3] uint8.

    It is copied only if its memory is read-only or not contiguous.

    Raises:
        ValueError: the shape differs from the setup, so the rows' bits might differ.
        NoMemory: the copy does not fit.
    """
    if images.shape != (setup.batch, *setup.image):
        raise ValueError(f"The engine runs batches of {[setup.batch, *setup.image]}, not of {list(images.shape)}.")
    with telling_of_memory():
        return torch.from_numpy(np.require(images, requirements=["C", "W"]))


@contextmanager
def telling_of_memory() -> Iterator[None]:
    """Translate every library's out-of-memory error into NoMemory.

    Raises:
        NoMemory: in place of the library's error.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise NoMemory(str(error)) from error
    except RuntimeError as error:
        # A lost device raises a RuntimeError as well, whose text may mention memory.
        if isinstance(error, torch.AcceleratorError) or not any(text in str(error) for text in SAID_OF_MEMORY):
            raise
        raise NoMemory(str(error)) from error
