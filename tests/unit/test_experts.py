"""Experts: from any form of a file to the same logits, with a passport; and everything that does not fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from app.domain.errors import JobError
from worker.compute.engines.folding import fold
from worker.experts.architectures import CifarResNetSpec, Padding, Shortcut
from worker.experts.loading import Assumptions, Passport, load_expert

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
State = dict[str, Tensor]


def network_of(spec: CifarResNetSpec) -> nn.Module:
    """A network with random weights and lived-in batch norms, in eval mode."""
    torch.manual_seed(0)
    network = spec.build()
    network(torch.randn(4, 3, 16, 16))  # in train mode: the running figures move
    return network.eval()


def small(shortcut: Shortcut = "projection", padding: Padding = "symmetric") -> nn.Module:
    return network_of(CifarResNetSpec((1, 1, 1), (4, 6, 10), 5, shortcut=shortcut, option_a_padding=padding))


def save(tmp_path: Path, content: object, name: str = "best_e.pth") -> Path:
    torch.save(content, tmp_path / name)
    return tmp_path / name


def refused(path: Path, assumptions: Assumptions | None = None) -> JobError:
    with pytest.raises(JobError) as caught:
        load_expert(path, assumptions or Assumptions())
    assert path.name in caught.value.message
    json.dumps(caught.value.to_dict())  # it is stored and sent
    return caught.value


def old_names(state: State) -> State:
    """Names as in the CIFAR-10 .th file: DataParallel and a head called linear."""
    return {f"module.{name.replace('fc.', 'linear.')}": tensor for name, tensor in state.items()}


def reference_names(state: State) -> State:
    """Names as in the reference experts: temperature, backbone, and the head outside of it."""
    named = {name if name.startswith("fc.") else f"backbone.{name}": tensor for name, tensor in state.items()}
    return {"temperature": torch.tensor([1.5]), **named}


def downsample(state: State) -> State:
    return {name.replace("shortcut", "downsample"): tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "dress",
    [
        lambda state: state,
        old_names,
        reference_names,
        downsample,
        lambda state: {"epoch": 7, "model_state_dict": old_names(downsample(state))},
        lambda state: {"net": {"state_dict": reference_names(state)}},
        lambda state: dict(reversed(state.items())),
    ],
)
@pytest.mark.parametrize("shortcut", ["projection", "option_a"])
def test_however_it_is_dressed_the_logits_are_bitwise_the_same(
    tmp_path: Path, dress: Callable[[State], object], shortcut: Shortcut
) -> None:
    """Wrappers, prefixes, other names and another order change no bit of the logits."""
    network = small(shortcut)
    expert = load_expert(save(tmp_path, dress(network.state_dict())))
    assert torch.equal(expert.network(IMAGES), network(IMAGES))
    assert (expert.passport.architecture, expert.passport.shortcut) == ("cifar_resnet8", shortcut)


def test_safetensors_and_the_older_form_give_the_same_logits(tmp_path: Path) -> None:
    """The file's form changes no bit of the logits."""
    network = small()
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    torch.save(network.state_dict(), tmp_path / "b.th", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "b.th"):
        assert torch.equal(load_expert(tmp_path / name).network(IMAGES), network(IMAGES))


