"""Eager PyTorch on a CPU or a GPU: batch norm folded, channels last in memory.

On a CPU each thread computes its own batch of small images. By default PyTorch's threads share each operation, and
wait for the slowest of them a hundred times a batch: ResNet-32 on two cores takes 1.14 times as long, and 1.24 times
on a busy machine. The bits are the same.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from threading import Barrier

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from worker.compute.engines.engine import Setup, telling_of_memory, whole_batch
from worker.compute.engines.folding import fold
from worker.compute.engines.overflow import DTYPES, expose_overflow
from worker.compute.engines.pixels import normalise

SMALL_BATCH = 2**18
"""Largest batch, in pixels, that one thread computes, such as 64 images of 64x64.

All threads share a larger batch, which needs less memory.
"""


class TorchEngine:
    """One expert in PyTorch.

    Args:
        network: float32; not changed.
        setup: in any precision that the device offers.

    Raises:
        JobError: as `expose_overflow` raises.
        NoMemory: the network does not fit.
    """

    def __init__(self, network: nn.Module, setup: Setup) -> None:
        self._setup = setup
        self._dtype = DTYPES[setup.precision]
        with telling_of_memory():
            folded = expose_overflow(fold(network), setup.transform, setup.precision)
            moved = _overwriting(folded).to(setup.device, self._dtype)
            self._network = moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        height, width, _ = setup.image
        self._streams = setup.threads if setup.batch * height * width <= SMALL_BATCH else 1
        self._on_gpu = setup.device.type == "cuda"

    @property
    def batch(self) -> int:
        """Images of a physical batch."""
        return self._setup.batch

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Yield each batch's logits, in order; see `Engine.run`."""
        # Each stream computes one batch while another waits; a GPU has its own queue.
        depth = 1 if self._on_gpu else 2 * self._streams
        in_flight: deque[Callable[[], NDArray[np.float32]]] = deque()
        try:
            for images in batches:
                batch = whole_batch(images, self._setup)
                if len(in_flight) == depth:
                    yield in_flight.popleft()()
                in_flight.append(self._start(batch))
            while in_flight:
                yield in_flight.popleft()()
        finally:
            for finish in in_flight:
                with suppress(Exception):  # the first error is being raised, or the caller closed the generator
                    finish()

    def _start(self, images: Tensor) -> Callable[[], NDArray[np.float32]]:
        """Start a batch; return a function that awaits its logits."""
        if self._on_gpu:
            with tf32(self._setup.precision == "tf32"):
                return partial(_fetch, self._forward(images))
        pool = computing_threads(self._streams, self._setup.threads // self._streams)
        return pool.submit(lambda: _fetch(self._forward(images))).result

    @torch.inference_mode()
    def _forward(self, images: Tensor) -> Tensor:
        """Compute logits [batch, C] float32, on a GPU asynchronously."""
        with telling_of_memory():
            pixels = normalise(images.to(self._setup.device), self._setup.transform)
            logits: Tensor = self._network(pixels.to(self._dtype))
            return logits.float()


def _fetch(there: Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = there.cpu().numpy()
    return logits


def _overwriting(folded: fx.GraphModule) -> fx.GraphModule:
    """Make rectifiers overwrite inputs that no other operation reads.

    The bits stay the same, and less memory is touched.
    """
    for node in folded.graph.nodes:
        if node.op != "call_function" or node.target not in (F.relu, F.leaky_relu):
            continue
        before = node.args[0]
        # An Identity or a view would share memory with another operation, so only sums and convolutions qualify.
        made = before.target is operator.add or (
            before.op == "call_module" and isinstance(folded.get_submodule(before.target), nn.Conv2d)
        )
        if made and len(before.users) == 1:
            node.kwargs = {"inplace": True}
    folded.recompile()
    return folded


@cache
def computing_threads(count: int, each: int) -> ThreadPoolExecutor:
    """Start computing threads for the life of the process.

    Args:
        count: threads of the pool.
        each: PyTorch's own threads within each thread of the pool.
    """
    started = Barrier(count)

    def prepare() -> None:
        torch.get_num_threads()  # a new thread adopts the process-wide number at its first call
        torch.set_num_threads(each)
        started.wait()

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "torch-engine")
    try:
        for ready in [pool.submit(prepare) for _ in range(count)]:
            ready.result()
    except BaseException:
        started.abort()  # the other threads must not wait for one that did not start
        pool.shutdown(wait=False)
        raise
    torch.set_num_threads(before)  # each `prepare` also set the number for all future threads
    return pool


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 products within the block.

    It uses PyTorch's older switches, as `worker.device.prepare` does: once the newer switches are set, reading the
    older ones raises an error.
    """
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = allowed
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.set_float32_matmul_precision(products)
