"""Sets of weights in one file: which there are, which competes with which, and which is taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from app.domain.errors import JobError
from tests.unit.test_checkpoints import others, read, same, weights
from worker.experts.architectures import CifarResNetSpec
from worker.experts.checkpoints import read_checkpoint


def refused(tmp_path: Path, content: object, wanted: str | None = None) -> JobError:
    torch.save(content, tmp_path / "e.pth")
    with pytest.raises(JobError) as caught:
        read_checkpoint(tmp_path / "e.pth", wanted)
    return caught.value


def only_parameters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What an exponential moving average of the parameters keeps: no running figures, no counters."""
    return {name: tensor for name, tensor in state.items() if "running" not in name and "num_batches" not in name}


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        ({"state_dict": weights(), "state_dict_ema": others()}, ["state_dict", "state_dict_ema"]),
        ({"model_ema": others(), "model": weights()}, ["model", "model_ema"]),
        ({"model": weights(), "ema": {"decay": 0.99, "module": others()}}, ["model", "ema.module"]),
        (
            {"state_dict": weights(), "teacher": others(), "swa_state_dict": others()},
            ["state_dict", "teacher", "swa_state_dict"],
        ),
        ({"state_dict": weights(), "history": [{"epoch": 1, "w": others()}]}, ["state_dict", "history.0.w"]),
        ({"ema": others(), "swa": weights()}, ["ema", "swa"]),
        ({**weights(), "ema": others()}, [".", "ema"]),
        ({"model": {"state_dict": weights(), "ema": others()}}, ["model.state_dict", "model.ema"]),
        ({"a": {"b": {"c": {"d": others()}}}, "model": weights()}, ["model", "a.b.c.d"]),
    ],
)
def test_a_second_set_of_weights_is_refused_by_its_path(tmp_path: Path, content: Any, paths: list[str]) -> None:
    """Wherever a second set stands, within four mappings, the file is refused and every set named."""
    error = refused(tmp_path, content)
    assert error.code == "checkpoint-ambiguous"
    assert error.details["names"] == paths
    assert all(f"'{path}'" in error.message for path in paths)
    assert 'weights = "' in error.message


def test_four_mappings_are_the_limit(tmp_path: Path) -> None:
    """Deeper than four mappings nothing is looked for."""
    deep = {"a": {"b": {"c": {"d": {"e": others()}}}}}
    assert same(read(tmp_path, {"model": weights(), **deep}).tensors, weights())


