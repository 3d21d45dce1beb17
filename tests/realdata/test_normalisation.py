"""Verdicts on the normalisation of real checkpoints, and of small networks trained here on real images.

The checkpoints' own normalisations stand in the README of the real data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from numpy.typing import NDArray
from torch import Tensor, nn

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset, Transform
from app.settings import Settings
from tests.realdata.location import REALDATA, needs_realdata
from worker.compute.engines.pixels import normalise
from worker.datasets.pools import Pool, Pools
from worker.experts.loading import load_expert
from worker.normalisation import PatchStatistics, Stem, channel_order, judge_normalisation, patch_statistics, stem_of
from worker.normalisation.augmentations import Augmented, augment
from worker.normalisation.candidates import LISTED, nearly_equal
from worker.normalisation.fit import Response, coefficients
from worker.normalisation.patches import patch_moments

pytestmark = [needs_realdata, pytest.mark.slow]

ROUNDED = LISTED["CIFAR-100 (other rounding)"]
IMAGENET = LISTED["ImageNet"]
DATASET = Dataset(kind="cifar100", root=".", splits="splits", experts="cifar100", mean=ROUNDED.mean, std=ROUNDED.std)
TRUE = {
    "cifar100/cifar100_resnet32.pth": ROUNDED,
    "cifar100_lt/expert_head_best.pt": IMAGENET,
    "cifar100_lt/expert_tail_best.pt": IMAGENET,
    "cifar100_lt/expert_balanced_best.pt": IMAGENET,
}
CIFAR10_EXPERT = "cifar10/resnet20-12fca82f.th"
GROSS = ("mean and std 0.5", "none, values in [0, 1]")


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pools(Catalog(Settings(data_dir=REALDATA, _env_file=None)).bases).get(DATASET, "test")


@pytest.fixture(scope="module")
def statistics(pool: Pool) -> PatchStatistics:
    return patch_statistics(pool.images)


@cache
def expert(name: str) -> nn.Module:
    return load_expert(Path(REALDATA / "checkpoints" / name)).network


def stem(network: nn.Module) -> Stem:
    result = stem_of(network)
    assert isinstance(result, Stem)
    return result


def verdicts(of: Stem, statistics: PatchStatistics, true: Transform) -> Counter[tuple[str, str, str | None]]:
    """How often each (kind of declaration, verdict, severity) comes, over all listed declarations."""
    counts: Counter[tuple[str, str, str | None]] = Counter()
    for name, declared in LISTED.items():
        kind = "true" if nearly_equal(declared, true) else "gross" if name in GROSS else "neighbour"
        evidence = judge_normalisation(of, statistics, declared, {})
        counts[kind, evidence.verdict, evidence.severity] += 1
    return counts


@pytest.mark.parametrize(
    ("name", "neighbours"),
    [
        ("cifar100/cifar100_resnet32.pth", {"warning": 3}),
        ("cifar100_lt/expert_head_best.pt", {"error": 2, "warning": 2}),
        ("cifar100_lt/expert_tail_best.pt", {"error": 2, "warning": 2}),
        ("cifar100_lt/expert_balanced_best.pt", {"error": 2, "warning": 2}),
    ],
)
def test_every_declaration_of_a_real_checkpoint_is_judged_right(
    name: str, neighbours: dict[str, int], statistics: PatchStatistics
) -> None:
    """On the whole test set the true normalisation is supported, neighbours and gross errors are contradicted.

    Errors among the neighbours are CIFAR-100's constants for a network trained with ImageNet's.
    """
    counts = verdicts(stem(expert(name)), statistics, TRUE[name])
    expected: Counter[tuple[str, str, str | None]] = Counter()
    expected["true", "supported", None] = sum(nearly_equal(declared, TRUE[name]) for declared in LISTED.values())
    expected["gross", "contradicted", "error"] = 2
    for severity, count in neighbours.items():
        expected["neighbour", "contradicted", severity] = count
    assert counts == expected


def test_smaller_samples_are_judged_less_often_but_not_wrong(pool: Pool) -> None:
    """With 2,000 and 500 images no true normalisation is contradicted, no neighbour supported, gross errors show."""
    order = np.random.default_rng(0).permutation(len(pool.images))
    stems = {name: stem(expert(name)) for name in TRUE}
    for rows in (order[:2000], order[2000:2500]):
        statistics = patch_statistics(pool.images[rows])
        counts = sum((verdicts(stems[name], statistics, true) for name, true in TRUE.items()), Counter())
        judged = {(kind, verdict) for kind, verdict, _ in counts}
        assert ("true", "contradicted") not in judged, counts
        assert {("neighbour", "supported"), ("gross", "supported")}.isdisjoint(judged), counts
        if len(rows) == 2000:
            assert counts["gross", "contradicted", "error"] == 8
            assert counts["true", "supported", None] >= 2
            assert sum(counts["neighbour", "contradicted", level] for level in ("error", "warning")) >= 13


@pytest.mark.parametrize("declared", LISTED)
def test_a_network_of_other_images_is_never_judged(declared: str, statistics: PatchStatistics) -> None:
    """A CIFAR-10 network's statistics fit no normalisation of CIFAR-100 images, though the two look alike."""
    evidence = judge_normalisation(stem(expert(CIFAR10_EXPERT)), statistics, LISTED[declared], {})
    assert evidence.verdict == "undecidable"
    assert evidence.message.startswith("No listed normalisation fits")
    assert evidence.hint is None


