"""The gating net's forward pass in NumPy is PyTorch's, and its tensors survive a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worker.combine import gating_net
from worker.combine.gating_net import GateRows, decode_tensors, encode_tensors, expected_shapes, gate_scores
from worker.combine.net_training import GatingNet


def trained(experts: int = 3) -> GatingNet:
    """A net in double precision whose batch norms have seen rows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = GatingNet(experts).double()
        for _ in range(5):
            net(torch.randn(32, 7 * experts + 3, dtype=torch.float64) * 2 + 1)
    return net.eval()


def tensors_of(net: GatingNet) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in net.state_dict().items()}


@pytest.mark.parametrize("experts", [1, 3, 5])
def test_the_forward_pass_is_torchs_in_evaluation_mode(experts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores agree to rounding, over several blocks of rows."""
    monkeypatch.setattr(gating_net, "BLOCK_ROWS", 8)
    net = trained(experts)
    inputs = np.random.default_rng(0).normal(size=(30, 7 * experts + 3))
    with torch.no_grad():
        expected = net(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(gate_scores(tensors_of(net), inputs), expected, atol=1e-12)


@pytest.mark.parametrize("experts", [1, 3, 4])
def test_the_expected_shapes_are_those_of_the_net(experts: int) -> None:
    assert expected_shapes(experts) == {k: tuple(v.shape) for k, v in GatingNet(experts).state_dict().items()}


def test_a_net_of_three_experts_has_12035_parameters() -> None:
    shapes = expected_shapes(3)
    learned = [shape for name, shape in shapes.items() if name.endswith((".weight", ".bias"))]
    assert sum(int(np.prod(shape)) for shape in learned) == 12_035
    assert sum(values.numel() for values in GatingNet(3).parameters()) == 12_035


def test_tensors_come_back_from_text_bit_by_bit() -> None:
    """Names, types, shapes and values, and the text does not depend on the order of names."""
    tensors = tensors_of(GatingNet(2))
    text = encode_tensors(tensors)
    again = decode_tensors(text)
    assert again.keys() == tensors.keys()
    for name, values in tensors.items():
        assert (again[name].dtype, again[name].shape) == (values.dtype, values.shape)
        np.testing.assert_array_equal(again[name], values)
    assert encode_tensors(dict(reversed(tensors.items()))) == text


def test_the_nll_of_a_gate_is_that_of_the_mixture() -> None:
    """−log Σ_e g_e P_e of the label, averaged with weights."""
    net, random = trained(2), np.random.default_rng(0)
    inputs, p, w = random.normal(size=(9, 17)), random.uniform(0.01, 1, (9, 2)), random.uniform(0, 2, 9)
    with torch.no_grad():
        gate = net(torch.from_numpy(inputs)).softmax(dim=1).numpy()
    expected = np.average(-np.log((gate * p).sum(axis=1)), weights=w)
    assert GateRows(inputs, np.log(p), w).nll(tensors_of(net)) == pytest.approx(expected, rel=1e-12)
