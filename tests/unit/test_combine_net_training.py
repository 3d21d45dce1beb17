"""Training of the gating net: reproducible, without a trace in PyTorch's state, and as its options say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from app.domain.combine_requests import NetOptions
from app.domain.errors import JobError
from worker.combine import net_training
from worker.combine.gating_net import GateRows, encode_tensors
from worker.combine.net_training import GatingNet, train_net

SHORT = NetOptions(epochs=3, batch_size=16)


def gate_rows(count: int = 65, seed: int = 0) -> GateRows:
    """Rows of two experts, the sign of whose first feature tells which one is right."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, 17))
    right = np.where(inputs[:, :1] > 0, [[0.9, 0.1]], [[0.1, 0.9]])
    return GateRows(inputs, np.log(right), np.ones(count))


def nothing() -> None:
    pass


def text_of(fit: GateRows, options: NetOptions = SHORT) -> str:
    return encode_tensors(train_net(fit, gate_rows(seed=1), options, nothing)[0])


def test_equal_input_gives_equal_bytes() -> None:
    """Whatever PyTorch's own random state is."""
    first = text_of(gate_rows())
    torch.rand(3)
    assert text_of(gate_rows()) == first


@pytest.mark.parametrize("change", [{"lr": 1e-3}, {"batch_size": 8}, {"seed": 7}, {"epochs": 4}])
def test_every_option_takes_effect(change: dict[str, int]) -> None:
    """Another value of one option gives another net."""
    assert text_of(gate_rows(), replace(SHORT, **change)) != text_of(gate_rows())


def test_training_leaves_torch_as_it_was() -> None:
    """The random state and the number of threads, after success and after a stop."""

    def stop() -> None:
        assert torch.get_num_threads() == 1
        raise InterruptedError

    before, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train_net(gate_rows(), gate_rows(seed=1), SHORT, nothing)
        assert torch.get_num_threads() == 2
        with pytest.raises(InterruptedError):
            train_net(gate_rows(), gate_rows(seed=1), SHORT, stop)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), before)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("rows", "batches"), [(64, 4), (65, 4), (66, 5), (2, 1)])
def test_a_last_batch_of_one_is_dropped(rows: int, batches: int) -> None:
    """And no other: the check is called once for each batch of 16."""
    calls: list[None] = []
    train_net(gate_rows(rows), gate_rows(seed=1), replace(SHORT, epochs=1), lambda: calls.append(None))
    assert len(calls) == batches


def test_the_epoch_of_the_least_validate_nll_is_kept() -> None:
    """Fewer epochs that still reach it give the same net; its NLL is the lowest of all lengths of training."""
    options = replace(SHORT, epochs=6, lr=0.03)
    fit, validate = gate_rows(), gate_rows(40, seed=5)
    tensors, epoch = train_net(fit, validate, options, nothing)
    nlls = []
    for length in range(1, 7):
        shorter, chosen = train_net(fit, validate, replace(options, epochs=length), nothing)
        nlls.append(validate.nll(shorter))
        assert chosen <= length
    assert validate.nll(tensors) == nlls[-1] == min(nlls)
    assert nlls.index(nlls[-1]) == epoch - 1


def test_the_gate_learns_which_expert_is_right() -> None:
    """An ideal gate has −ln .9 = .105, one that does not look at the features ln 2 = .693 at best."""
    validate = gate_rows(200, seed=1)
    tensors, _ = train_net(gate_rows(300), validate, NetOptions(lr=5e-3), nothing)
    assert validate.nll(tensors) < 0.35


def test_rows_without_weight_teach_nothing() -> None:
    """They might as well not be there."""
    rows = gate_rows(65)
    weights = np.where(np.arange(65) < 50, 1.3, 0.0)
    kept = GateRows(rows.inputs[:50], rows.log_probabilities[:50], weights[:50])
    assert text_of(replace(rows, weights=weights)) == text_of(kept)


def test_a_heavy_row_teaches_more() -> None:
    """With nearly all weight on rows of which the second expert is right the gate takes that one everywhere."""
    rows = gate_rows(200)
    weights = np.where(rows.inputs[:, 0] > 0, 0.01, 1.0)
    tensors, _ = train_net(replace(rows, weights=weights), replace(rows, weights=weights), NetOptions(), nothing)
    only_second = GateRows(rows.inputs, np.log(np.full((200, 2), [1e-9, 1.0])), np.ones(200))
    assert only_second.nll(tensors) < 0.4


def test_probabilities_beyond_float32_do_not_break_training() -> None:
    rows = gate_rows()
    extreme = rows.log_probabilities.copy()
    extreme[:5] = [[-1e300, -1e300]]
    extreme[5:9, 0] = -1e300
    tensors, _ = train_net(replace(rows, log_probabilities=extreme), gate_rows(seed=1), SHORT, nothing)
    assert all(np.isfinite(values).all() for values in tensors.values())


def test_a_batch_is_one_step_of_adam_on_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """−Σ w log η_y / Σ w + .002·KL(mean g ‖ uniform), clipped to .5; written once more, from the same seed.

    With 2 for .002, so that the second term decides signs.
    """
    assert net_training.BALANCE == 0.002
    monkeypatch.setattr(net_training, "BALANCE", 2.0)
    fit = replace(gate_rows(12), weights=np.linspace(0.2, 1.8, 12))
    found, _ = train_net(fit, fit, NetOptions(epochs=1, lr=0.01, seed=5), nothing)
    inputs, p, w = (
        torch.tensor(values, dtype=torch.float32)
        for values in (fit.inputs, np.exp(fit.log_probabilities), fit.weights)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        net = GatingNet(2)
        order = torch.randperm(12)
        gate = torch.softmax(net(inputs[order]), dim=1)
        eta = (gate * p[order]).sum(dim=1)
        mean = (w[order, None] * gate).sum(dim=0) / w.sum()
        kl = torch.nn.functional.kl_div(torch.full((2,), 0.5).log(), mean, reduction="sum")
        adam = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=2e-4)
        loss = -(w[order] * eta.log()).sum() / w.sum() + 2.0 * kl
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        adam.step()
    for name, values in net.state_dict().items():
        # Adam's first step is lr·sign(gradient) but for gradients near 0, so a few may differ.
        close = np.isclose(found[name], values.numpy(), atol=1e-5)
        assert close.mean() > 0.97, name


@pytest.mark.parametrize(("rows", "size"), [(1, 64), (5, 1)])
def test_batch_norm_needs_two_rows(rows: int, size: int) -> None:
    with pytest.raises(JobError) as caught:
        train_net(gate_rows(rows), gate_rows(), replace(SHORT, batch_size=size), nothing)
    assert caught.value.code == "gating-too-few-rows"
