"""ONNX Runtime over the same images, for comparison with another ready-made engine."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.installation import CLASSES, TRANSFORM, Installation
from benchmarks.outcome import PREPARE, REST, Outcome
from worker.compute.engines.pixels import normalise
from worker.device import cores
from worker.experts.loading import load_expert

BATCH = 32


@torch.inference_mode()
def onnx_runtime(installation: Installation) -> Outcome:
    """Export and compile each expert, and loop over the images.

    Raises:
        ImportError: ONNX Runtime is not installed.
    """
    import onnxruntime

    outcome = Outcome()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    with outcome.clock(PREPARE):
        images, labels = installation.pool()
    for path in installation.expert_files():
        with outcome.clock(PREPARE):
            model = _export(load_expert(path).network, images.shape[1])
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        logits = np.empty((labels.size, CLASSES), np.float32)
        with outcome.clock(REST):
            for start in range(0, labels.size, BATCH):
                batch = slice(start, start + BATCH)
                pixels = normalise(torch.from_numpy(images[batch]), TRANSFORM).contiguous().numpy()
                (logits[batch],) = session.run(None, {"images": pixels})
        outcome.logits.append(logits)
    return outcome


def _export(network: nn.Module, size: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter is slower and needs one more package
        path = Path(folder) / "expert.onnx"
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, size, size),),
            path,
            dynamo=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
        )
        return path.read_bytes()
