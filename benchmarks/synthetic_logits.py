"""Made-up logits of three experts over a long-tailed data set, in the folders of an installation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.installation import EXPERTS, Installation

FOLDER = "made_up"
"""Of the logits, below the outputs directory."""
SIGNAL = 5.0
"""By how much the label's logit is above the others, before noise."""
NOISE = 1.5
"""Standard deviation of the noise that experts share, and of each one's own."""
PRIORS = (1.0, 0.2, 0.4)
"""By expert, how much of log π is in its logits: all for one trained with cross-entropy."""

DATASET = """\
[bench]
kind = "npz"
root = "bench"
splits = "splits"
experts = "experts"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
classes = {classes}
"""


@dataclass(frozen=True)
class Sizes:
    """How many rows each split has, and how many classes there are."""

    rows: Mapping[str, int]
    """By split: tunev, val and test."""
    classes: int

    @property
    def logit_bytes(self) -> int:
        """Bytes of all experts' float32 logits."""
        return 4 * self.classes * len(EXPERTS) * sum(self.rows.values())

    @property
    def train_counts(self) -> NDArray[np.int64]:
        """n_c: exponential, imbalance 100, as in CIFAR-100-LT."""
        counts = 500 * 100.0 ** (-np.arange(self.classes) / max(1, self.classes - 1))
        return np.maximum(1, counts.astype(np.int64))


def make_installation(root: Path, sizes: Sizes) -> Installation:
    """Write data set, splits and, below `outputs`, every expert's logits.

    The images are single black pixels, because nothing looks at them.
    """
    installation = Installation(root)
    outputs = root / "outputs" / FOLDER
    for folder in (
        installation.data / "bench", installation.data / "splits", installation.checkpoints / "experts",
        *(outputs / name for name in EXPERTS),
    ):  # fmt: skip
        folder.mkdir(parents=True)
    (installation.data / "datasets.toml").write_text(DATASET.format(classes=sizes.classes))
    total = sum(sizes.rows.values())
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(total) % sizes.classes)
    np.savez(installation.data / "bench" / "test.npz", images=np.zeros((total, 1, 1, 3), np.uint8), labels=labels)
    counts = sizes.train_counts
    (installation.data / "splits" / "train_class_counts.json").write_text(json.dumps(counts.tolist()))
    first = 0
    for split, rows in sizes.rows.items():
        indices = np.arange(first, first + rows)
        installation.save_split(split, indices)
        for name, logits in zip(EXPERTS, draw_logits(labels[indices], counts, rng), strict=True):
            arrays = {"logits": logits, "targets": labels[indices], "predictions": logits.argmax(axis=1)}
            np.savez(outputs / name / f"{split}_logits.npz", **arrays)
        first += rows
    return installation


def draw_logits(
    labels: NDArray[np.int64], train_counts: NDArray[np.int64], rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Draw the logits [N, C] of each expert: signal, noise in part shared, and part of the prior."""
    shape = (len(labels), len(train_counts))
    log_prior = np.log(train_counts / train_counts.sum()).astype(np.float32)
    shared = rng.standard_normal(shape, dtype=np.float32)
    shared *= np.float32(NOISE)
    shared[np.arange(len(labels)), labels] += np.float32(SIGNAL)
    experts = []
    for part in PRIORS:
        logits = rng.standard_normal(shape, dtype=np.float32)
        logits *= np.float32(NOISE)
        logits += shared
        logits += np.float32(part) * log_prior
        experts.append(logits)
    return experts
