"""Experts and engines that stay ready: known by content, made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from app.catalog.datasets import Transform
from app.domain.errors import JobError
from tests.fake_expert import CLASSES, RAW, PixelEngine
from worker.compute import model_cache as residents_module
from worker.compute.engines.engine import Engine, Setup
from worker.compute.model_cache import ModelCache
from worker.experts.architectures import CifarResNetSpec
from worker.experts.loading import Assumptions

USUAL = Assumptions()


def setup(batch: int = 64) -> Setup:
    return Setup(RAW, (2, 2, 3), batch, "fp32", torch.device("cpu"), 2)


def save(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    torch.save(CifarResNetSpec((1, 1, 1), (4, 4, 4), CLASSES).build().state_dict(), path)
    return path


class Counting:
    """Builds `PixelEngine`s, and remembers of which networks."""

    def __init__(self) -> None:
        self.networks: list[nn.Module] = []

    def __call__(self, network: nn.Module, setup: Setup) -> Engine:
        self.networks.append(network)
        return PixelEngine(setup.batch)


def test_an_engine_is_made_once(tmp_path: Path) -> None:
    """The second job finds it ready; another batch is another engine of the same network."""
    build = Counting()
    model_cache = ModelCache(build)
    path = save(tmp_path / "ce.pth", 0)
    passport = model_cache.passport(path, USUAL)
    first = model_cache.engine(path, passport, USUAL, setup())
    assert model_cache.engine(path, model_cache.passport(path, USUAL), USUAL, setup()) is first
    assert model_cache.engine(path, passport, USUAL, setup(16)) is not first
    assert build.networks == [build.networks[0]] * 2


def test_a_file_that_was_written_anew_is_looked_at_anew(tmp_path: Path) -> None:
    """By content, whatever its size and time say."""
    model_cache = ModelCache(Counting())
    path = save(tmp_path / "ce.pth", 0)
    before = model_cache.passport(path, USUAL)
    save(path, 1)
    assert model_cache.passport(path, USUAL).tensors_sha256 != before.tensors_sha256


def test_a_passport_on_record_spares_the_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a known file can be recalled without its network; a record of other bytes is not believed."""
    path = save(tmp_path / "ce.pth", 0)
    passport = ModelCache(Counting()).passport(path, USUAL)
    record = passport.to_dict()

    def refuse(*_: object) -> None:
        raise AssertionError("the network was loaded")

    with monkeypatch.context() as patched:
        patched.setattr(residents_module, "load_expert", refuse)
        assert ModelCache(Counting()).passport(path, USUAL, record) == passport
    assert ModelCache(Counting()).passport(path, USUAL, record | {"sha256": "0" * 64, "classes": 9}) == passport


def test_an_engine_is_never_made_of_other_weights(tmp_path: Path) -> None:
    """A file that is replaced between its passport and its first batch is an error, not another expert's logits."""
    model_cache = ModelCache(Counting())
    path = save(tmp_path / "ce.pth", 0)
    passport = ModelCache(Counting()).passport(path, USUAL)
    save(path, 1)
    with pytest.raises(JobError, match="was changed while the job ran") as caught:
        model_cache.engine(path, passport, USUAL, setup())
    assert caught.value.code == "checkpoint-changed"


def test_a_network_that_is_not_the_passports_never_runs(tmp_path: Path) -> None:
    """Rows are kept under what the passport says: a record that fits the file but not the network is refused."""
    path = save(tmp_path / "ce.pth", 0)
    record = ModelCache(Counting()).passport(path, USUAL).to_dict()
    for wrong in ({"tensors_sha256": "0" * 64}, {"network": record["network"] | {"option_a_padding": "end"}}):
        model_cache = ModelCache(Counting())
        believed = model_cache.passport(path, USUAL, record | wrong)
        with pytest.raises(JobError, match="was changed"):
            model_cache.engine(path, believed, USUAL, setup())


def test_another_setup_or_assumption_is_another_engine(tmp_path: Path) -> None:
    """One file in two data sets, each with its own mean or its own reading of what tensors cannot tell."""
    build = Counting()
    model_cache = ModelCache(build)
    torch.manual_seed(0)
    path = tmp_path / "ce.pth"
    torch.save(CifarResNetSpec((1, 1, 1), (4, 8, 8), CLASSES, shortcut="option_a").build().state_dict(), path)
    usual = setup()
    engines = []
    for assumptions in (USUAL, Assumptions(option_a_padding="end")):
        passport = model_cache.passport(path, assumptions)
        for wanted in (
            usual,
            replace(usual, transform=Transform(mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))),
            replace(usual, image=(4, 4, 3)),
            replace(usual, precision="bf16"),
        ):
            engines.append(model_cache.engine(path, passport, assumptions, wanted))
    assert len({id(engine) for engine in engines}) == 8
    assert len({id(network) for network in build.networks}) == 2


def test_only_the_last_used_stay(tmp_path: Path) -> None:
    """Of many engines the longest unused go."""
    build = Counting()
    model_cache = ModelCache(build)
    path = save(tmp_path / "ce.pth", 0)
    passport = model_cache.passport(path, USUAL)
    for batch in range(1, residents_module.MAX_RESIDENTS + 2):
        model_cache.engine(path, passport, USUAL, setup(batch))
    made = len(build.networks)
    model_cache.engine(path, passport, USUAL, setup(residents_module.MAX_RESIDENTS))
    assert len(build.networks) == made
    model_cache.engine(path, passport, USUAL, setup(1))
    assert len(build.networks) == made + 1


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    """Its absence is the job's error."""
    with pytest.raises(JobError, match=r"ce\.pth") as caught:
        ModelCache(Counting()).passport(tmp_path / "ce.pth", USUAL)
    assert caught.value.code == "checkpoint-missing"
