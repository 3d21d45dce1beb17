"""The generated installation of a benchmark: random images, experts with random weights, splits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import Module

from app.catalog.datasets import Transform
from worker.compute.engines.pixels import normalise
from worker.experts.architectures import CifarResNetSpec

CLASSES = 100
EXPERTS = ("alpha", "beta", "gamma")
TRANSFORM = Transform(mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761))
SHARES = {"val": 0.1, "test": 0.8, "tunev": 0.1}
"""Shares of the images in the main job's splits."""
BN_IMAGES = 128
"""Images that batch norm's running statistics come from."""
KNOWN = 5
"""One in this many images has the label that the first expert predicts."""
DIFFERENCE = 0.03
"""Standard deviation of the differences between experts, relative to each weight."""

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
    """The architecture of the experts and the size of the images."""

    spec: CifarResNetSpec
    size: int
    """Side of an image, in pixels."""


RESNET32 = Model(CifarResNetSpec((5, 5, 5), (16, 32, 64), CLASSES), 32)
"""The usual expert."""
TINY = Model(CifarResNetSpec((1, 1, 1), (4, 8, 8), CLASSES), 8)
"""A network with almost no arithmetic, so that overheads dominate."""


@dataclass(frozen=True)
class Installation:
    """The folders of an installation below one root.

    `make` fills them; `Installation(root)` opens them in another process.
    """

    root: Path

    @classmethod
    def make(cls, root: Path, model: Model, images: int) -> Installation:
        """Make three experts, `images` random images, and the main job's three splits.

        The splits divide the images in random order.
        """
        installation = cls(root)
        data, experts = installation.data, installation.checkpoints / "experts"
        for folder in (data / "bench", data / "splits", experts):
            folder.mkdir(parents=True)
        (data / "datasets.toml").write_text(DATASET)
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (images, model.size, model.size, 3), dtype=np.uint8)
        labels = rng.integers(0, CLASSES, images)
        known = rng.permutation(images)[: max(1, images // KNOWN)]
        for seed, name in enumerate(EXPERTS):
            network = _expert(model, pixels[:BN_IMAGES], seed)
            if seed == 0:  # logits that are unrelated to the labels would fail their verification
                labels[known] = _predictions(network, pixels[known])
            temperature = {"temperature": torch.tensor([1.5])}
            torch.save(network.state_dict() | temperature, experts / f"best_{name}.pth")
        np.savez(data / "bench" / "test.npz", images=pixels, labels=labels)
        edges = np.cumsum([round(share * images) for share in SHARES.values()])[:-1]
        for name, indices in zip(SHARES, np.split(rng.permutation(images), edges), strict=True):
            installation.save_split(name, indices)
        return installation

    @property
    def data(self) -> Path:
        """RELOGIT_DATA_DIR."""
        return self.root / "data"

    @property
    def checkpoints(self) -> Path:
        """RELOGIT_CHECKPOINTS_DIR."""
        return self.root / "checkpoints"

    def expert_files(self) -> list[Path]:
        """List the checkpoints, in the experts' order."""
        return [self.checkpoints / "experts" / f"best_{name}.pth" for name in EXPERTS]

    def pool(self) -> tuple[Images, NDArray[np.int64]]:
        """Read the images [N, H, W, 3] uint8 and labels [N] int64."""
        with np.load(self.data / "bench" / "test.npz") as arrays:
            return arrays["images"], arrays["labels"]

    def save_split(self, name: str, indices: NDArray[np.int64]) -> None:
        """Write a split's index file, replacing an existing file."""
        self._split(name).write_text(json.dumps(indices.tolist()))

    def split(self, name: str) -> NDArray[np.int64]:
        """Read a split's indices [n] int64."""
        return np.asarray(json.loads(self._split(name).read_text()), np.int64)

    def _split(self, name: str) -> Path:
        return self.data / "splits" / f"{name}_indices.json"


def draw_splits(images: int, parts: Sequence[int], seed: int) -> list[NDArray[np.int64]]:
    """Draw index lists of the given lengths.

    Indices are distinct and shuffled within a list; lists overlap by chance.
    """
    rng = np.random.default_rng(seed)
    return [rng.choice(images, part, replace=False) for part in parts]


def _expert(model: Model, images: Images, seed: int) -> Module:
    """Build an expert with random weights and the images' batch norm statistics.

    These statistics keep its logits in a sensible range. Experts differ by a few per cent of each weight, so that
    they agree on many images, as real experts do.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = model.spec.build()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # the running statistics become those of the last batch
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.2)
        torch.manual_seed(seed)
        for parameter in network.parameters():
            parameter.mul_(1 + DIFFERENCE * torch.randn_like(parameter))
        pixels = normalise(torch.from_numpy(images), TRANSFORM)
        network.train()(pixels)
        # Random features differ far less between images than between classes: without this shift, all images would be
        # of one class.
        network.get_submodule("fc").bias -= network.eval()(pixels).mean(0)
    return network


def _predictions(network: Module, images: Images) -> NDArray[np.int64]:
    with torch.inference_mode():
        batches = [network(normalise(torch.from_numpy(part), TRANSFORM)).argmax(1)
                   for part in np.array_split(images, -(-len(images) // BN_IMAGES))]  # fmt: skip
    predictions: NDArray[np.int64] = torch.cat(batches).numpy()
    return predictions