def test_the_free_fit_is_near_the_truth(statistics: PatchStatistics) -> None:
    """The hint lies within .06 std and 3.5 % of the true mean and std of each real checkpoint."""
    for name, true in TRUE.items():
        hint = judge_normalisation(stem(expert(name)), statistics, true, {}).hint
        assert hint is not None
        shift = (np.array(hint.transform.mean) - true.mean) / true.std
        ratio = np.array(hint.transform.std) / true.std
        assert np.abs(shift).max() < 0.06, (name, shift)
        assert np.abs(ratio - 1).max() < 0.035, (name, ratio)


@pytest.mark.parametrize("name", ["cifar100/cifar100_resnet32.pth", "cifar100_lt/expert_tail_best.pt"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_labels_tell_the_channel_order(name: str, order: str, pool: Pool) -> None:
    """200 labelled images tell a network from the same one made for BGR, also one of 35 % accuracy."""
    network = expert(name)
    logits: Callable[[Tensor], Tensor] = network if order == "rgb" else lambda images: network(images.flip(1))
    assert channel_order(logits, pool.images[:200], pool.labels[:200], TRUE[name]).order == order


def test_labels_of_other_images_tell_no_channel_order(pool: Pool) -> None:
    """Labels shifted by 200 rows decide nothing, where the plain log-likelihood would be sure of BGR."""
    name = "cifar100/cifar100_resnet32.pth"
    result = channel_order(expert(name), pool.images[:200], pool.labels[200:400], TRUE[name])
    assert result.order == "undecidable"


def test_labels_of_other_classes_tell_no_channel_order(pool: Pool) -> None:
    """A CIFAR-10 network knows nothing of CIFAR-100's labels."""
    result = channel_order(expert(CIFAR10_EXPERT), pool.images[:200], pool.labels[:200] % 10, IMAGENET)
    assert result.order == "undecidable"


def grey_at_times(images: Augmented, rng: np.random.Generator) -> Augmented:
    grey = np.broadcast_to(images.values.mean(axis=1, keepdims=True), images.values.shape)
    return Augmented(np.where(rng.random((len(grey), 1, 1, 1)) < 0.2, grey, images.values), images.inside)


def brightened(images: Augmented, rng: np.random.Generator) -> Augmented:
    factors = rng.uniform(0.7, 1.3, (len(images.values), 1, 1, 1))
    return Augmented((images.values * factors).clip(0, 1), images.inside)


def mixed_and_cut(images: Augmented, rng: np.random.Generator) -> Augmented:
    """Mixtures with a square of 16 cut out afterwards."""
    weights = rng.random((len(images.values), 1, 1, 1))
    values = weights * images.values + (1 - weights) * images.values[::-1]
    inside = weights[:, 0] * images.inside + (1 - weights[:, 0]) * images.inside[::-1]
    kept = np.ones(inside.shape)
    for mask, (row, column) in zip(kept, rng.integers(0, 32, (len(kept), 2)).tolist(), strict=True):
        mask[max(row - 8, 0) : row + 8, max(column - 8, 0) : column + 8] = 0
    return Augmented(values * kept[:, None], inside * kept)


@pytest.mark.parametrize("base", ["none", "resized crop", "crop with zeros after normalising"])
@pytest.mark.parametrize("change", [grey_at_times, brightened, mixed_and_cut])
def test_unlisted_augmentations_are_no_errors(
    base: str,
    change: Callable[[Augmented, np.random.Generator], Augmented],
    pool: Pool,
    statistics: PatchStatistics,
) -> None:
    """Statistics under recipes that are no hypothesis never make the true normalisation an error."""
    rng = np.random.default_rng(0)
    moments = patch_moments(change(augment(pool.images[:1000], base, rng), rng))
    for name in TRUE:
        real = stem(expert(name))
        for true in LISTED.values():
            made = Stem(real.weight, real.bias, *Response.of(real, moments).output(coefficients(true)))
            evidence = judge_normalisation(made, statistics, true, {})
            assert evidence.severity != "error", evidence.message


class Small(nn.Module):
    """The smallest network whose first layer is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16 * 16, 100)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)))
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 4).flatten(1))
        return logits


def cropped(batch: Tensor, rng: np.random.Generator, mode: str) -> Tensor:
    """Random crops of the batch padded by 4, half of them mirrored."""
    padded = F.pad(batch, (4, 4, 4, 4), mode=mode)
    corners = rng.integers(0, 9, (len(batch), 2)).tolist()
    crops = torch.stack([image[:, r : r + 32, c : c + 32] for image, (r, c) in zip(padded, corners, strict=True)])
    return torch.where(torch.from_numpy(rng.random((len(batch), 1, 1, 1)) < 0.5), crops.flip(3), crops)


def cut_out(batch: Tensor, rng: np.random.Generator) -> Tensor:
    """The normalised batch with a square of 16 in each image set to 0."""
    for image, (row, column) in zip(batch, rng.integers(0, 32, (len(batch), 2)).tolist(), strict=True):
        image[:, max(row - 8, 0) : row + 8, max(column - 8, 0) : column + 8] = 0
    return batch


def trained(images: NDArray[np.uint8], labels: Tensor, transform: Transform, augmentation: str) -> nn.Module:
    """A small network after two epochs of SGD whose step falls to 0, which lets running statistics settle."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Small()
    rng = np.random.default_rng(0)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    batches = [part for _ in range(2) for part in np.array_split(rng.permutation(len(images)), len(images) // 64)]
    black = (0 - torch.tensor(transform.mean)) / torch.tensor(transform.std)
    for step, rows in enumerate(batches):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / len(batches))
        batch = normalise(torch.from_numpy(images[rows]), transform)
        # A black pixel is 0 before normalising, so the batch is shifted to pad it with black.
        shift = black[:, None, None] if augmentation in ("crop", "mixup", "cutout") else torch.zeros(3, 1, 1)
        batch = cropped(batch - shift, rng, "reflect" if augmentation == "reflection" else "constant") + shift
        if augmentation == "mixup":
            batch = torch.lerp(batch.roll(1, 0), batch, float(rng.random()))
        if augmentation == "cutout":
            batch = cut_out(batch, rng)
        loss = F.cross_entropy(network(batch), labels[torch.from_numpy(rows)])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        optimiser.step()
    return network.eval()


@pytest.mark.parametrize(
    ("true", "augmentation"),
    [
        ("CIFAR-100", "crop"),
        ("CIFAR-10", "reflection"),
        ("CIFAR-10 (std averaged per image)", "crop after normalising"),
        ("ImageNet", "mixup"),
        ("mean and std 0.5", "cutout"),
    ],
)
def test_small_networks_are_never_falsely_judged(
    true: str, augmentation: str, pool: Pool, statistics: PatchStatistics
) -> None:
    """Under each listed recipe the own normalisation fits, no other is supported, and far ones are errors."""
    images, labels = pool.images[:3000], torch.tensor(pool.labels[:3000])
    small = stem(trained(images, labels, LISTED[true], augmentation))
    own = judge_normalisation(small, statistics, LISTED[true], {})
    assert own.declared_divergence is not None
    assert own.declared_divergence <= 0.003
    counts = verdicts(small, statistics, LISTED[true])
    assert not any(
        count for (kind, verdict, _), count in counts.items() if kind == "true" and verdict == "contradicted"
    )
    assert not any(count for (kind, verdict, _), count in counts.items() if kind != "true" and verdict == "supported")
    far = sum(name in GROSS and name != true for name in LISTED)
    assert counts["gross", "contradicted", "error"] == far, counts
