"""Files that are no checkpoint, or no safe or clear one: each is refused in its own words."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.domain.errors import JobError
from tests.unit.test_checkpoints import others, refused, weights
from worker.experts.checkpoints import read_checkpoint


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"model": weights(), "net": others()}, ["'model'", "'net'"]),
        ({"fc.weight": torch.ones(1), "model": weights()}, ["'fc.weight'", "'model'"]),
        (weights() | {"linear.bias": torch.zeros(4)}, ["'fc.bias'", "'linear.bias'"]),
        (
            {f"backbone.{name}": t for name, t in weights().items()} | {"fc.bias": torch.zeros(4)},
            ["'backbone.fc.bias'", "'fc.bias'"],
        ),
    ],
)
def test_two_readings_of_one_file_are_an_error(tmp_path: Path, content: object, named: list[str]) -> None:
    """Two sets of weights, or two names that become one, are refused, and both are named."""
    error = refused(tmp_path, content)
    assert error.code == "checkpoint-ambiguous"
    assert all(name in error.message for name in named)


@pytest.mark.parametrize(
    "content",
    [{}, {"state_dict": {}}, {"epoch": 3}, [torch.ones(1)], torch.ones(3), {"temperature": 1.5},
     {"temperature": torch.ones(1)}, {"module.temperature": torch.ones(1)}, {"optimizer": weights()}],
)  # fmt: skip
def test_a_file_without_named_weights_is_refused(tmp_path: Path, content: object) -> None:
    """A file that loads and holds no weights where they belong is refused, with the places that are looked at."""
    error = refused(tmp_path, content)
    assert error.code == "checkpoint-no-weights"
    assert "model_state_dict" in error.message


def test_a_dictionary_that_holds_itself_comes_to_an_end(tmp_path: Path) -> None:
    """Wrappers without end are refused, not followed for ever."""
    content: dict[str, Any] = {"epoch": 1}
    content["model"] = content
    assert refused(tmp_path, content).code == "checkpoint-no-weights"


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("none.pth", "checkpoint-missing", r"none\.pth"),
        ("", "checkpoint-unreadable", "directory"),
        ("empty.pth", "checkpoint-empty", "0 bytes"),
    ],
)
def test_what_is_no_file_with_bytes_is_named(tmp_path: Path, name: str, code: str, reason: str) -> None:
    """Each is an error of its own, with the reason."""
    (tmp_path / "empty.pth").touch()
    with pytest.raises(JobError, match=reason) as caught:
        read_checkpoint(tmp_path / name)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "data",
    [b"version https://git-lfs.github.com/spec/v1\n", b"<!DOCTYPE html>", b"PK\x03\x04", bytes(range(128, 192)),
     b"\x10\0\0\0\0\0\0\0{not json at all", pickle.dumps({"a": 1}, 2), b"\x02\0\0\0\0\0\0\0[]"],
)  # fmt: skip
def test_what_is_no_checkpoint_is_called_so(tmp_path: Path, data: bytes) -> None:
    """Other bytes are refused with their beginning and with the forms that are read."""
    error = refused(tmp_path, data)
    assert error.code == "checkpoint-unreadable"
    assert repr(data[:16]) in error.message
    assert "safetensors" in error.message


def _zip(path: Path) -> None:
    torch.save(weights(), path)


def _legacy(path: Path) -> None:
    torch.save(weights(), path, _use_new_zipfile_serialization=False)


def _safetensors(path: Path) -> None:
    save_file(weights(), path)


@pytest.mark.parametrize("save", [_zip, _legacy, _safetensors])
def test_a_truncated_file_is_refused_wherever_it_was_cut(tmp_path: Path, save: Callable[[Path], None]) -> None:
    """Every form, cut short at many places, is refused and never read in part."""
    save(tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    for end in range(1, len(data), max(1, len(data) // 40)):
        error = refused(tmp_path, data[:end])
        # A cut through a class's name leaves another name, and that one is not allowed.
        assert error.code == "checkpoint-unreadable" or re.search("'(torch|collections)[.]", error.message)
    assert refused(tmp_path, data[:-1]).code == "checkpoint-unreadable"


class _Command:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("proof-that-it-ran",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool) -> None:
    """An unsafe pickle is refused before it runs, names what it calls for, and says what to save instead."""
    monkeypatch.chdir(tmp_path)
    torch.save({"model": weights(), "x": _Command()}, "e.pth", _use_new_zipfile_serialization=zipped)
    error = refused(tmp_path, Path("e.pth").read_bytes())
    assert error.code == "checkpoint-unsafe"
    assert error.details["unsafe_global"] == f"{os.name}.mkdir"
    assert f"{os.name}.mkdir" in error.message
    assert "state_dict" in error.message
    assert not Path("proof-that-it-ran").exists()


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    """A whole module saved by torch.save is unsafe too, and its class is named."""
    assert "Linear" in refused(tmp_path, torch.nn.Linear(2, 2)).message
