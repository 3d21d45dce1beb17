"""Passports of real checkpoints that nobody made for relogit."""

from __future__ import annotations

import pytest

from tests.realdata.location import REALDATA, needs_realdata
from worker.experts.loading import Passport, load_expert

CHECKPOINTS = REALDATA / "checkpoints"
pytestmark = needs_realdata


def passport(name: str) -> Passport:
    return load_expert(CHECKPOINTS / name).passport


@pytest.mark.parametrize(
    "name",
    [
        "cifar100/cifar100_resnet32.pth",
        "cifar100_lt/expert_head_best.pt",
        "cifar100_lt/expert_tail_best.pt",
        "cifar100_lt/expert_balanced_best.pt",
    ],
)
def test_the_cifar100_experts_are_resnet32(name: str) -> None:
    """Four ResNet-32 for 100 classes, projections called downsample; assumed is what no tensors tell."""
    found = passport(name)
    assert (found.architecture, found.widths, found.shortcut) == ("cifar_resnet32", (16, 32, 64), "projection")
    assert (found.classes, found.parameters, found.temperature) == (100, 472_756, None)
    assert (found.format, found.dtype) == ("pytorch-zip", "float32")
    assert found.renamed == ("downsample.* -> shortcut.*",)
    assert [(a.value, a.basis, a.override) for a in found.assumed] == [
        ((1, 2, 2), "assumed", "stage_strides"),
        (1e-5, "assumed", "batch_norm_eps"),
    ]
    assert (found.stored_accuracy, found.weights) == (None, "model" if name.endswith(".pt") else None)
    assert 1 < found.largest_parameter < 100
    assert found.ignored == found.notes == ()


def test_the_cifar10_file_is_a_resnet20_with_option_a() -> None:
    """The old .th file: ResNet-20 without shortcut tensors or batch counters, its published sha256 in its name."""
    found = passport("cifar10/resnet20-12fca82f.th")
    assert (found.architecture, found.widths, found.shortcut) == ("cifar_resnet20", (16, 32, 64), "option_a")
    assert (found.classes, found.parameters, found.temperature) == (10, 269_722, None)
    assert found.format == "pytorch-legacy"
    assert found.sha256.startswith("12fca82f")
    assert found.renamed == ("module.* -> *", "linear.* -> fc.*")
    assert found.ignored == ("best_prec1",)
    assert [(a.value, a.basis, a.override) for a in found.assumed] == [
        ("symmetric", "assumed", "option_a_padding"),
        ((1, 2, 2), "assumed", "stage_strides"),
        (1e-5, "assumed", "batch_norm_eps"),
    ]
    assert found.stored_accuracy is not None
    assert (found.stored_accuracy.name, found.weights) == ("best_prec1", "state_dict")
    assert found.stored_accuracy.value == pytest.approx(0.9178, abs=1e-4)
    assert len(found.notes) == 2
    assert found.notes[0].startswith("19 num_batches_tracked")
    assert "12fca82f" in found.notes[1]
