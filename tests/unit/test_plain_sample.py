"""A sample of every job's rows is held against a plain forward pass, and an engine that errs is found out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from app.domain.checks import Check
from app.settings import Settings
from app.store.database import Database
from tests.computing import in_torch, worker_context
from tests.unit.engines import CLASSES, TRANSFORM, lived_in, random_images
from worker.compute.engines.engine import Engine, Setup
from worker.compute.logit_source import ExpertFile, LogitSource
from worker.datasets.pools import Pool
from worker.evidence.plain_sample import FEWEST, PlainSample
from worker.experts.architectures import CifarResNetSpec
from worker.experts.loading import Assumptions, load_expert

SPEC = CifarResNetSpec((1, 1, 1), (8, 12, 16), CLASSES)
IMAGES = random_images(300)
POOL = Pool("test", IMAGES, np.zeros(300, np.int64), CLASSES, "s" * 64, "p" * 64)


class Wrong:
    """An engine whose logits are changed on their way out."""

    def __init__(self, engine: Engine, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self._engine, self._change = engine, change

    @property
    def batch(self) -> int:
        return self._engine.batch

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        for logits in self._engine.run(batches):
            yield self._change(logits)


@pytest.fixture
def expert(tmp_path: Path) -> ExpertFile:
    path = tmp_path / "ce.pth"
    torch.save(lived_in(SPEC).state_dict(), path)
    return ExpertFile(path, Assumptions(), load_expert(path).passport, TRANSFORM, {"expert": "ce"})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, outputs_dir=tmp_path / "out", _env_file=None)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.store_path)
    yield database
    database.close()


def checked(
    expert: ExpertFile,
    settings: Settings,
    database: Database,
    indices: NDArray[np.int64],
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda logits: logits,
    *,
    reuse: bool = True,
) -> tuple[Check, int]:
    """The check of one claim in a fresh worker, and how many rows its engine computed."""

    def build(network: nn.Module, setup: Setup) -> Engine:
        return Wrong(in_torch(network, setup), change)

    context = worker_context(settings, database, build=build)
    supply = LogitSource(expert, 64, "fp32", reuse, context)
    [*_, (_, computed)] = supply.fill(POOL, indices)
    return PlainSample(expert, context, reuse).check(supply, POOL, indices, computed, "fp32"), computed


def test_right_rows_pass_and_the_largest_difference_is_told(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """Some rows of the split, and the difference that two float32 implementations have."""
    check, _ = checked(expert, settings, database, np.arange(200))
    assert (check.id, check.level, check.verdict) == ("plain-forward", "error", "passed")
    assert check.measured["rows"] == check.measured["rows_of_split"] == FEWEST
    assert 0 < check.measured["largest_difference"] < 1e-3
    assert check.measured["largest_relative_difference"] < 1e-5
    assert check.expected == {"largest_relative_difference": 1e-4}


@pytest.mark.parametrize(
    "change",
    [
        lambda logits: logits * np.float32(1.001),
        lambda logits: logits[:, ::-1].copy(),
        lambda logits: np.roll(logits, 1, axis=0),
        lambda logits: np.maximum(logits, 0),
    ],
)
def test_an_engine_that_errs_fails_the_job(
    expert: ExpertFile,
    settings: Settings,
    database: Database,
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> None:
    """Scaled, moved or clipped logits differ from the plain ones by more than float32 explains."""
    check, _ = checked(expert, settings, database, np.arange(200), change)
    assert check.fatal
    assert check.evidence
    assert "RELOGIT_ENGINE=torch" in check.message


def test_wrong_rows_fail_again_when_they_are_recalled(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """Rows that an engine got wrong stay wrong under their key, so every later job over them fails as well."""
    checked(expert, settings, database, np.arange(200), lambda logits: logits + 1)
    check, computed = checked(expert, settings, database, np.arange(200))
    assert computed == 0
    assert check.fatal


def test_known_rows_cost_no_forward_pass(expert: ExpertFile, settings: Settings, database: Database) -> None:
    """A job over known rows recalls the sample too: the checkpoint need not even be loaded."""
    checked(expert, settings, database, np.arange(200))
    expert.path.unlink()
    check, computed = checked(expert, settings, database, np.arange(100, 200))
    assert computed == 0
    assert check.verdict == "passed"
    assert check.measured["rows"] == FEWEST
    assert 0 < check.measured["rows_of_split"] < FEWEST


def test_without_reuse_the_sample_is_computed_again(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """What was kept is no evidence for somebody who asks to compute everything anew."""
    checked(expert, settings, database, np.arange(200))
    check, computed = checked(expert, settings, database, np.arange(50), reuse=False)
    assert computed == 50
    assert check.measured["rows"] == check.measured["rows_of_split"] == FEWEST


def test_new_rows_of_a_split_that_is_partly_known_are_sampled(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """An engine may err from now on: plain rows that are known say nothing of the rows that were computed now."""
    checked(expert, settings, database, np.arange(200))
    check, computed = checked(expert, settings, database, np.arange(300), lambda logits: np.full_like(logits, 7.5))
    assert computed == 100
    assert check.fatal
    assert {entry["image"] // 100 for entry in check.evidence} == {2}


def test_a_split_without_any_plain_row_gets_one(expert: ExpertFile, settings: Settings, database: Database) -> None:
    """Known rows too are compared with at least one plain row of their own split."""
    checked(expert, settings, database, np.arange(200))
    unsampled = np.setdiff1d(np.arange(200), np.linspace(0, 199, FEWEST).astype(np.int64))
    check, computed = checked(expert, settings, database, unsampled)
    assert computed == 0
    assert (check.verdict, check.measured["rows_of_split"]) == ("passed", 1)
