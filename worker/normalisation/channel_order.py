"""The channel order of a network, RGB or BGR, by how well its logits fit known labels.

The plain difference in log-likelihood misleads where labels are wrong: logits of the wrong order are less
confident and then score better. So each log-likelihood is taken relative to its mean over the labels of the other
images, which makes the expected difference 0 for labels that have nothing to do with the images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.catalog.datasets import Transform
from worker.compute.engines.pixels import normalise

MAX_IMAGES = 200
MIN_IMAGES = 100
SEED = 20_240_229

DECISIVE = 5.0
"""Standard errors between the difference and 0 that decide.

On 200 images of CIFAR-100, four real networks gave 7.5 or more (80 of 80 samples, each for both ways of swapping),
and at most 2.7 with permuted labels, where the plain log-likelihood gave up to 12 for the wrong order.
"""

Logits = Callable[[Tensor], Tensor]
"""[N, 3, H, W] float32 normalised images to [N, C] logits."""


@dataclass(frozen=True)
class ChannelOrder:
    """The channel order that the labels support.

    `difference` is the mean of the relative log-likelihood under RGB minus that under BGR, in nats an image; `images`
    is the number of labelled images.
    """

    order: Literal["rgb", "bgr", "undecidable"]
    images: int
    difference: float
    standard_error: float
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return asdict(self)


def channel_order(
    logits: Logits, images: NDArray[np.uint8], labels: NDArray[np.int64], transform: Transform
) -> ChannelOrder:
    """Compare a network's logits on RGB and BGR input.

    `images` are [N, H, W, 3] uint8, RGB, of which up to 200 are taken at random, `labels` [N] their classes.
    """
    rows = np.random.default_rng(SEED).permutation(len(images))[:MAX_IMAGES]
    if len(rows) < MIN_IMAGES:
        message = f"There are {len(rows)} labelled images; at least {MIN_IMAGES} are needed."
        return ChannelOrder("undecidable", len(rows), 0.0, 0.0, message)
    batch = normalise(torch.from_numpy(images[rows]), transform)
    with torch.no_grad():
        rgb, bgr = (_relative(logits(images_), labels[rows]) for images_ in (batch, batch.flip(1)))
    gains, better = rgb - bgr, max(rgb.mean(), bgr.mean())
    difference, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
    if not np.isfinite(difference):
        return ChannelOrder("undecidable", len(rows), 0.0, 0.0, "Some logits are not finite.")
    if abs(difference) < DECISIVE * error or error == 0 or better <= 0:  # better <= 0: labels fit neither
        message = "Labels do not tell the order of channels: the images are nearly grey, or the labels do not fit."
        return ChannelOrder("undecidable", len(rows), difference, error, message)
    right, wrong = ("RGB", "BGR") if difference > 0 else ("BGR", "RGB")
    message = (
        f"The network reads channels as {right}: on {len(rows)} labelled images the true class stands out by "
        f"{abs(difference):.2f} nats more than as {wrong} (standard error {error:.2f})."
    )
    return ChannelOrder("rgb" if difference > 0 else "bgr", len(rows), difference, error, message)


def _relative(logits: Tensor, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute log-likelihoods relative to the labels of other images, [N].

    That is the true class's logit minus the mean logit over all labels; the softmax's normaliser cancels.
    """
    values: NDArray[np.float64] = logits.double().cpu().numpy()
    own = values[np.arange(len(labels)), labels]
    mean: NDArray[np.float64] = values[:, labels].mean(axis=1)
    return own - mean
