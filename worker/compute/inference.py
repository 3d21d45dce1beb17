"""Inference over a pool in physical batches of one fixed shape, the last batch padded.

Every batch has the engine's shape, so a row's bits depend neither on its split nor on its order or batch.
`app.domain.numerics` lists everything that they depend on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from app.domain.errors import JobError
from worker.compute.engines.engine import Engine


def forward_rows(
    engine: Engine, images: NDArray[np.uint8], rows: NDArray[np.int64], classes: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Compute raw logits in batches, in the order of `rows`.

    Args:
        engine: the engine that computes them.
        images: [M, H, W, 3] uint8, the whole pool.
        rows: [N] int64, indices of images, each in [0, M).
        classes: C, logits per image.

    Yields:
        The batch's rows [n] and their logits [n, C] float32, before softmax and temperature.

    Raises:
        JobError: `logits-shape`; `non-finite-logits`, naming the first such row.
        NoMemory: a batch does not fit.
        torch.AcceleratorError: the device is lost.
    """
    starts = range(0, rows.size, engine.batch)
    batches = (_filled(images[rows[start : start + engine.batch]], engine.batch) for start in starts)
    with closing(engine.run(batches)) as results:
        for start in starts:
            batch = rows[start : start + engine.batch]
            # An engine gives one result per batch, in order; anything else is a bug and must not become a row.
            logits = next(results)
            _check_shape(logits, engine.batch, classes)
            logits = logits[: batch.size]
            _check_finite(logits, batch)
            yield batch, logits


def _filled(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if len(images) == size:
        return images
    filled = np.zeros((size, *images.shape[1:]), np.uint8)
    filled[: len(images)] = images
    return filled


def _check_shape(logits: NDArray[np.float32], batch: int, classes: int) -> None:
    if logits.shape != (batch, classes):
        raise JobError(
            "logits-shape", f"The network gave {list(logits.shape)} for {batch} images and {classes} classes."
        )


def _check_finite(logits: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        row = int(rows[np.flatnonzero(~finite)[0]])
        raise JobError(
            "non-finite-logits",
            f"The expert gave NaN or infinity for image {row}. Its weights are finite, but too large for what it "
            "computes in.",
            image=row,
        )
