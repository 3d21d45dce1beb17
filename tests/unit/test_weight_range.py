"""How large parameters are once batch norm is folded in, and what is refused for it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from app.domain.errors import JobError
from tests.unit.engines import SPECS, lived_in
from worker.compute.engines.folding import fold
from worker.experts.architectures import CifarResNetSpec
from worker.experts.loading import load_expert
from worker.experts.weight_range import folded_extreme, folded_extremes

SMALL = CifarResNetSpec((1, 1, 1), (4, 6, 10), 5)


def largest(network: nn.Module) -> float:
    return max(float(parameter.detach().abs().max()) for parameter in network.parameters())


@pytest.mark.parametrize("spec", SPECS)
def test_it_is_the_largest_parameter_that_engines_fold(spec: str) -> None:
    """In every kind of network the figure is the largest parameter of the folded network, layer by layer."""
    network = lived_in(SPECS[spec])
    folded = fold(network)
    assert folded_extreme("e.pth", network) == pytest.approx(largest(folded), rel=1e-7)
    layers = {name: value for name, value in folded_extremes(network) if value}  # a ReLU has none
    assert layers.keys() == {name.rpartition(".")[0] for name, _ in folded.named_parameters()}
    for name, value in layers.items():
        assert value == pytest.approx(largest(folded.get_submodule(name)), rel=1e-6), name


def test_a_batch_norm_without_a_convolution_counts_alone() -> None:
    """Where no convolution of as many channels stands before it, scale and shift count as they are."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1), nn.BatchNorm2d(5)).eval()
    with torch.no_grad():
        network.get_parameter("0.bias").fill_(7.0)
        network.get_parameter("3.weight").fill_(9.0)
    layers = dict(folded_extremes(network))
    assert layers.keys() == {"0", "1", "2", "3"}
    assert layers["0"] == 7.0
    assert layers["1"] == pytest.approx(largest(network[1]))
    assert layers["3"] == pytest.approx(9.0, rel=1e-4)


def _state() -> dict[str, Tensor]:
    return copy.deepcopy(lived_in(SMALL).state_dict())


@pytest.mark.parametrize(
    ("values", "layer"),
    [
        ({"conv1.weight": 3e38, "bn1.weight": 5.0}, "conv1"),
        ({"layer2.0.shortcut.0.weight": 3e37, "layer2.0.shortcut.1.running_var": 1e-9}, "layer2.0.shortcut.0"),
        ({"layer3.0.bn2.running_mean": 3e38, "layer3.0.bn2.running_var": 0.0}, "layer3.0.conv2"),
    ],
)
def test_weights_that_fold_into_infinity_are_refused(tmp_path: Path, values: dict[str, float], layer: str) -> None:
    """Finite tensors whose folded product is not are refused when the file is read, with the layer's name."""
    state = _state()
    for name, value in values.items():
        state[name].view(-1)[0] = value
        state[name].view(-1)[-1] = value
    torch.save(state, tmp_path / "e.pth")
    with pytest.raises(JobError, match=f"'{layer}'") as caught:
        load_expert(tmp_path / "e.pth")
    assert (caught.value.code, caught.value.details["name"]) == ("weights-overflow", layer)


def test_large_and_small_that_cancel_are_accepted(tmp_path: Path) -> None:
    """Weights of 1e30 whose batch norm divides by as much fold into usual ones, and the passport has that figure."""
    state = _state()
    state["conv1.weight"] *= 1e18
    state["bn1.running_var"] *= 1e36
    state["bn1.running_mean"] *= 1e18
    torch.save(state, tmp_path / "e.pth")
    assert load_expert(tmp_path / "e.pth").passport.largest_parameter < 1e3


@pytest.mark.parametrize("name", [name for name in _state() if "running_var" in name])
def test_a_negative_variance_is_refused(tmp_path: Path, name: str) -> None:
    """Wherever a variance is below zero the file is refused, with tensor, place and value."""
    state = _state()
    state[name][1] = -0.5
    torch.save(state, tmp_path / "e.pth")
    with pytest.raises(JobError, match=f"'{name}' holds -0.5 at \\[1\\]") as caught:
        load_expert(tmp_path / "e.pth")
    assert caught.value.code == "checkpoint-variance"
    assert caught.value.details == {"file": "e.pth", "name": name, "index": [1], "value": -0.5}


def test_a_variance_of_minus_zero_is_zero(tmp_path: Path) -> None:
    """-0.0 is no negative number, and a negative mean or weight is none of a variance."""
    state = _state()
    state["bn1.running_var"][0] = -0.0
    state["bn1.running_mean"][0] = -1.0
    torch.save(state, tmp_path / "e.pth")
    assert torch.isfinite(load_expert(tmp_path / "e.pth").network(torch.zeros(1, 3, 8, 8))).all()
