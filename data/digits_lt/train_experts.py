"""Train the three experts of `digits_lt`, calibrate and save them; `make_digits_lt.py` calls `train_all`.

Each expert is a ResNet-20 trained from scratch on the long-tailed train split with cross-entropy on
z + τ·log π, where z are its logits and π_c = n_c/Σn is the share of class c among the training images:

    ce_baseline            τ = 0     plain cross-entropy
    balsoftmax_baseline    τ = 1     balanced softmax (Ren et al. 2020, arXiv:2007.10740)
    logitadjust_baseline   τ = 1.5   logit adjustment (Menon et al. 2021, arXiv:2007.07314)

Balanced softmax adds log n_c, which differs from log π_c by a constant that does not change the softmax. So with
τ = 1 the last two would be the same method, and logit adjustment has another τ. Logits are adjusted in training only:
the saved network gives plain z.

The saved weights are those after the last epoch, so that only the split `train` affects them. One machine gives the
same files on each run; another processor may round sums differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from worker.experts.architectures import CifarResNet, CifarResNetSpec

SPEC = CifarResNetSpec(blocks=(3, 3, 3), widths=(16, 32, 64), classes=10)
EPOCHS = 40
BATCH = 32
LEARNING_RATE = 0.1  # the peak of the one-cycle schedule
WEIGHT_DECAY = 5e-4
SHIFT = 4  # largest shift in each direction, in pixels; digits must not be flipped
THREADS = 1  # more threads would sum in another order, which rounds differently, and wait for each other
HEAD_ABOVE = 20  # training images; a class with more is head, any other is tail


@dataclass(frozen=True)
class Recipe:
    """The differences between experts: name, τ and random seed."""

    name: str
    tau: float
    seed: int


RECIPES = (
    Recipe("ce_baseline", tau=0.0, seed=42),
    Recipe("balsoftmax_baseline", tau=1.0, seed=43),
    Recipe("logitadjust_baseline", tau=1.5, seed=44),
)


@dataclass(frozen=True)
class Split:
    """The images and labels of one split.

    Attributes:
        images: [N, 3, 32, 32] uint8.
        labels: [N] int64; labels[n] belongs to images[n].
    """

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Normaliser:
    """Mean and standard deviation of each channel, for values 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, images: Tensor) -> Normaliser:
        """Measure images [N, 3, H, W] uint8, rounded to four digits."""
        values = images.double() / 255
        std, mean = torch.std_mean(values, dim=(0, 2, 3), correction=0)
        return cls(tuple(round(x, 4) for x in mean.tolist()), tuple(round(x, 4) for x in std.tolist()))

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise images [N, 3, H, W] from uint8 to float32."""
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (images.float() / 255 - mean) / std


def shifted(images: Tensor) -> Tensor:
    """Shift each image [N, 3, H, W] uint8 by up to SHIFT pixels.

    The border is filled with black, the colour of the background.
    """
    height, width = images.shape[2:]
    padded = F.pad(images, (SHIFT,) * 4)
    corners = torch.randint(0, 2 * SHIFT + 1, (len(images), 2)).tolist()
    crops = [
        image[:, top : top + height, left : left + width] for image, (top, left) in zip(padded, corners, strict=True)
    ]
    return torch.stack(crops)


def train(recipe: Recipe, split: Split, normalise: Normaliser) -> CifarResNet:
    """Train a network by a recipe, and return it in evaluation mode.

    It sets torch's global seed.
    """
    torch.manual_seed(recipe.seed)
    network = CifarResNet(SPEC)
    adjustment = recipe.tau * torch.log(torch.bincount(split.labels) / len(split.labels))  # [C]
    optimizer = torch.optim.SGD(
        network.parameters(), lr=LEARNING_RATE, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY
    )
    steps = EPOCHS * -(-len(split.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in track(range(EPOCHS), description=f"{recipe.name:<21}"):
        order = torch.randperm(len(split.labels))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            logits = network(normalise(shifted(split.images[rows])))
            loss = F.cross_entropy(logits + adjustment, split.labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            optimizer.step()
            schedule.step()
    return network.eval()


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Find the T > 0 that minimises the cross-entropy of softmax(z/T).

    The cross-entropy is convex in β = 1/T, with slope mean(E_p[z] − z_y); the root is bisected.
    Source: Guo et al. 2017, arXiv:1706.04599.

    Args:
        logits: [N, C] float.
        labels: [N] int64.

    Raises:
        ValueError: the best T is not between 0.05 and 20, for instance if every prediction is right.
    """
    z = logits.double()
    label_logits = z.gather(1, labels[:, None]).squeeze(1)  # [N]

    def slope(beta: float) -> float:
        expected = (torch.softmax(beta * z, dim=1) * z).sum(dim=1)  # [N]
        return float((expected - label_logits).mean())

    low, high = 1 / 20, 20.0
    if not slope(low) < 0 < slope(high):
        raise ValueError("No temperature between 0.05 and 20 fits: are the logits all right, or all wrong?")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / low


def checkpoint(network: nn.Module, temperature: Tensor) -> dict[str, Tensor]:
    """Make a state dict of `temperature`, `backbone.*`, and `fc.*` for the head."""
    weights = {
        name if name.startswith("fc.") else f"backbone.{name}": tensor
        for name, tensor in network.state_dict().items()
    }
    return {"temperature": temperature, **weights}


def as_split(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Split:
    """Convert images [N, 32, 32, 3] and labels to tensors, channels first."""
    return Split(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels))


def train_all(arrays: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.int64]]], folder: Path) -> None:
    """Train, calibrate and save the three experts, and print their accuracies.

    `best_{name}.pth` has a temperature of 1, of shape (1,). `final_calibrated_{name}.pth` has the same weights and
    the temperature fitted on `unused`, of shape ().

    Args:
        arrays: images [N, 32, 32, 3] and labels [N] of the splits `train`, `test`, `val`, `tunev`, and of
            `unused`: images that belong to no split.
        folder: the folder of the checkpoints; created if it does not exist.
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    splits = {name: as_split(images, labels) for name, (images, labels) in arrays.items()}
    normalise = Normaliser.of(splits["train"].images)
    print(f"mean {list(normalise.mean)}, std {list(normalise.std)}")
    is_head = torch.bincount(splits["train"].labels) > HEAD_ABOVE  # [C]

    folder.mkdir(parents=True, exist_ok=True)
    table = Table("expert", "test", "its head", "its tail", "val", "tunev", "T", title="accuracy, %")
    for recipe in RECIPES:
        network = train(recipe, splits["train"], normalise)
        with torch.inference_mode():
            logits = {name: network(normalise(split.images)) for name, split in splits.items()}
        temperature = fit_temperature(logits["unused"], splits["unused"].labels)
        torch.save(checkpoint(network, torch.ones(1)), folder / f"best_{recipe.name}.pth")
        calibrated = checkpoint(network, torch.tensor(temperature))
        torch.save(calibrated, folder / f"final_calibrated_{recipe.name}.pth")

        correct = {name: logits[name].argmax(dim=1) == split.labels for name, split in splits.items()}
        head = is_head[splits["test"].labels]
        parts = (correct["test"], correct["test"][head], correct["test"][~head], correct["val"], correct["tunev"])
        percents = [f"{100 * float(part.double().mean()):.2f}" for part in parts]
        table.add_row(recipe.name, *percents, f"{temperature:.3f}")
    Console().print(table)