def test_an_expert_is_ready_for_inference(tmp_path: Path) -> None:
    """The network is in eval mode, float32, on the CPU and without gradients; loading draws no random numbers."""
    path = save(tmp_path, small().half().state_dict())
    before = torch.random.get_rng_state()
    expert = load_expert(path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(module.training for module in expert.network.modules())
    for parameter in expert.network.parameters():
        assert (parameter.dtype, parameter.device.type, parameter.requires_grad) == (torch.float32, "cpu", False)


def test_the_passport_says_what_the_file_is(tmp_path: Path) -> None:
    """Digest, size, architecture, widths, parameters, classes, temperature and changes are all there, as JSON."""
    network = small()
    path = save(tmp_path, {"model": reference_names(downsample(network.state_dict())), "epoch": 3})
    largest = max(float(parameter.abs().max()) for parameter in fold(network).parameters())
    expected = {
        "file": "best_e.pth",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "format": "pytorch-zip",
        "architecture": "cifar_resnet8",
        "widths": [4, 6, 10],
        "shortcut": "projection",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "classes": 5,
        "temperature": 1.5,
        "stored_accuracy": None,
        "weights": "model",
        "dtype": "float32",
        "tensors_sha256": load_expert(save(tmp_path, network.state_dict(), "bare.pth")).passport.tensors_sha256,
        "largest_parameter": pytest.approx(largest, rel=1e-6),
        "network": {
            "kind": "CifarResNetSpec",
            "architecture": "cifar_resnet8",
            "blocks": [1, 1, 1],
            "widths": [4, 6, 10],
            "classes": 5,
            "stem_width": 4,
            "shortcut": "projection",
            "option_a_padding": "symmetric",
            "stage_strides": [1, 2, 2],
            "batch_norm_eps": 1e-5,
        },
        "renamed": ["backbone.* -> *", "downsample.* -> shortcut.*"],
        "assumed": [
            {"what": "strides of the stages", "value": [1, 2, 2], "basis": "assumed", "override": "stage_strides"},
            {"what": "epsilon of the batch norms", "value": 1e-5, "basis": "assumed", "override": "batch_norm_eps"},
        ],
        "ignored": ["epoch"],
        "notes": [],
    }
    passport = load_expert(path).passport.to_dict()
    assert passport == expected
    assert json.loads(json.dumps(passport)) == passport
    assert Passport.from_dict(json.loads(json.dumps(passport))) == load_expert(path).passport


def test_the_tensors_digest_is_of_what_logits_depend_on(tmp_path: Path) -> None:
    """Name, temperature, wrapper, stored dtype and batch counters of a file have no part in it; each weight has."""
    tensors = {name: value.half().float() if value.is_floating_point() else value
               for name, value in small().state_dict().items()}  # fmt: skip

    def digest(content: dict[str, Any], name: str) -> str:
        return load_expert(save(tmp_path, content, name)).passport.tensors_sha256

    plain = digest(tensors, "plain.pth")
    counted = {name: value + 7 if name.endswith("num_batches_tracked") else value for name, value in tensors.items()}
    half = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    calibrated = {"model": {**tensors, "temperature": torch.tensor(3.0)}}
    assert {digest(c, "x.pth") for c in (counted, half, calibrated)} == {plain}
    for name, value in tensors.items():
        if value.is_floating_point():
            changed = value.clone()
            changed.view(-1)[-1] += 1e-3
            assert digest({**tensors, name: changed}, "x.pth") != plain, name


@pytest.mark.parametrize("n", [3, 5, 7, 9, 18])
def test_every_depth_is_recognised(tmp_path: Path, n: int) -> None:
    """Depths 20, 32, 44, 56 and 110 are recognised, whatever the widths, the stem and the class count."""
    spec = CifarResNetSpec((n, n, n), (2, 3, 5), 11, stem_width=4)
    network = spec.build()
    expert = load_expert(save(tmp_path, network.state_dict()))
    assert expert.passport.architecture == f"cifar_resnet{6 * n + 2}"
    assert (expert.passport.widths, expert.passport.classes) == ((2, 3, 5), 11)
    assert torch.equal(expert.network(IMAGES), network.eval()(IMAGES))


def test_absent_batch_counters_are_noted(tmp_path: Path) -> None:
    """num_batches_tracked may be absent, as in old files, and the passport says how many."""
    network = small()
    state = {name: t for name, t in network.state_dict().items() if "num_batches" not in name}
    expert = load_expert(save(tmp_path, state))
    assert expert.passport.notes == ("9 num_batches_tracked entries are absent; inference does not use them.",)
    assert torch.equal(expert.network(IMAGES), network(IMAGES))


def test_a_hash_in_the_name_is_confirmed(tmp_path: Path) -> None:
    """A name that ends in the digest's first eight digits is said to be right; another number is not."""
    path = save(tmp_path, small().state_dict())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    right = path.rename(tmp_path / f"e-{digest[:8]}.pth")
    assert digest[:8] in load_expert(right).passport.notes[0]
    assert load_expert(right.rename(tmp_path / "e-20240131.pth")).passport.notes == ()


@pytest.mark.parametrize("name", list(small().state_dict()))
def test_no_tensor_may_be_missing(tmp_path: Path, name: str) -> None:
    """Whichever single tensor is missing, the file is refused and the tensor named (batch counters aside)."""
    state = small().state_dict()
    del state[name]
    path = save(tmp_path, state)
    if "num_batches" in name:
        load_expert(path)
        return
    error = refused(path)
    assert error.code == "tensors-mismatch"
    assert error.details["missing"] == [name]
    assert f"1 missing: {name}" in error.message


@pytest.mark.parametrize(
    "name", ["layer1.0.extra.weight", "layer1.0.shortcut.0.weight", "classifier.weight", "bn9.num_batches_tracked"]
)
def test_no_tensor_may_be_left_over(tmp_path: Path, name: str) -> None:
    """A tensor that the network has no place for is refused and named."""
    error = refused(save(tmp_path, small().state_dict() | {name: torch.ones(2)}))
    assert error.code == "tensors-mismatch"
    assert error.details["unexpected"] == [name]
    assert f"1 unexpected: {name}" in error.message


@pytest.mark.parametrize("name", ["conv1.weight", "layer2.0.conv1.weight", "layer3.0.bn2.running_var", "fc.bias"])
def test_every_shape_has_to_fit(tmp_path: Path, name: str) -> None:
    """A tensor of another shape is named with what was found and what was expected, and no other is blamed."""
    state = small().state_dict()
    fits = list(state[name].shape)
    state[name] = torch.ones(9, *fits[1:])
    error = refused(save(tmp_path, state))
    assert error.code == "tensors-mismatch"
    assert error.details["shapes"] == [{"name": name, "found": [9, *fits[1:]], "expected": fits}]
    assert f"{name} is {[9, *fits[1:]]} where {fits} was expected" in error.message


def test_long_lists_are_cut_with_their_totals(tmp_path: Path) -> None:
    """At most 20 names of a kind are listed, with the total beside them, and the message names the first few."""
    state = {name: t for name, t in small().state_dict().items() if ".bn" not in name}
    error = refused(save(tmp_path, state | {f"more.{i}.weight": torch.ones(1) for i in range(40)}))
    assert (len(error.details["unexpected"]), error.details["unexpected_total"]) == (20, 40)
    assert (len(error.details["missing"]), error.details["missing_total"]) == (20, 24)
    assert "more.2.weight and so on" in error.message


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        ({"features.0.weight": torch.ones(2, 3, 3, 3)}, "features.0.weight"),
        (CifarResNetSpec((1, 2, 1), (2, 2, 2), 2).build().state_dict(), "layer2 2"),
        ({f"layer{s}.{b}.conv1.weight": torch.ones(2, 2) for s in (1, 2, 3) for b in (0, 2)}, "layer1 [0, 2]"),
        ({f"layer{s}.0.conv3.weight": torch.ones(2, 2) for s in (1, 2, 3)}, "bottleneck"),
        ({f"layer{s}.0.conv1.weight": torch.ones(2, 2) for s in (1, 2, 3, 4, 5)}, "layer5 1"),
        ({f"layer{s}.0.bn1.bias": torch.tensor(1.0) for s in (1, 2, 3)}, "without a convolution that shows a width"),
    ],
)
def test_an_unknown_architecture_says_what_was_seen(tmp_path: Path, state: State, seen: str) -> None:
    """Weights of another network are refused with what was seen in them and with what is known."""
    error = refused(save(tmp_path, state))
    assert error.code == "architecture-unknown"
    assert seen in error.message
    assert "resnet18" in error.message
    assert next(iter(state)) in error.details["first_tensors"]


def test_narrowing_needs_projections(tmp_path: Path) -> None:
    """A network that loses channels and has no shortcut tensors cannot be option A."""
    state = CifarResNetSpec((1, 1, 1), (8, 6, 4), 3).build().state_dict()
    error = refused(save(tmp_path, {name: t for name, t in state.items() if "shortcut" not in name}))
    assert error.code == "architecture-unknown"
    assert "8, 6, 4 channels" in error.message


def test_two_names_for_one_shortcut_are_ambiguous(tmp_path: Path) -> None:
    """A file with both `shortcut` and `downsample` of one block is refused."""
    state = small().state_dict()
    state["layer2.0.downsample.0.weight"] = state["layer2.0.shortcut.0.weight"]
    assert refused(save(tmp_path, state)).code == "checkpoint-ambiguous"


def test_a_head_is_required(tmp_path: Path) -> None:
    """A backbone without any head is refused for its missing head."""
    state = {name: t for name, t in small().state_dict().items() if not name.startswith("fc.")}
    assert refused(save(tmp_path, state)).details["missing"] == ["fc.weight", "fc.bias"]
