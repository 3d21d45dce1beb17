"""OpenVINO on a CPU: one stream per thread, several batches in flight, in the requested precision.

By default OpenVINO silently computes in bf16 on every CPU that supports it. So this engine sets the precision and
checks the compiled layers before anything runs.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from app.domain.errors import JobError
from app.domain.requests import Precision
from worker.compute.engines.engine import Setup, telling_of_memory, whole_batch
from worker.compute.engines.folding import fold
from worker.compute.engines.openvino_model import build_model
from worker.compute.engines.overflow import expose_overflow
from worker.compute.engines.pixels import normalise

TYPES: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""Precision → OpenVINO's name of it."""

NARROW = {"bf16", "f16"}
IN_FLIGHT = 2
"""Batches per stream: one is computed, one waits."""


class OpenvinoEngine:
    """One expert in OpenVINO.

    Args:
        network: float32, on the CPU; not changed.
        setup: on the CPU, in fp32, bf16 or fp16.

    Raises:
        JobError: `operation-unknown`; `precision-not-kept`, compiled layers have another precision; as
            `expose_overflow` raises.
        NoMemory: the network does not fit.
    """

    def __init__(self, network: nn.Module, setup: Setup) -> None:
        self._setup = setup
        with telling_of_memory():
            folded = expose_overflow(fold(network), setup.transform, setup.precision)
            model = build_model(folded, setup.batch, setup.image)
            self.compiled = compile_model(model, setup.precision, setup.threads)
        check_precision(self.compiled, setup.precision)
        self._depth = IN_FLIGHT * int(self.compiled.get_property("NUM_STREAMS"))

    @property
    def batch(self) -> int:
        """Images of a physical batch."""
        return self._setup.batch

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Yield each batch's logits, in order; see `Engine.run`."""
        # Every run makes its own requests (0.1 ms each), so that no request holds data of a failed run.
        free: list[Any] = []
        in_flight: deque[Any] = deque()
        try:
            for images in batches:
                batch = whole_batch(images, self._setup)
                if len(in_flight) == self._depth:
                    free.append(in_flight.popleft())
                    yield _logits(free[-1])
                with telling_of_memory():
                    request = free.pop() if free else self.compiled.create_infer_request()
                    pixels = normalise(batch, self._setup.transform)  # [batch, 3, H, W]
                    request.get_input_tensor().data[:] = pixels.permute(0, 2, 3, 1).numpy()
                    request.start_async()
                in_flight.append(request)
            while in_flight:
                yield _logits(in_flight.popleft())
        finally:
            # After an error or an early close, wait: memory that OpenVINO still writes must not be freed.
            for request in in_flight:
                with suppress(RuntimeError):
                    request.wait()


def _logits(request: Any) -> NDArray[np.float32]:
    """Wait for a request and copy its output."""
    with telling_of_memory():
        request.wait()
        logits: NDArray[np.float32] = request.get_output_tensor().data.copy()
    return logits


def compile_model(model: Any, precision: Precision, threads: int) -> Any:
    """Compile a model for this CPU, one stream per thread."""
    import openvino

    return openvino.Core().compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": TYPES[precision],
            "EXECUTION_MODE_HINT": "ACCURACY",
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # With pinning, all workers of a machine would choose the same cores.
            "ENABLE_CPU_PINNING": False,
        },
    )


def check_precision(compiled: Any, precision: Precision) -> None:
    """Check that a compiled model has the requested precision.

    Raises:
        JobError: `precision-not-kept`.
    """
    wanted = TYPES[precision]
    hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    wrong = sorted(
        f"{kind} in {found}"
        for kind, found in layer_precisions(compiled)
        if found in NARROW - {wanted} or (kind == "Convolution" and found != wanted)
    )
    if hint != wanted or wrong:
        raise JobError(
            "precision-not-kept",
            f"OpenVINO was asked for {wanted} and compiled for {hint}, with these layers in another precision: "
            f"{', '.join(wrong) or 'none'}. RELOGIT_ENGINE=torch computes without it.",
        )


def layer_precisions(compiled: Any) -> Counter[tuple[str, str]]:
    """Count layers by kind and precision, such as (`Convolution`, `f32`)."""
    described = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    return Counter((str(info["layerType"].value), str(info["runtimePrecision"].value)) for info in described)


def capabilities() -> list[str]:
    """List OpenVINO's capabilities on this CPU, such as `BF16`.

    Raises:
        Exception: OpenVINO is installed but broken; the type depends on the defect.
    """
    import openvino

    known: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return known
