"""Eager PyTorch on a CPU or a GPU: batch norm folded, channels last in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.jobs import Precision
from worker.engines.engine import Setup, check_batch, telling_of_memory
from worker.engines.folding import fold
from worker.engines.pixels import normalise

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class TorchEngine:
    """One expert in PyTorch.

    Args:
        network: float32; not changed.
        setup: in any precision that the device has.

    Raises:
        NoMemory: the network does not fit.
    """

    def __init__(self, network: nn.Module, setup: Setup) -> None:
        self._setup = setup
        self._dtype = DTYPES[setup.precision]
        with telling_of_memory():
            self._network = fold(network).to(setup.device, self._dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def batch(self) -> int:
        """Images of a physical batch."""
        return self._setup.batch

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """As in `Engine`."""
        # A GPU computes the next batch while this process does something with the last.
        depth = 1 if self._setup.device.type == "cuda" else 0
        in_flight: deque[Tensor] = deque()
        for images in batches:
            check_batch(images, self._setup)
            with telling_of_memory():
                in_flight.append(self._start(images))
            if len(in_flight) > depth:
                yield _logits(in_flight.popleft())
        while in_flight:
            yield _logits(in_flight.popleft())

    @torch.inference_mode()
    def _start(self, images: NDArray[np.uint8]) -> Tensor:
        """The logits [batch, C] on the device, where a GPU may still be at work on them."""
        with tf32(self._setup.precision == "tf32"):
            pixels = normalise(torch.from_numpy(images).to(self._setup.device), self._setup.transform)
            logits: Tensor = self._network(pixels.to(self._dtype))
            return logits.float()


def _logits(there: Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = there.cpu().numpy()
    return logits


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether float32 products on a GPU may take TF32's 10 bits of mantissa; as before at the end.

    By PyTorch's older switches, as in `worker.device.prepare`: once the newer ones are set these cannot be read.
    """
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = allowed
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.set_float32_matmul_precision(products)
