"""The CIFAR ResNets: names, sizes, shortcuts."""

from __future__ import annotations

import pytest
import torch

from worker.networks import (
    CifarResNet,
    CifarResNetSpec,
    OptionAShortcut,
)


def test_resnet32_has_the_reference_names_and_size() -> None:
    """The reference expert has 200 entries without its temperature and 472,756 trainable parameters."""
    network = CifarResNetSpec((5, 5, 5), (16, 32, 64), 100).build()
    names = set(network.state_dict())
    assert len(names) == 200
    assert sum(parameter.numel() for parameter in network.parameters()) == 472_756
    assert {"conv1.weight", "layer2.0.shortcut.0.weight", "layer3.0.shortcut.1.running_var", "fc.bias"} <= names
    assert not any(name.startswith("layer1.0.shortcut") for name in names)


@pytest.mark.parametrize(("n", "name"), [(1, "cifar_resnet8"), (3, "cifar_resnet20"), (18, "cifar_resnet110")])
def test_depth_is_6n_plus_2(n: int, name: str) -> None:
    """n blocks a stage make a network of depth 6n+2, and it is called so."""
    assert CifarResNetSpec((n, n, n), (16, 32, 64), 10).architecture == name


def test_logits_are_raw_and_one_row_an_image() -> None:
    """A forward pass gives [N, C], and an image's row does not depend on its neighbours."""
    network = CifarResNetSpec((1, 1, 1), (4, 6, 8), 7, stem_width=3).build().eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = network(images)
    assert logits.shape == (3, 7)
    assert torch.allclose(logits[1:2], network(images[1:2]), atol=1e-6)
    assert (logits < 0).any()  # no softmax


@pytest.mark.parametrize(("padding", "first"), [("symmetric", 2), ("end", 0)])
def test_option_a_subsamples_and_pads(padding: str, first: int) -> None:
    """Option A keeps every second pixel and puts its zero channels half on each side, or all at the end."""
    x = torch.arange(1.0, 33.0).reshape(1, 2, 4, 4)
    out = OptionAShortcut(2, 6, 2, "end" if padding == "end" else "symmetric")(x)
    assert out.shape == (1, 6, 2, 2)
    assert torch.equal(out[:, first : first + 2], x[:, :, ::2, ::2])
    assert out.count_nonzero() == 2 * 2 * 2


def test_option_a_cannot_remove_channels() -> None:
    """Narrowing without a projection is refused, with both widths."""
    with pytest.raises(ValueError, match="8 to 4"):
        CifarResNet(CifarResNetSpec((1, 1, 1), (8, 4, 4), 2, shortcut="option_a"))


def test_three_stages_or_nothing() -> None:
    """A CIFAR ResNet of two stages is refused."""
    with pytest.raises(ValueError, match="three stages"):
        CifarResNet(CifarResNetSpec((1, 1), (4, 8), 2))


def test_a_fresh_network_can_be_trained() -> None:
    """Every parameter gets a gradient, so the training script reaches all of them."""
    network = CifarResNetSpec((1, 1, 1), (4, 6, 8), 3).build()
    loss = torch.nn.functional.cross_entropy(network(torch.randn(4, 3, 8, 8)), torch.tensor([0, 1, 2, 0]))
    gradients = torch.autograd.grad(loss, list(network.parameters()))  # raises for a parameter out of reach
    assert all(gradient.count_nonzero() for gradient in gradients)
