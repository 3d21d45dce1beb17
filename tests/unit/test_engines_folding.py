"""Batch norm folded into convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tests.unit.engines import SMALL, SPECS, lived_in
from worker.compute.engines.folding import fold


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("spec", SPECS)
def test_no_batch_norm_of_any_architecture_stays(spec: str) -> None:
    """In every kind of network that relogit knows, all batch norms are folded."""
    with torch.device("meta"):
        network = SPECS[spec].build()
    assert norms(network) > 0
    assert norms(fold(network)) == 0


def test_the_original_is_neither_changed_nor_shared() -> None:
    """The network keeps its batch norms and all its values, in memory that the folded one has no part in."""
    network = lived_in(SMALL)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded = fold(network)
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    ours = {tensor.data_ptr() for tensor in after.values()}
    assert not any(tensor.data_ptr() in ours for tensor in folded.state_dict().values())


def test_folding_rounds_once() -> None:
    """Folded weights and biases are the float64 ones rounded to float32, nearer than folding in float32 comes."""
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16).eval()
    for name, low, high in (("running_mean", -1, 1), ("running_var", 0.1, 3), ("weight", -2, 2), ("bias", -1, 1)):
        nn.init.uniform_(getattr(norm, name), low, high)
    folded = fold(nn.Sequential(convolution, norm))
    exact = fuse_conv_bn_eval(convolution.double().eval(), norm.double())
    assert exact.bias is not None
    torch.testing.assert_close(folded.get_parameter("0.weight").double(), exact.weight, atol=0, rtol=6e-8)
    torch.testing.assert_close(folded.get_parameter("0.bias").double(), exact.bias, atol=1e-15, rtol=6e-8)


class _Shared(nn.Module):
    """A convolution that is heard twice, and one that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.heard, self.called = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        heard = self.heard(x)
        x = heard + self.norms[0](heard)
        total: Tensor = self.norms[1](self.called(x)) + self.norms[2](self.called(2 * x))
        return total


def test_what_cannot_be_folded_stays() -> None:
    """Without a convolution of its own before it, a batch norm is computed as it is."""
    torch.manual_seed(0)
    network = _Shared().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 2)
    folded = fold(network)
    assert norms(folded) == 4
    images = torch.randn(2, 3, 4, 4)
    assert torch.equal(folded(images), network(images))


def test_a_network_in_train_mode_is_folded_as_in_eval_mode() -> None:
    """What is folded are the running figures, and the network that was given stays in its mode."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    images = torch.randn(2, 3, 4, 4)
    network(images)  # the running figures move
    found = fold(network)(images)
    assert network.training
    torch.testing.assert_close(found, network.eval()(images), atol=1e-6, rtol=1e-5)