@pytest.mark.parametrize(
    "second",
    [
        lambda state: {f"module.{name}": tensor + 1 for name, tensor in state.items()},
        lambda state: {"n_averaged": torch.tensor(3), **{f"module.{name}": t + 1 for name, t in state.items()}},
        lambda state: {name: tensor + 1 for name, tensor in only_parameters(state).items()},
        lambda state: {name.replace("fc.", "linear."): tensor + 1 for name, tensor in state.items()},
        lambda state: {name: tensor.half() for name, tensor in state.items()},
        lambda state: {name: (t if name != "fc.bias" else t + 1e-6) for name, t in state.items()},
        lambda state: {**state, "temperature": torch.tensor(2.0)},
        lambda state: dict(list(state.items())[: len(state) // 2 + 1]),
    ],
)
def test_another_set_is_known_by_half_of_its_bare_names(tmp_path: Path, second: Any) -> None:
    """Prefixes, missing running figures, other dtypes or one changed bit make it another set of the same network."""
    state = CifarResNetSpec((1, 1, 1), (4, 6, 8), 3).build().state_dict()
    error = refused(tmp_path, {"state_dict": state, "other": second(state)})
    assert error.details["names"] == ["state_dict", "other"]


@pytest.mark.parametrize(("shared", "alike"), [(1, False), (2, True), (3, True)])
def test_half_of_the_names_is_enough(tmp_path: Path, shared: int, alike: bool) -> None:
    """Of four names two make another set, one does not; what it holds besides does not count."""
    names = ["conv1.weight", "bn1.weight", "fc.weight", "fc.bias"]
    content = {
        "state_dict": {name: torch.ones(2) for name in names},
        "other": {name: torch.zeros(2) for name in [*names[:shared], "extra.a", "extra.b", "extra.c"]},
    }
    if alike:
        assert refused(tmp_path, content).code == "checkpoint-ambiguous"
    else:
        assert read(tmp_path, content).weights == "state_dict"


@pytest.mark.parametrize(
    "beside",
    [
        {"optimizer": {"state": others()}},
        {"optim_ema": others()},
        {"Optimizer_state": {"momentum": others()}},
        {"extra": {"optimizer": others()}},
        {"head": {"fc.weight": torch.ones(1)}},
        {"generator": {f"block.{i}.weight": torch.ones(1) for i in range(9)}},
        {"ema": {"shadow": torch.ones(3)}},
        {"optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}},
    ],
)
def test_what_is_no_second_set_does_no_harm(tmp_path: Path, beside: dict[str, Any]) -> None:
    """An optimizer's state, few tensors or those of another kind of network leave the file clear."""
    found = read(tmp_path, {"state_dict": weights(), **beside})
    assert same(found.tensors, weights())
    assert found.weights == "state_dict"
    assert found.notes == ()
    assert next(iter(beside)) in found.ignored


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        ({"state_dict": weights(), "state_dict_ema": weights()}, ["state_dict", "state_dict_ema"]),
        ({"model": weights(), "net": {f"module.{k}": t for k, t in weights().items()}}, ["model", "net"]),
        ({"model": weights(), "best": weights() | {"bn1.num_batches_tracked": torch.tensor(99)}}, ["model", "best"]),
    ],
)
def test_equal_sets_are_one(tmp_path: Path, content: Any, paths: list[str]) -> None:
    """Sets that are bitwise equal are taken, and a note says where they stand."""
    found = read(tmp_path, content)
    assert same(found.tensors, weights())
    assert found.weights == paths[0]
    assert len(found.notes) == 1
    assert all(f"'{path}'" in found.notes[0] for path in paths)


def test_the_same_object_at_two_places_is_one(tmp_path: Path) -> None:
    """A mapping that the file holds once and names twice is taken from its usual place, and can be named by both."""
    state = weights()
    content = {"best": state, "state_dict": state}
    found = read(tmp_path, content)
    assert same(found.tensors, weights())
    assert found.weights == "state_dict"
    assert "'state_dict' and 'best'" in found.notes[0]
    for path in ("best", "state_dict"):
        assert same(read_checkpoint(tmp_path / "e.pth", path).tensors, weights())


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"epoch": 3, "state_dict_ema": weights()}, "state_dict_ema"),
        ({"ema": {"module": weights(), "decay": 0.9}}, "ema.module"),
        ({"lr": torch.tensor(0.1), "teacher": weights()}, "teacher"),
        ({"net": {}, "swa": weights(), "optimizer": others()}, "swa"),
    ],
)
def test_the_only_set_is_taken_wherever_it_stands(tmp_path: Path, content: Any, path: str) -> None:
    """A sole set under an unusual key is taken, and the passport says from where."""
    found = read(tmp_path, content)
    assert same(found.tensors, weights())
    assert found.weights == path
    assert len(found.notes) == 1
    assert f"'{path}'" in found.notes[0]


def test_an_averaged_model_is_read(tmp_path: Path) -> None:
    """What torch's AveragedModel saves is a set: its counter is no weight, and its prefix is taken off."""
    network = CifarResNetSpec((1, 1, 1), (4, 6, 8), 3).build()
    averaged = AveragedModel(network)
    found = read(tmp_path, {"swa_state_dict": averaged.state_dict()})
    assert found.tensors.keys() == network.state_dict().keys()
    assert found.ignored == ("n_averaged, among the weights",)
    parallel = nn.Sequential()
    parallel.add_module("module", averaged)
    assert read(tmp_path, parallel.state_dict()).tensors.keys() == network.state_dict().keys()


