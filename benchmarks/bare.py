"""The bare loops: the arithmetic of relogit's engines with nothing around it.

No HTTP, no job, no check, no file written: data read once, each checkpoint loaded as the product loads it, and one
loop over the images. What the service takes longer than this is its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.installation import CLASSES, TRANSFORM, Installation
from benchmarks.outcome import PREPARE, Outcome
from worker.device import cores
from worker.engines.folding import fold
from worker.engines.openvino_engine import compile_model
from worker.engines.openvino_model import build_model
from worker.engines.pixels import normalise
from worker.experts import load_expert

TORCH_BATCH = 64
OPENVINO_BATCH = 8
IN_FLIGHT = 2
"""Batches of OpenVINO a stream: one that it computes, one that waits."""


@torch.inference_mode()
def torch_loop(installation: Installation) -> Outcome:
    """PyTorch, eager, as it runs best: batch norm folded, channels_last, batches that fit the cache."""
    outcome = Outcome()
    with outcome.clock(PREPARE):
        images, labels = installation.pool()
    for path in installation.expert_files():
        with outcome.clock(PREPARE):
            network = fold(load_expert(path).network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        logits = np.empty((labels.size, CLASSES), np.float32)
        for starts in outcome.batches(labels.size, TORCH_BATCH):
            for start in starts:
                batch = slice(start, start + TORCH_BATCH)
                logits[batch] = network(normalise(torch.from_numpy(images[batch]), TRANSFORM)).numpy()
        outcome.logits.append(logits)
    return outcome


@torch.inference_mode()
def openvino_loop(installation: Installation) -> Outcome:
    """OpenVINO in float32: the product's own model, in OpenVINO's own queue.

    Raises:
        ImportError: it is not installed.
    """
    import openvino

    outcome = Outcome()
    with outcome.clock(PREPARE):
        images, labels = installation.pool()
        full = np.pad(images, ((0, -labels.size % OPENVINO_BATCH), (0, 0), (0, 0), (0, 0)))
    for path in installation.expert_files():
        with outcome.clock(PREPARE):
            model = build_model(fold(load_expert(path).network), OPENVINO_BATCH, full.shape[1:])
            queue = openvino.AsyncInferQueue(compile_model(model, "fp32", cores()), IN_FLIGHT * cores())
        logits = np.empty((len(full), CLASSES), np.float32)

        def keep(request: Any, start: int, logits: NDArray[np.float32] = logits) -> None:
            logits[start : start + OPENVINO_BATCH] = request.get_output_tensor().data

        queue.set_callback(keep)
        for starts in outcome.batches(labels.size, OPENVINO_BATCH):
            for start in starts:
                pixels = normalise(torch.from_numpy(full[start : start + OPENVINO_BATCH]), TRANSFORM)
                queue.start_async({0: pixels.permute(0, 2, 3, 1).numpy()}, start)  # [8, H, W, 3]
            queue.wait_all()
        outcome.logits.append(logits[: labels.size])
    return outcome
