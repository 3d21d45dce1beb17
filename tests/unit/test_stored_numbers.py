"""An accuracy that a training script saved beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.unit.test_checkpoints import others, read, weights
from worker.experts.checkpoints import read_checkpoint
from worker.experts.stored_numbers import StoredAccuracy

NAMES = ["acc", "best_acc", "best_acc1", "acc1", "best_prec1", "prec1", "accuracy", "best_accuracy", "val_acc",
         "test_acc", "top1"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [70.5, 0.705, torch.tensor(70.5), torch.tensor([0.705]), torch.tensor(0.705, dtype=torch.float64),
     np.float32(70.5), np.float64(0.705), "70.5"],
)  # fmt: skip
def test_a_stored_accuracy_is_read_as_a_fraction(tmp_path: Path, name: str, value: object) -> None:
    """A number or a tensor of one number, as a fraction or in percent, becomes a fraction; it stays listed."""
    found = read(tmp_path, {"state_dict": weights(), name: value})
    assert found.stored_accuracy is not None
    assert found.stored_accuracy.name == name
    assert found.stored_accuracy.value == pytest.approx(0.705)
    assert type(found.stored_accuracy.value) is float
    assert (found.ignored, found.notes) == ((name,), ())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"state_dict": weights(), "metrics": {"acc": 0.5, "loss": 1.2}}, StoredAccuracy("metrics.acc", 0.5)),
        ({"model": {"state_dict": weights(), "acc": 50}}, StoredAccuracy("model.acc", 0.5)),
        ({"acc": 50, **weights()}, StoredAccuracy("acc", 0.5)),
        ({"state_dict": weights(), "a": {"b": {"acc": 0.5}}}, None),
        ({"state_dict": weights(), "optimizer": {"acc": 0.5}}, None),
        ({"state_dict": weights(), "teacher": {"acc": 0.5, "x.weight": torch.ones(1)}}, None),
        ({"state_dict": weights(), "best_loss": 0.5}, None),
        ({"state_dict": weights(), "acc": 0}, StoredAccuracy("acc", 0.0)),
        ({"state_dict": weights(), "acc": 100.0}, StoredAccuracy("acc", 1.0)),
    ],
)
def test_where_an_accuracy_is_looked_for(tmp_path: Path, content: Any, expected: StoredAccuracy | None) -> None:
    """Beside the weights, and one level inside a plain dictionary there; not in optimizers and other networks."""
    assert read(tmp_path, content).stored_accuracy == expected


def test_of_several_the_best_is_taken(tmp_path: Path) -> None:
    """`best_*` is preferred, the one nearest to the top among equals, and a note lists all."""
    content = {
        "acc": 71.0,
        "metrics": {"best_acc": 0.74},
        "best_prec1": 73.0,
        "state_dict": weights(),
        "val_acc": 0.72,
    }
    found = read(tmp_path, content)
    assert found.stored_accuracy == StoredAccuracy("best_prec1", 0.73)
    assert len(found.notes) == 1
    for listed in ("acc 71.00%", "metrics.best_acc 74.00%", "best_prec1 73.00%", "val_acc 72.00%"):
        assert listed in found.notes[0]


@pytest.mark.parametrize(
    "value",
    [-0.1, 100.1, 1e9, float("nan"), float("inf"), torch.tensor(101.0), torch.tensor(float("nan")), torch.ones(3) / 2,
     torch.tensor(0.5j), torch.ones(2).to_sparse(), True, "good", [0.5, 0.6], 10**400, -(10**400), np.arange(3),
     b"0.5x", 1j, (0.5,), torch.tensor(True)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_no_accuracy_is_left_out_with_a_note(tmp_path: Path, value: object) -> None:
    """A value of another type or outside 0 to 100 never fails the file; a note names it, and another one counts."""
    found = read(tmp_path, {"best_acc": value, "state_dict": weights()})
    assert found.stored_accuracy is None
    assert len(found.notes) == 1
    assert "'best_acc' is not an accuracy" in found.notes[0]
    assert len(found.notes[0]) < 200
    found = read(tmp_path, {"best_acc": value, "state_dict": weights(), "acc": 0.4})
    assert found.stored_accuracy == StoredAccuracy("acc", 0.4)


@pytest.mark.parametrize("value", [None, {}, {"train": 0.9}])
def test_an_empty_or_a_nested_entry_is_no_accuracy(tmp_path: Path, value: object) -> None:
    """None and a dictionary under an accuracy's name say nothing, and need no note."""
    found = read(tmp_path, {"best_acc": value, "state_dict": weights()})
    assert (found.stored_accuracy, found.notes) == (None, ())


@pytest.mark.parametrize("value", [1, 1.0, torch.tensor(1.0)])
def test_one_is_ambiguous(tmp_path: Path, value: object) -> None:
    """1 is read as 100 %, and the note says that it might be 1 %."""
    found = read(tmp_path, {"acc": value, "state_dict": weights()})
    assert found.stored_accuracy == StoredAccuracy("acc", 1.0)
    assert "might mean 1 %" in found.notes[0]


def test_the_accuracy_of_the_declared_set_is_read(tmp_path: Path) -> None:
    """With one of two sets declared, an accuracy within the other set's mapping is not taken."""
    content = {"model": {"state_dict": weights(), "acc": 0.6}, "teacher": {"state_dict": others(), "acc": 0.9}}
    torch.save(content, tmp_path / "e.pth")
    taken = [read_checkpoint(tmp_path / "e.pth", f"{name}.state_dict").stored_accuracy for name in content]
    assert taken[1] == StoredAccuracy("teacher.acc", 0.9)
    assert taken[0] == StoredAccuracy("model.acc", 0.6)


def test_the_metadata_of_safetensors_count(tmp_path: Path) -> None:
    """safetensors keeps numbers as text, and an accuracy among them is read."""
    save_file(weights(), tmp_path / "e.safetensors", metadata={"best_acc1": "70.16", "format": "pt"})
    found = read_checkpoint(tmp_path / "e.safetensors").stored_accuracy
    assert found is not None
    assert found.value == pytest.approx(0.7016)
