"""Old files of the gating net are read strictly: exactly its tensors, wherever they lie in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.domain.errors import JobError
from worker.combine.gating_net import expected_shapes, gate_scores
from worker.combine.net_training import GatingNet, read_old_net

State = dict[str, torch.Tensor]
STATE: State = {
    name: torch.zeros((), dtype=torch.int64) if not shape else torch.full(shape, 0.25)
    for name, shape in expected_shapes(3).items()
}


def prefixed(prefix: str) -> State:
    return {prefix + name: values for name, values in STATE.items()}


def changed(name: str, values: torch.Tensor) -> State:
    return STATE | {name: values}


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        path = tmp_path / "gating.ckpt"
        torch.save(content, path)
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"gating_state_dict": STATE, "epoch": 3, "best_loss": np.float64(1.5), "optimizer": {"state": {}}},
        {"model_state_dict": prefixed("module."), "T": torch.ones(3)},
        prefixed("gating."),
        {"gating_net": prefixed("_orig_mod.")},
        {"net": {name: v.double() if v.is_floating_point() else v for name, v in STATE.items()}},
        {"net": {name: v.half() if v.is_floating_point() else v for name, v in STATE.items()}},
    ],
    ids=["bare", "wrapped", "module", "prefix", "compiled", "double", "half"],
)
def test_a_net_is_found_wherever_it_lies(content: Any, save: Callable[[Any], Path]) -> None:
    tensors = read_old_net(save(content), 3)
    assert {name: values.shape for name, values in tensors.items()} == expected_shapes(3)
    assert all((values == STATE[name].numpy()).all() for name, values in tensors.items())


def test_the_net_that_is_read_is_the_one_that_was_saved(save: Callable[[Any], Path]) -> None:
    net = GatingNet(3).eval()
    inputs = np.random.default_rng(0).normal(size=(5, 24))
    with torch.no_grad():
        expected = net.double()(torch.from_numpy(inputs)).numpy()
    found = gate_scores(read_old_net(save({"gating": net.float().state_dict()}), 3), inputs)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({k: v for k, v in STATE.items() if k != "net.8.bias"}, "lacks net.8.bias"),
        (STATE | {"temperature": torch.ones(1)}, "has temperature too"),
        (changed("net.0.weight", torch.zeros(128, 31)), r"net.0.weight has the shape \[128, 31\]"),
        (changed("net.8.bias", torch.tensor([0.0, torch.nan, 0.0])), "not finite"),
        (changed("net.1.running_var", torch.full((128,), -1.0)), "variances below 0"),
        (changed("net.1.num_batches_tracked", torch.zeros(())), "of type float32"),
        (changed("net.4.bias", torch.zeros(64, dtype=torch.int64)), "of type int64"),
        ({"first": STATE, "second": STATE}, "2 entries"),
        ({"epoch": 3}, "0 entries"),
        ([1, 2], "0 entries"),
        (prefixed("a.") | {"b.net.0.bias": torch.zeros(128)}, "has b.net.0.bias too"),
    ],
    ids=str,
)
def test_anything_else_is_refused(content: Any, reason: str, save: Callable[[Any], Path]) -> None:
    """With what is wrong and what was expected."""
    with pytest.raises(JobError, match=reason) as caught:
        read_old_net(save(content), 3)
    assert caught.value.code == "gating-net-mismatch"
    assert "net.0.weight [128, 24]" in caught.value.message


def test_a_net_of_another_number_of_experts_is_refused(save: Callable[[Any], Path]) -> None:
    with pytest.raises(JobError, match="of 4 experts") as caught:
        read_old_net(save(STATE), 4)
    assert caught.value.code == "gating-net-mismatch"


class Trap:
    """Would run code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must not run",)


def test_a_file_that_would_run_code_is_refused(save: Callable[[Any], Path], capfd: Any) -> None:
    with pytest.raises(JobError) as caught:
        read_old_net(save({"net": STATE, "trap": Trap()}), 3)
    assert caught.value.code == "gating-net-unreadable"
    assert "must not run" not in capfd.readouterr().out


@pytest.mark.parametrize("data", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_unreadable(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(data)
    for name in ("x.ckpt", "missing.ckpt"):
        with pytest.raises(JobError, match=name) as caught:
            read_old_net(tmp_path / name, 3)
        assert caught.value.code == "gating-net-unreadable"
