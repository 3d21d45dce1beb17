"""The seam between what is computed and how: one expert, ready to run."""

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
"""And how C++ and OpenVINO say it."""


class NoMemory(Exception):
    """The device's memory is too short for the expert at this batch."""


@dataclass(frozen=True)
class Setup:
    """What an engine is made for."""

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
    """One expert, ready to run at one physical batch shape on one device in one precision.

    A row's bits depend on its image alone: not on the rest of the batch, nor on threads or on what is in flight.
    """

    @property
    def batch(self) -> int:
        """Images of a physical batch."""

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Logits of each batch, in order. Several may be in flight: the input is read ahead of the output.

        Args:
            batches: [batch, H, W, 3] uint8 each, never fewer images.

        Yields:
            [batch, C] float32, before softmax and temperature. Closed early, it waits for what is in flight.

        Raises:
            NoMemory: a batch does not fit; those that were not yielded have to be run again.
            ValueError: a batch of another shape.
            torch.AcceleratorError: the device is lost.
        """


def whole_batch(images: NDArray[np.uint8], setup: Setup) -> Tensor:
    """The batch as a tensor [batch, H, W, 3] uint8, copied only if its memory is read-only or out of order.

    Raises:
        ValueError: another shape, so the bits of its rows might be others.
        NoMemory: for the copy.
    """
    if images.shape != (setup.batch, *setup.image):
        raise ValueError(f"The engine runs batches of {[setup.batch, *setup.image]}, not of {list(images.shape)}.")
    with telling_of_memory():
        return torch.from_numpy(np.require(images, requirements=["C", "W"]))


@contextmanager
def telling_of_memory() -> Iterator[None]:
    """Turn every library's way of saying that memory is too short into NoMemory.

    Raises:
        NoMemory: in place of what was raised.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise NoMemory(str(error)) from error
    except RuntimeError as error:
        # A lost device is a RuntimeError as well, and may talk of memory.
        if isinstance(error, torch.AcceleratorError) or not any(text in str(error) for text in SAID_OF_MEMORY):
            raise
        raise NoMemory(str(error)) from error
