"""Images → logits: batches, normalisation, out-of-memory backoff.

A row's bits depend neither on the split nor on the order: every physical batch is a multiple of 16 images, a
short one filled up with black ones. Measured with PyTorch on CPUs: at such sizes a row is bitwise the same,
at others it differs by up to 6e-5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.datasets import Transform
from app.errors import JobError
from app.jobs import BatchSize
from worker.device import NO_MEMORY

ROW_GROUP = 16
"""Images that a physical batch is a multiple of."""

AUTO_BATCH = {"cpu": 64, "cuda": 1024}
"""Measured on CPUs: 32 to 64 stay in the cache and beat 128. GPUs want their launches hidden."""


@dataclass
class Batching:
    """How many images go through the network at once, and what had to be changed about it."""

    size: int
    """Images a physical batch, a multiple of 16 unless memory was too short for that."""
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, wanted: BatchSize, device: torch.device) -> Batching:
        """The wanted size rounded up to a multiple of 16, or what suits the device.

        On a CPU never more than suits it: larger batches only leave its cache and fill its memory.
        """
        best = AUTO_BATCH[device.type]
        size = best if wanted == "auto" else min(wanted, best) if device.type == "cpu" else wanted
        return cls(-(-size // ROW_GROUP) * ROW_GROUP)


@dataclass(frozen=True)
class Pass:
    """Everything that a forward pass depends on but the images."""

    network: nn.Module
    """In eval mode, float32, on `device`, with channels_last weights."""
    transform: Transform
    classes: int
    device: torch.device


def forward_rows(
    forward: Pass, images: NDArray[np.uint8], rows: NDArray[np.int64], batching: Batching
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Raw logits of the given images, batch after batch, in the order of `rows`.

    Args:
        forward: the network and how it is fed.
        images: [M, H, W, 3] uint8, the whole pool; normalised here.
        rows: [N] int64, which of them, each in [0, M).
        batching: upper bound on images a forward pass; halved on out-of-memory, with a note.

    Yields:
        The batch's rows [n] and their logits [n, C] float32, before softmax and temperature.

    Raises:
        JobError: `non-finite-logits`, naming the first such row; `out-of-memory` where one image does not fit.
        torch.AcceleratorError: the device is lost.
    """
    start = 0
    while start < rows.size:
        batch = rows[start : start + batching.size]
        try:
            logits = _forward(forward, images[batch], batching.size)
        except torch.OutOfMemoryError as error:
            _halve(batching, error)
            continue
        except RuntimeError as error:
            if isinstance(error, torch.AcceleratorError) or not any(text in str(error) for text in NO_MEMORY):
                raise
            _halve(batching, error)
            continue
        _check(logits, batch, forward.classes)
        yield batch, logits
        start += batch.size


def normalise(images: Tensor, transform: Transform) -> Tensor:
    """Pixels as the network wants them: (value / 255 - mean) / std, in ToTensor's and Normalize's own order.

    Args:
        images: [N, H, W, 3] uint8.
        transform: mean and standard deviation of each channel, of values in [0, 1].

    Returns:
        [N, 3, H, W] float32, channels_last in memory; bitwise what torchvision's transforms give.
    """
    mean = torch.tensor(transform.mean, dtype=torch.float32, device=images.device)
    std = torch.tensor(transform.std, dtype=torch.float32, device=images.device)
    scaled = images.to(torch.float32).div_(255).sub_(mean).div_(std)  # [N, H, W, 3]
    return scaled.permute(0, 3, 1, 2)  # [N, 3, H, W]


@torch.inference_mode()
def _forward(forward: Pass, images: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    count = len(images)
    group = min(ROW_GROUP, size)
    missing = -count % group
    if missing:
        images = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])
    pixels = torch.from_numpy(images).to(forward.device)
    logits: Tensor = forward.network(normalise(pixels, forward.transform))
    return logits[:count].to("cpu", torch.float32).numpy()


def _halve(batching: Batching, error: RuntimeError) -> None:
    if batching.size == 1:
        raise JobError("out-of-memory", "Not even one image fits into the device's memory.") from error
    smaller = batching.size // 2
    batching.notes.append(f"out of memory at {batching.size} images a batch; went on with {smaller}")
    batching.size = smaller
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _check(logits: NDArray[np.float32], rows: NDArray[np.int64], classes: int) -> None:
    if logits.shape != (rows.size, classes):
        raise JobError(
            "logits-shape", f"The network gave {list(logits.shape)} for {rows.size} images and {classes} classes."
        )
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        row = int(rows[np.flatnonzero(~finite)[0]])
        raise JobError(
            "non-finite-logits",
            f"The expert gave NaN or infinity for image {row}. Its weights are finite, but too large for float32.",
            image=row,
        )
