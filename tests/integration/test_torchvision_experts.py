"""torchvision's ResNets, built and loaded whole. Not among the unit tests: importing torchvision takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app.domain.errors import JobError
from worker.experts.architectures import TorchvisionResNetSpec, Variant
from worker.experts.loading import Assumptions, load_expert
from worker.experts.recognition import recognise


# torchvision's own tables, without batch norm's running figures: parameters for 1000 classes.
@pytest.mark.parametrize(
    ("variant", "parameters"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)]
)
def test_torchvision_sizes(variant: Variant, parameters: int) -> None:
    """With the ImageNet stem these are torchvision's networks, to the parameter."""
    with torch.device("meta"):
        network = TorchvisionResNetSpec(variant, 1000, cifar_stem=False, max_pool=True).build()
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("cifar_stem", "max_pool", "size"), [(True, False, 4), (True, True, 2), (False, False, 2), (False, True, 1)]
)
def test_stem_and_pool_set_the_resolution(cifar_stem: bool, max_pool: bool, size: int) -> None:
    """From 32 pixels, stage four has 4 with the CIFAR stem, and each stride of 2 in the stem halves it."""
    with torch.device("meta"):
        network = TorchvisionResNetSpec("resnet18", 5, cifar_stem=cifar_stem, max_pool=max_pool).build()
        seen: list[torch.Size] = []
        layer4 = network.get_submodule("layer4")
        layer4.register_forward_hook(lambda _module, _inputs, out: seen.append(out.shape))
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 5)
    assert seen == [(2, 512, size, size)]


@pytest.mark.parametrize("variant", ["resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("cifar_stem", [True, False])
def test_every_variant_is_recognised_by_names_and_shapes(variant: Variant, cifar_stem: bool) -> None:
    """Stages, kind of block and stem tell the variant; the max-pool is the stem's usual."""
    spec = TorchvisionResNetSpec(variant, 9, cifar_stem=cifar_stem, max_pool=not cifar_stem)
    with torch.device("meta"):
        assert recognise("e.pth", spec.build().state_dict()) == spec


@pytest.mark.parametrize("cifar_stem", [True, False])
def test_a_torchvision_resnet18_is_recognised_with_either_stem(tmp_path: Path, cifar_stem: bool) -> None:
    """The stem shows from conv1, the max-pool is assumed as usual for it, and the logits are the network's."""
    torch.manual_seed(0)
    network = TorchvisionResNetSpec("resnet18", 7, cifar_stem=cifar_stem, max_pool=not cifar_stem).build().eval()
    images = torch.randn(2, 3, 32, 32)
    state = {name.replace("downsample", "shortcut"): tensor for name, tensor in network.state_dict().items()}
    torch.save(state, tmp_path / "best_e.pth")
    expert = load_expert(tmp_path / "best_e.pth")
    passport = expert.passport
    assert passport.architecture == f"resnet18 ({'CIFAR' if cifar_stem else 'ImageNet'} stem)"
    assert (passport.classes, passport.renamed) == (7, ("shortcut.* -> downsample.*",))
    assert [(a.value, a.basis, a.override) for a in passport.assumed] == [
        (not cifar_stem, "assumed", "max_pool"),
        (1 if cifar_stem else 2, "assumed", "stem_stride"),
        ((1, 2, 2, 2), "assumed", "stage_strides"),
        (1e-5, "assumed", "batch_norm_eps"),
    ]
    assert torch.equal(expert.network(images), network(images))
    declared = load_expert(tmp_path / "best_e.pth", Assumptions(max_pool=cifar_stem))
    assert (declared.passport.assumed[0].value, declared.passport.assumed[0].basis) == (cifar_stem, "declared")
    assert not torch.equal(declared.network(images), network(images))
    strided = load_expert(tmp_path / "best_e.pth", Assumptions(stem_stride=2 if cifar_stem else 1))
    assert (strided.passport.assumed[1].value, strided.passport.assumed[1].basis) == (
        2 if cifar_stem else 1,
        "declared",
    )
    assert not torch.equal(strided.network(images), network(images))


def test_a_padding_override_is_refused(tmp_path: Path) -> None:
    """torchvision's ResNets have projections, so a declared option A padding is an error."""
    network = TorchvisionResNetSpec("resnet18", 2, cifar_stem=True, max_pool=True).build()
    torch.save(network.state_dict(), tmp_path / "e.pth")
    with pytest.raises(JobError, match="option_a_padding") as caught:
        load_expert(tmp_path / "e.pth", Assumptions(option_a_padding="end"))
    assert caught.value.code == "override-not-applicable"


def test_cifar_experts_do_not_pay_for_torchvision(tmp_path: Path) -> None:
    """Loading a CIFAR ResNet imports neither torchvision nor torch's compiler, each of them seconds."""
    script = f"""
import sys, torch
from pathlib import Path
from worker.experts.loading import load_expert
from worker.experts.architectures import CifarResNetSpec
path = Path({str(tmp_path)!r}) / "e.pth"
torch.save(CifarResNetSpec((1, 1, 1), (4, 4, 4), 2).build().state_dict(), path)
load_expert(path)
sys.exit(", ".join({{"torchvision", "torch._dynamo"}} & sys.modules.keys()) or None)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
