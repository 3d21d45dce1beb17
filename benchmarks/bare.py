"""The bare loops: relogit's engines without the service around them.

A bare loop has no HTTP, no job, no check and writes no file: it reads the data once, loads each checkpoint as the
product does, and loops over the images. The service's additional time is the service's own work.
"""

from __future__ import annotations

import numpy as np
import torch

from app.domain.numerics import SHAPES
from benchmarks.installation import CLASSES, TRANSFORM, Installation
from benchmarks.outcome import PREPARE, Outcome
from worker.compute.engines.choice import EngineName, make_engine
from worker.compute.engines.engine import Setup
from worker.experts.loading import load_expert


def bare_loop(engine: EngineName, installation: Installation) -> Outcome:
    """Compute every expert over all images in the service's physical batches.

    The precision is float32.

    Raises:
        ImportError: the engine is not installed.
    """
    batch = SHAPES["openvino" if engine == "openvino" else "cpu"][-1]
    outcome = Outcome()
    with outcome.clock(PREPARE):
        images, labels = installation.pool()
        full = np.pad(images, ((0, -labels.size % batch), (0, 0), (0, 0), (0, 0)))
    height, width, channels = images.shape[1:]
    setup = Setup(
        transform=TRANSFORM,
        image=(height, width, channels),
        batch=batch,
        precision="fp32",
        device=torch.device("cpu"),
        threads=torch.get_num_threads(),
    )
    for path in installation.expert_files():
        with outcome.clock(PREPARE):
            ready = make_engine(engine, load_expert(path).network, setup)
        logits = np.empty((len(full), CLASSES), np.float32)
        for starts in outcome.batches(labels.size, batch):
            computed = ready.run(full[start : start + batch] for start in starts)
            for start, rows in zip(starts, computed, strict=True):
                logits[start : start + batch] = rows
        outcome.logits.append(logits[: labels.size])
    return outcome
