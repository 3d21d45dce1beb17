"""What a file cannot tell: taken as declared or as usual, recorded either way, refused where it does not apply."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.domain.errors import JobError
from tests.unit.engines import lived_in
from worker.experts.architectures import CifarResNetSpec, NetworkSpec, TorchvisionResNetSpec
from worker.experts.assumptions import NAMES, Assumptions, settle
from worker.experts.loading import Passport, load_expert

PROJECTION = CifarResNetSpec((1, 1, 1), (4, 6, 10), 5)
OPTION_A = replace(PROJECTION, shortcut="option_a")
RESNET18 = TorchvisionResNetSpec("resnet18", 5, cifar_stem=True, max_pool=False)
RESNET50 = TorchvisionResNetSpec("resnet50", 5, cifar_stem=False, max_pool=True)
DECLARED: dict[str, Any] = {
    "option_a_padding": "end",
    "max_pool": True,
    "stem_stride": 2,
    "stage_strides": (1, 1, 2),
    "bottleneck_stride": "conv1",
    "batch_norm_eps": 1e-3,
}
FITTING: dict[str, tuple[NetworkSpec, set[str]]] = {
    "projection": (PROJECTION, {"stage_strides", "batch_norm_eps"}),
    "option A": (OPTION_A, {"option_a_padding", "stage_strides", "batch_norm_eps"}),
    "resnet18": (RESNET18, {"max_pool", "stem_stride", "batch_norm_eps"}),  # and strides, but of four stages
    "resnet50": (RESNET50, {"max_pool", "stem_stride", "bottleneck_stride", "batch_norm_eps"}),
}


def test_every_key_has_a_value_here() -> None:
    """The table above declares each thing that a file cannot tell."""
    assert DECLARED.keys() == NAMES.keys()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (PROJECTION, {"stage_strides": (1, 2, 2), "batch_norm_eps": 1e-5}),
        (OPTION_A, {"option_a_padding": "symmetric", "stage_strides": (1, 2, 2), "batch_norm_eps": 1e-5}),
        (RESNET18, {"max_pool": False, "stem_stride": 1, "stage_strides": (1, 2, 2, 2), "batch_norm_eps": 1e-5}),
        (
            RESNET50,
            {"max_pool": True, "stem_stride": 2, "stage_strides": (1, 2, 2, 2), "bottleneck_stride": "conv2",
             "batch_norm_eps": 1e-5},
        ),
    ],
)  # fmt: skip
def test_what_is_not_declared_is_assumed_as_usual(spec: NetworkSpec, expected: dict[str, Any]) -> None:
    """Each kind of network has its own list of what its tensors leave open, with the usual values."""
    _, assumed = settle("e.pth", spec, Assumptions())
    assert {item.override: item.value for item in assumed} == expected
    assert {item.basis for item in assumed} == {"assumed"}


@pytest.mark.parametrize("kind", FITTING)
@pytest.mark.parametrize("key", DECLARED)
def test_a_key_is_taken_refused_or_left_out(kind: str, key: str) -> None:
    """A fitting key is used and called declared; another is an error for one expert, and left out if it is shared."""
    spec, fitting = FITTING[kind]
    declared = Assumptions(**{key: DECLARED[key]})
    shared = replace(declared, shared=(key,))
    if key in fitting:
        for assumptions in (declared, shared):
            settled, assumed = settle("e.pth", spec, assumptions)
            assert getattr(settled, key) == DECLARED[key]
            assert {item.override: item.basis for item in assumed if item.basis == "declared"} == {key: "declared"}
        return
    with pytest.raises(JobError, match=f"datasets.toml sets {key}") as caught:
        settle("e.pth", spec, declared)
    assert caught.value.code == "override-not-applicable"
    assert caught.value.details["override"] == key
    assert settle("e.pth", spec, shared) == settle("e.pth", spec, Assumptions())


def test_strides_fit_by_their_number() -> None:
    """Four strides are for networks of four stages, and the message says so."""
    assert settle("e", RESNET18, Assumptions(stage_strides=(2, 2, 2, 1)))[0].stage_strides == (2, 2, 2, 1)
    with pytest.raises(JobError, match="for networks of 4 stages only"):
        settle("e", PROJECTION, Assumptions(stage_strides=(2, 2, 2, 1)))


def test_declaring_the_usual_changes_nothing_but_its_basis() -> None:
    """The spec, and with it the key of kept rows, is the same whether the usual is assumed or declared."""
    usual: dict[str, Any] = {
        "max_pool": False,
        "stem_stride": 1,
        "stage_strides": (1, 2, 2, 2),
        "batch_norm_eps": 1e-5,
    }
    assert settle("e", RESNET18, Assumptions(**usual))[0] == settle("e", RESNET18, Assumptions())[0]


def test_assumptions_may_come_from_json() -> None:
    """Lists, as JSON has them, give the same value as tuples, and one that can be a key."""
    values: dict[str, Any] = {"stage_strides": (1, 2, 2), "shared": ("stage_strides",), "weights": "ema"}
    there_and_back = Assumptions(**json.loads(json.dumps(values)))
    assert there_and_back == Assumptions(**values)
    assert hash(there_and_back) == hash(Assumptions(**values))


@pytest.mark.parametrize(
    "declared",
    [
        {"batch_norm_eps": 1e-3},
        {"stage_strides": (1, 1, 2)},
        {"option_a_padding": "end"},
        {"batch_norm_eps": 1e-3, "stage_strides": (2, 1, 1), "option_a_padding": "end"},
    ],
)
def test_an_expert_is_loaded_as_it_is_declared(tmp_path: Path, declared: dict[str, Any]) -> None:
    """Other values give the logits of that network and not the usual one's, and another `network` in the passport."""
    network = lived_in(replace(OPTION_A, **declared))
    torch.save(network.state_dict(), tmp_path / "e.pth")
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    usual, expert = load_expert(tmp_path / "e.pth"), load_expert(tmp_path / "e.pth", Assumptions(**declared))
    assert torch.equal(expert.network(images), network(images))
    assert (usual.network(images) - network(images)).abs().max() > 0.01
    assert usual.passport.network != expert.passport.network
    assert usual.passport.tensors_sha256 == expert.passport.tensors_sha256
    passport = expert.passport.to_dict()
    assert json.loads(json.dumps(passport)) == passport
    assert Passport.from_dict(json.loads(json.dumps(passport))) == expert.passport


