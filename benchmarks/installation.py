"""An installation made up for a benchmark: random images, experts of random weights, splits; and its layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from app.datasets import Transform
from worker.engines.pixels import normalise
from worker.networks import CifarResNetSpec

CLASSES = 100
EXPERTS = ("alpha", "beta", "gamma")
TRANSFORM = Transform(mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761))
SHARES = {"val": 0.1, "test": 0.8, "tunev": 0.1}
"""How the main job's splits part the images."""
BN_IMAGES = 128
"""That batch norm's running figures are taken from."""

DATASET = f"""\
[bench]
kind = "npz"
root = "bench"
splits = "splits"
experts = "experts"
mean = {list(TRANSFORM.mean)}
std = {list(TRANSFORM.std)}
classes = {CLASSES}
"""

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Model:
    """What experts and images are like."""

    spec: CifarResNetSpec
    size: int
    """Side of an image, in pixels."""


RESNET32 = Model(CifarResNetSpec((5, 5, 5), (16, 32, 64), CLASSES), 32)
"""The expert that relogit is for."""
TINY = Model(CifarResNetSpec((1, 1, 1), (4, 8, 8), CLASSES), 8)
"""Computes next to nothing, so that all the rest shows."""


@dataclass(frozen=True)
class Installation:
    """Folders below one root. `make` fills them; in another process, `Installation(root)` finds them again."""

    root: Path

    @classmethod
    def make(cls, root: Path, model: Model, images: int) -> Installation:
        """Three experts, `images` random images, and the main job's three splits, which part them in random order."""
        made = cls(root)
        for folder in (made.data / "bench", made.data / "splits", made.checkpoints / "experts"):
            folder.mkdir(parents=True)
        (made.data / "datasets.toml").write_text(DATASET)
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (images, model.size, model.size, 3), dtype=np.uint8)
        np.savez(made.data / "bench" / "test.npz", images=pixels, labels=rng.integers(0, CLASSES, images))
        for seed, name in enumerate(EXPERTS):
            _save_expert(made.checkpoints / "experts" / f"best_{name}.pth", model, pixels[:BN_IMAGES], seed)
        edges = np.cumsum([round(share * images) for share in SHARES.values()])[:-1]
        for name, indices in zip(SHARES, np.split(rng.permutation(images), edges), strict=True):
            made.save_split(name, indices)
        return made

    @property
    def data(self) -> Path:
        """RELOGIT_DATA_DIR."""
        return self.root / "data"

    @property
    def checkpoints(self) -> Path:
        """RELOGIT_CHECKPOINTS_DIR."""
        return self.root / "checkpoints"

    def expert_files(self) -> list[Path]:
        """The checkpoints, in the experts' order."""
        return [self.checkpoints / "experts" / f"best_{name}.pth" for name in EXPERTS]

    def pool(self) -> tuple[Images, NDArray[np.int64]]:
        """[N, H, W, 3] uint8 images and [N] int64 labels, read from disk."""
        with np.load(self.data / "bench" / "test.npz") as arrays:
            return arrays["images"], arrays["labels"]

    def save_split(self, name: str, indices: NDArray[np.int64]) -> None:
        """Write a split's index file, over one that is there."""
        self._split(name).write_text(json.dumps(indices.tolist()))

    def split(self, name: str) -> NDArray[np.int64]:
        """[n] int64, a split's indices, read from disk."""
        return np.asarray(json.loads(self._split(name).read_text()), np.int64)

    def _split(self, name: str) -> Path:
        return self.data / "splits" / f"{name}_indices.json"


def draw_splits(images: int, parts: Sequence[int], seed: int) -> list[NDArray[np.int64]]:
    """New index lists of the given lengths: each distinct and shuffled, one overlapping the other by chance."""
    rng = np.random.default_rng(seed)
    return [rng.choice(images, part, replace=False) for part in parts]


def _save_expert(path: Path, model: Model, images: Images, seed: int) -> None:
    """Random weights, but batch norm's figures are those of the images: logits then stay in a sane range."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = model.spec.build()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # the running figures become those of the last batch
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.2)
        with torch.no_grad():
            network.train()(normalise(torch.from_numpy(images), TRANSFORM))
    torch.save(network.state_dict() | {"temperature": torch.tensor([1.5])}, path)
