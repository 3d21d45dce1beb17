"""Images to logits: order, batches of one shape, and what an engine may not do."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domain.errors import JobError
from tests.fake_expert import CLASSES, PixelEngine, numbered_images, numbered_logits
from worker.compute.inference import forward_rows


@pytest.mark.parametrize("size", [1, 8, 16, 48, 1024])
def test_row_n_belongs_to_image_n(size: int) -> None:
    """Whatever the batch size, each image's logits come out under its own number, in the order asked for."""
    rows = np.random.default_rng(0).permutation(300)[:131].astype(np.int64)
    parts = list(forward_rows(PixelEngine(size), numbered_images(300), rows, CLASSES))
    np.testing.assert_array_equal(np.concatenate([batch for batch, _ in parts]), rows)
    np.testing.assert_array_equal(np.concatenate([logits for _, logits in parts]), numbered_logits(rows))


def test_every_physical_batch_has_the_engines_shape() -> None:
    """A short batch is filled up with black images, so that a row's bits do not depend on its neighbours' number."""
    engine = PixelEngine(32)
    list(forward_rows(engine, numbered_images(71), np.arange(1, 71), CLASSES))
    assert engine.seen == [*range(1, 71), *[0] * 26]


class _NaNAt(PixelEngine):
    def logits(self, number: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.where(number[:, None] == 41, np.float32(np.nan), numbered_logits(number))


def test_nan_names_its_image() -> None:
    """The first image whose logits are not finite is named by its index in the base."""
    rows = np.array([5, 90, 41, 7])
    with pytest.raises(JobError, match="image 41") as caught:
        list(forward_rows(_NaNAt(16), numbered_images(100), rows, CLASSES))
    assert caught.value.code == "non-finite-logits"


def test_nan_of_an_image_that_only_fills_up_is_nobodys() -> None:
    """What a black image gives is thrown away, whatever it is."""

    class _NaNForBlack(PixelEngine):
        def logits(self, number: NDArray[np.int64]) -> NDArray[np.float32]:
            return np.where(number[:, None] == 0, np.float32(np.nan), numbered_logits(number))

    rows = np.array([5, 90])
    [(_, logits)] = forward_rows(_NaNForBlack(16), numbered_images(100), rows, CLASSES)
    np.testing.assert_array_equal(logits, numbered_logits(rows))


def test_logits_of_another_width_are_refused() -> None:
    """Logits of another shape than [n, C] never become rows."""
    with pytest.raises(JobError, match="5") as caught:
        list(forward_rows(PixelEngine(16), numbered_images(3), np.arange(3), CLASSES + 2))
    assert caught.value.code == "logits-shape"


def test_an_engine_that_is_left_is_closed() -> None:
    """Who stops half-way leaves no batch in flight."""
    closed = []

    class _Watched(PixelEngine):
        def run(self, batches):  # type: ignore[no-untyped-def]
            try:
                yield from super().run(batches)
            finally:
                closed.append(True)

    running = forward_rows(_Watched(16), numbered_images(64), np.arange(64), CLASSES)
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert closed == [True]