def test_a_declared_set_of_weights_is_in_the_passport(tmp_path: Path) -> None:
    """The set that was declared is taken, and both the passport's entry and its list of assumptions say so."""
    network = lived_in(PROJECTION)
    other = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": other, "ema": {"module": network.state_dict()}, "best_acc": 71.0}, tmp_path / "e.pth")
    with pytest.raises(JobError, match=r"'state_dict' and 'ema.module'"):
        load_expert(tmp_path / "e.pth")
    expert = load_expert(tmp_path / "e.pth", Assumptions(weights="ema.module"))
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(expert.network(images), network(images))
    assert expert.passport.weights == "ema.module"
    [entry] = [item for item in expert.passport.assumed if item.override == "weights"]
    assert (entry.value, entry.basis) == ("ema.module", "declared")
    passport = json.loads(json.dumps(expert.passport.to_dict()))
    assert passport["stored_accuracy"] == {"name": "best_acc", "value": 0.71}
    assert Passport.from_dict(passport) == expert.passport


def test_strides_that_the_shortcuts_contradict_are_refused(tmp_path: Path) -> None:
    """A projection stands where a stride or a width needs one: declared strides without it do not fit."""
    torch.save(lived_in(PROJECTION).state_dict(), tmp_path / "e.pth")
    with pytest.raises(JobError) as caught:
        load_expert(tmp_path / "e.pth", Assumptions(stage_strides=(2, 2, 2)))
    assert caught.value.code == "tensors-mismatch"
    assert "layer1.0.shortcut.0.weight" in caught.value.details["missing"]
    assert "declared stage_strides [2, 2, 2]" in caught.value.message
