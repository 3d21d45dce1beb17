"""Reading checkpoint files: forms, wrappers, names, temperature, kinds of tensors."""

from __future__ import annotations

import argparse
import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.domain.errors import JobError
from worker.experts.checkpoints import CheckpointFile, read_checkpoint


def weights() -> dict[str, Tensor]:
    """A few tensors under bare names; what network they make is not asked here."""
    return {
        "conv1.weight": torch.arange(54.0).reshape(2, 3, 3, 3),
        "bn1.num_batches_tracked": torch.tensor(7),
        "fc.weight": torch.ones(4, 2),
        "fc.bias": torch.zeros(4),
    }


def others() -> dict[str, Tensor]:
    """Weights under the same names, such as averaged ones."""
    return {name: tensor + 1 for name, tensor in weights().items()}


def read(tmp_path: Path, content: object, **how: Any) -> CheckpointFile:
    """What is read of `content` after torch.save."""
    torch.save(content, tmp_path / "e.pth", **how)
    return read_checkpoint(tmp_path / "e.pth")


def refused(tmp_path: Path, content: object) -> JobError:
    """The error for `content`: raw bytes as they are, all else after torch.save."""
    path = tmp_path / "best_bad.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(JobError) as caught:
        read_checkpoint(path)
    assert caught.value.message.startswith("best_bad.pth: ")
    assert caught.value.details["file"] == "best_bad.pth"
    return caught.value


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return list(found) == list(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_bare_state_dict_is_read_as_it_is(tmp_path: Path) -> None:
    """Nothing is renamed, ignored or noted where nothing needs to be; digest and size are the file's."""
    found = read(tmp_path, weights())
    data = (tmp_path / "e.pth").read_bytes()
    assert same(found.tensors, weights())
    assert (found.name, found.sha256, found.bytes) == ("e.pth", hashlib.sha256(data).hexdigest(), len(data))
    assert (found.format, found.dtype, found.temperature) == ("pytorch-zip", "float32", None)
    assert found.renamed == found.ignored == found.notes == ()


def test_the_older_form_is_read(tmp_path: Path) -> None:
    """torch.save's form before the zip is read, and named."""
    found = read(tmp_path, weights(), _use_new_zipfile_serialization=False)
    assert found.format == "pytorch-legacy"
    assert same(found.tensors, weights())


def test_safetensors_are_read_whatever_the_name_ends_in(tmp_path: Path) -> None:
    """The bytes tell the form; metadata are listed, and a temperature among them counts."""
    save_file(weights(), tmp_path / "e.pth", metadata={"format": "pt", "temperature": "1.5"})
    found = read_checkpoint(tmp_path / "e.pth")
    assert found.format == "safetensors"
    assert same(dict(sorted(found.tensors.items())), dict(sorted(weights().items())))
    assert (found.temperature, found.ignored) == (1.5, ("format",))


@pytest.mark.parametrize("wrapper", ["model_state_dict", "state_dict", "model", "net"])
def test_each_wrapper_is_opened(tmp_path: Path, wrapper: str) -> None:
    """Weights are found in each wrapper, and what stands beside them is listed."""
    found = read(tmp_path, {"epoch": 3, wrapper: OrderedDict(weights()), "optimizer": {"state": torch.ones(2)}})
    assert same(found.tensors, weights())
    assert found.ignored == ("epoch", "optimizer")


def test_wrappers_may_be_nested(tmp_path: Path) -> None:
    """A wrapper in a wrapper is opened, and an empty one beside it is only listed."""
    found = read(tmp_path, {"model": {"state_dict": weights(), "arch": "resnet"}, "net": {}})
    assert same(found.tensors, weights())
    assert found.ignored == ("net", "model.arch")


@pytest.mark.parametrize(
    ("prefix", "rules"),
    [
        ("module.", ("module.* -> *",)),
        ("model.", ("model.* -> *",)),
        ("net.", ("net.* -> *",)),
        ("backbone.", ("backbone.* -> *",)),
        ("module.backbone.", ("module.* -> *", "backbone.* -> *")),
        ("model.module.", ("model.* -> *", "module.* -> *")),
    ],
)
def test_a_prefix_of_all_weights_is_taken_off(tmp_path: Path, prefix: str, rules: tuple[str, ...]) -> None:
    """A known prefix that all names share goes, and the rule is recorded."""
    found = read(tmp_path, {prefix + name: tensor for name, tensor in weights().items()})
    assert same(found.tensors, weights())
    assert found.renamed == rules


def test_the_head_and_the_temperature_stand_outside_of_the_backbone(tmp_path: Path) -> None:
    """`backbone.` goes although head and temperature have no prefix, as in the reference experts."""
    content = {"temperature": torch.tensor([1.25])}
    content |= {name if name.startswith("fc") else f"backbone.{name}": t for name, t in weights().items()}
    found = read(tmp_path, content)
    assert same(found.tensors, weights())
    assert found.temperature == 1.25


def test_a_prefix_of_some_weights_stays(tmp_path: Path) -> None:
    """A prefix that only some names have is part of their names."""
    content = {(f"module.{name}" if name == "conv1.weight" else name): t for name, t in weights().items()}
    found = read(tmp_path, content)
    assert set(found.tensors) == set(content)
    assert found.renamed == ()


def test_linear_is_the_head(tmp_path: Path) -> None:
    """A head called `linear` becomes `fc`, also behind a prefix; `linear` deeper down does not."""
    content = {f"module.{name.replace('fc.', 'linear.')}": tensor for name, tensor in weights().items()}
    found = read(tmp_path, content | {"module.se.linear.weight": torch.ones(1)})
    assert {"fc.weight", "fc.bias", "se.linear.weight"} <= set(found.tensors)
    assert found.renamed == ("module.* -> *", "linear.* -> fc.*")


@pytest.mark.parametrize("stored", [torch.tensor(1.5), torch.tensor([1.5]), torch.tensor(1.5).half(), 1.5])
def test_the_temperature_is_kept(tmp_path: Path, stored: object) -> None:
    """A temperature of shape () or (1,), or a number, is kept from the state dict and from beside it."""
    assert read(tmp_path, {"temperature": stored, **weights()}).temperature == 1.5
    assert read(tmp_path, {"temperature": stored, "model": weights()}).temperature == 1.5
    assert "temperature" not in read(tmp_path, {"temperature": stored, **weights()}).tensors


def test_the_temperature_may_bear_the_prefix(tmp_path: Path) -> None:
    """DataParallel puts its prefix before the temperature too."""
    content = {f"module.{name}": tensor for name, tensor in weights().items()}
    assert read(tmp_path, content | {"module.temperature": torch.tensor([2.0])}).temperature == 2.0


def test_the_same_temperature_twice_is_one(tmp_path: Path) -> None:
    """float32 1.3 in the weights and 1.3 beside them agree; 1.4 does not, and both places are named."""
    inside = {"temperature": torch.tensor([1.3]), **weights()}
    assert read(tmp_path, {"model": inside, "temperature": 1.3}).temperature == pytest.approx(1.3)
    error = refused(tmp_path, {"net": inside, "temperature": 1.4})
    assert error.code == "checkpoint-ambiguous"
    assert "among the weights' is 1.3" in error.message
    assert "'temperature' is 1.4" in error.message


@pytest.mark.parametrize(
    "stored",
    [0.0, -1.0, float("nan"), float("inf"), "warm", True, [1.0], torch.tensor([1.0, 2.0]), torch.ones(1, 1),
     torch.tensor(float("nan")), torch.tensor(1j)],
)  # fmt: skip
def test_no_temperature_that_cannot_divide(tmp_path: Path, stored: object) -> None:
    """A stored temperature has to be one finite number above 0."""
    error = refused(tmp_path, {"temperature": stored, "state_dict": weights()})
    assert error.code == "temperature-invalid"
    assert "'temperature'" in error.message


@pytest.mark.parametrize(
    ("dtype", "note"), [(torch.float16, "widened"), (torch.bfloat16, "widened"), (torch.float64, "rounded")]
)
def test_other_floats_become_float32_with_a_note(tmp_path: Path, dtype: torch.dtype, note: str) -> None:
    """Half precision is widened and double rounded; the passport says so."""
    content = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights().items()}
    found = read(tmp_path, content)
    assert same(found.tensors, weights())
    assert found.dtype == str(dtype).removeprefix("torch.")
    assert len(found.notes) == 1
    assert note in found.notes[0]


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(2, dtype=torch.int64), torch.ones(2, dtype=torch.complex64), torch.ones(2).to_sparse(),
     torch.ones(1).expand(10**12), torch.ones(2, dtype=torch.bool)],
)  # fmt: skip
def test_a_weight_is_a_plain_float_tensor(tmp_path: Path, tensor: Tensor) -> None:
    """Integers, complex, sparse and expanded tensors are no weights; the tensor is named."""
    error = refused(tmp_path, weights() | {"fc.bias": tensor})
    assert error.code == "checkpoint-tensor-kind"
    assert "'fc.bias'" in error.message


@pytest.mark.parametrize(
    "value", [torch.tensor(float("nan")), torch.tensor(float("-inf")), torch.tensor(1e300, dtype=torch.float64)]
)
def test_nan_and_infinity_are_named(tmp_path: Path, value: Tensor) -> None:
    """A weight that is not finite as float32 is refused by name."""
    error = refused(tmp_path, weights() | {"fc.bias": value.expand(4).clone()})
    assert error.code == "checkpoint-nonfinite"
    assert "'fc.bias'" in error.message


def test_plain_values_beside_the_weights_do_no_harm(tmp_path: Path) -> None:
    """A NumPy figure, an array and a Namespace, as training scripts save them, are ignored and named."""
    content = {
        "state_dict": weights(),
        "best_acc": np.float64(0.4),
        "curve": np.arange(3, dtype=np.float32),
        "args": argparse.Namespace(lr=0.1),
    }
    found = read(tmp_path, content)
    assert found.tensors.keys() == weights().keys()
    assert set(found.ignored) == {"best_acc", "curve", "args"}
