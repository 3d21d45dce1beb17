"""A reconstruction of the scripts that relogit replaces, in plain PyTorch.

It computes one expert after another and reads the data anew for each. Images pass through PIL and torchvision's
transforms in a DataLoader's processes, in batches of 128, to an eager network; each split becomes one .npz.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from benchmarks.installation import CLASSES, EXPERTS, SHARES, TRANSFORM, Installation
from benchmarks.outcome import PREPARE, REST, Outcome
from worker.experts.loading import load_expert
from worker.torchvision_import import import_torchvision

BATCH = 128
LOADERS = 4


class Images(Dataset[tuple[Tensor, int]]):
    """Images and labels in pairs, as torchvision's data sets return them."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        transforms = import_torchvision().transforms
        self._images = images
        self._labels = labels
        self._transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize(TRANSFORM.mean, TRANSFORM.std)]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return cast(Tensor, self._transform(Image.fromarray(self._images[index]))), int(self._labels[index])


@torch.no_grad()
def old_script(installation: Installation, loaders: int = LOADERS) -> Outcome:
    """Compute the main job's logits, and save them below `old/`.

    Args:
        installation: the experts, images and splits.
        loaders: processes that prepare images; 0 prepares them in this process.
    """
    import_torchvision()  # outside the clocks, like every import
    outcome = Outcome()
    for name, path in zip(EXPERTS, installation.expert_files(), strict=True):
        with outcome.clock(PREPARE):
            dataset = Images(*installation.pool())
            network = load_expert(path).network
        rows = np.full((len(dataset), CLASSES), np.nan, np.float32)
        for split in SHARES:
            with outcome.clock(REST):
                indices = installation.split(split)
                part = Subset(dataset, indices.tolist())
                loader: Any = DataLoader(part, batch_size=BATCH, shuffle=False, num_workers=loaders)
                batches = [(network(images).numpy(), labels.numpy()) for images, labels in loader]
                logits, targets = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
                folder = installation.root / "old" / name
                folder.mkdir(parents=True, exist_ok=True)
                np.savez(folder / f"{split}_logits.npz", logits=logits, targets=targets, predictions=logits.argmax(1))
            rows[indices] = logits
        outcome.logits.append(rows)
    return outcome