@pytest.mark.parametrize(
    ("path", "expected"), [("state_dict", weights()), ("ema.module", others()), ("runs.1", others())]
)
def test_a_declared_set_is_taken(tmp_path: Path, path: str, expected: dict[str, Tensor]) -> None:
    """The set at the declared path is taken however many there are, and the others are listed as ignored."""
    content = {"state_dict": weights(), "ema": {"module": others(), "decay": 0.9}, "runs": [weights(), others()]}
    assert refused(tmp_path, content).code == "checkpoint-ambiguous"
    found = read_checkpoint(tmp_path / "e.pth", path)
    assert same(found.tensors, expected)
    assert found.weights == path
    assert {"state_dict", "ema", "runs"} - {path.split(".")[0]} <= set(found.ignored)


def test_the_top_of_a_file_can_be_declared(tmp_path: Path) -> None:
    """`.` is the file's outermost mapping; with another set declared its tensors are ignored with their number."""
    torch.save({**weights(), "ema": others()}, tmp_path / "e.pth")
    found = read_checkpoint(tmp_path / "e.pth", ".")
    assert same(found.tensors, weights())
    assert (found.weights, found.ignored) == (None, ("ema",))
    found = read_checkpoint(tmp_path / "e.pth", "ema")
    assert same(found.tensors, others())
    assert (found.weights, found.ignored) == ("ema", ("4 tensors of '.'",))


@pytest.mark.parametrize("wanted", ["ema", "model.ema", "epoch", "optimizer.state", "model.fc.weight", "nothing"])
def test_a_declared_path_without_weights_is_refused(tmp_path: Path, wanted: str) -> None:
    """A path that holds no named tensors is an error, with the sets that there are."""
    content = {"model": weights(), "swa": others(), "epoch": 3, "optimizer": {"state": others()}}
    error = refused(tmp_path, content, wanted)
    assert error.code == "weights-not-found"
    assert error.details["sets"] == ["model", "swa"]
    assert f"'{wanted}'" in error.message
    assert "'model' and 'swa'" in error.message


def test_a_declared_path_that_two_sets_have_is_refused(tmp_path: Path) -> None:
    """A key may hold dots itself, and then one path can mean two sets."""
    error = refused(tmp_path, {"a": {"b": weights()}, "a.b": others()}, "a.b")
    assert error.code == "checkpoint-ambiguous"


def test_a_temperature_belongs_to_the_way_to_its_weights(tmp_path: Path) -> None:
    """The temperature beside or within the chosen set counts; that of another set does not."""
    calibrated = {**weights(), "temperature": torch.tensor(1.5)}
    torch.save({"model": calibrated, "ema": {"module": others(), "temperature": 3.0}}, tmp_path / "e.pth")
    assert read_checkpoint(tmp_path / "e.pth", "model").temperature == 1.5
    assert read_checkpoint(tmp_path / "e.pth", "ema.module").temperature == 3.0


def test_weights_of_safetensors_stand_at_the_top(tmp_path: Path) -> None:
    """A safetensors file has one set and no path."""
    save_file(weights(), tmp_path / "e.safetensors")
    assert read_checkpoint(tmp_path / "e.safetensors").weights is None


def test_a_mapping_full_of_itself_is_searched_once(tmp_path: Path) -> None:
    """A dictionary that names itself a thousand times costs no more than its entries."""
    content: dict[str, Any] = {"state_dict": weights()}
    content |= {f"self{i}": content for i in range(1000)}
    assert same(read(tmp_path, content).tensors, weights())


def test_many_sets_are_named_by_the_first_few(tmp_path: Path) -> None:
    """An error that would name hundreds of sets names ten and counts the rest."""
    content = {"model": weights(), **{f"epoch{i}": {k: t + i for k, t in others().items()} for i in range(200)}}
    error = refused(tmp_path, content)
    assert len(error.details["names"]) == 10
    assert "191 more places" in error.message


def test_a_teacher_beside_a_student_is_ambiguous(tmp_path: Path) -> None:
    """Two whole networks of different depth under unusual keys: the deeper one is not taken in silence."""
    small, large = (CifarResNetSpec(blocks, (4, 4, 4), 3).build().state_dict() for blocks in ((1, 1, 1), (3, 3, 3)))
    for names in ({"student": small, "teacher": large}, {"model": small, "optimal_state_dict": large}):
        torch.save(names, tmp_path / "both.pth")
        with pytest.raises(JobError) as caught:
            read_checkpoint(tmp_path / "both.pth")
        assert caught.value.code == "checkpoint-ambiguous"
