"""One expert's rows for a claim: recalled or computed, with memory that runs out."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from app.domain.errors import JobError, RequestError
from app.domain.requests import Precision
from app.settings import Settings
from app.store.database import Database
from app.store.rates import rate_key
from tests.computing import worker_context
from tests.fake_expert import CLASSES, RAW, PixelEngine, numbered_images, numbered_logits
from worker.compute import logit_source as supply_module
from worker.compute.engines.engine import Engine, Setup
from worker.compute.logit_source import ExpertFile, LogitSource
from worker.context import Context
from worker.datasets.pools import Pool
from worker.experts.architectures import CifarResNetSpec
from worker.experts.loading import Assumptions, load_expert

IMAGES = numbered_images(300)
POOL = Pool("test", IMAGES, np.zeros(300, np.int64), CLASSES, "s" * 64, "p" * 64)


class Engines:
    """Makes `PixelEngine`s, and remembers them.

    Args:
        room: images that fit into the device's memory.
        well: batches that go well before it is so short.
    """

    def __init__(self, room: int = 10**9, well: int = 0) -> None:
        self.room = room
        self.well = well
        self.made: list[PixelEngine] = []

    def __call__(self, network: nn.Module, setup: Setup) -> Engine:
        self.made.append(PixelEngine(setup.batch, self.room, 0 if self.made else self.well))
        return self.made[-1]

    @property
    def computed(self) -> int:
        return sum(engine.batches * engine.batch for engine in self.made)


@pytest.fixture
def expert(tmp_path: Path) -> ExpertFile:
    import torch

    path = tmp_path / "ce.pth"
    torch.save(CifarResNetSpec((1, 1, 1), (4, 4, 4), CLASSES).build().state_dict(), path)
    return ExpertFile(path, Assumptions(), load_expert(path).passport, RAW, {"expert": "ce"})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, outputs_dir=tmp_path / "out", _env_file=None)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.store_path)
    yield database
    database.close()


def supplied(
    expert: ExpertFile, context: Context, *, batch: int = 64, reuse: bool = True, precision: Precision = "fp32"
) -> LogitSource:
    return LogitSource(expert, batch, precision, reuse, context)


def last(supply: LogitSource, indices: np.ndarray) -> tuple[int, int]:
    return list(supply.fill(POOL, indices))[-1]


def test_a_second_claim_computes_nothing(expert: ExpertFile, settings: Settings, database: Database) -> None:
    """Rows that a job computed are there for the next one, in another process as well: no engine is made for them."""
    indices = np.array([5, 200, 5, 17])
    assert last(supplied(expert, worker_context(settings, database, build=Engines())), indices) == (4, 3)
    engines = Engines()
    again = supplied(expert, worker_context(settings, database, build=engines))
    assert list(again.fill(POOL, indices[::-1])) == [(4, 0)]
    np.testing.assert_array_equal(again.take(POOL, indices[::-1]), numbered_logits(indices[::-1]))
    assert engines.made == []


def test_memory_that_runs_out_makes_smaller_batches(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """The batch is halved until it fits; the notes say so, and every row is right."""
    supply = supplied(expert, worker_context(settings, database, build=Engines(room=20)))
    indices = np.arange(100)
    assert last(supply, indices) == (100, 100)
    np.testing.assert_array_equal(supply.take(POOL, indices), numbered_logits(indices))
    assert supply.batch == 16
    assert supply.all_notes(POOL) == (
        "out of memory at 64 images a batch; went on with 32",
        "out of memory at 32 images a batch; went on with 16",
    )


def test_rows_of_batches_with_other_bits_are_not_mixed(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """Below 16 images a batch the bits of a row may be others: such rows have a key of their own."""
    before = supplied(expert, worker_context(settings, database, build=Engines()))
    last(before, np.arange(10))
    engines = Engines(room=4)
    small = supplied(expert, worker_context(settings, database, build=engines))
    assert last(small, np.arange(20)) == (20, 20)
    assert engines.computed == 20
    assert small.source(POOL).key != before.source(POOL).key


@pytest.mark.parametrize(("room", "thrown_away"), [(20, 0), (4, 128)])
def test_memory_that_runs_out_in_the_middle_is_counted_right(
    expert: ExpertFile, settings: Settings, database: Database, room: int, thrown_away: int
) -> None:
    """Rows count once, those of a batch size with other bits not at all: never more computed than there are."""
    engines = Engines(room, well=2)
    supply = supplied(expert, worker_context(settings, database, build=engines))
    indices = np.concatenate([np.arange(200), np.arange(50)])
    seen = list(supply.fill(POOL, indices))
    assert all(0 <= computed <= there for there, computed in seen)
    assert seen[-1] == (250, 200)
    np.testing.assert_array_equal(supply.take(POOL, indices), numbered_logits(indices))
    assert len(engines.made) == 3 + (room < 16) * 2
    assert thrown_away <= engines.computed - 200


def test_engines_give_their_memory_back_before_smaller_ones_are_made(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """Else the next one would find no more room than the last."""
    alive: list[int] = []

    def build(network: nn.Module, setup: Setup) -> Engine:
        alive.append(sum(reference() is not None for reference in made))
        engine = PixelEngine(setup.batch, room=20)
        made.append(weakref.ref(engine))
        return engine

    made: list[weakref.ref[PixelEngine]] = []
    last(supplied(expert, worker_context(settings, database, build=build)), np.arange(100))
    assert alive == [0, 0, 0]


def test_memory_for_not_even_one_image_is_an_error(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """Halving ends at one image, and then says so."""
    supply = supplied(expert, worker_context(settings, database, build=Engines(room=0)))
    with pytest.raises(JobError, match="too small for a single image") as caught:
        last(supply, np.arange(3))
    assert caught.value.code == "out-of-memory"


def test_a_precision_that_is_not_to_be_had_is_refused_at_once(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """Nothing else is computed in its place."""
    with pytest.raises(RequestError, match=r"tf32.*fp32, bf16"):
        supplied(expert, worker_context(settings, database, build=Engines()), precision="tf32")


def test_precisions_do_not_share_rows(expert: ExpertFile, settings: Settings, database: Database) -> None:
    """A row of one precision is never served for another."""
    last(supplied(expert, worker_context(settings, database, build=Engines())), np.arange(10))
    other = supplied(expert, worker_context(settings, database, build=Engines()), precision="bf16")
    assert last(other, np.arange(10)) == (10, 10)


def test_the_batch_size_is_no_part_of_an_exact_rows_key(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """PyTorch on a CPU gives the same bits at 16 and at 64 images a batch: such rows are shared."""
    last(supplied(expert, worker_context(settings, database, build=Engines()), batch=1), np.arange(10))
    other = supplied(expert, worker_context(settings, database, build=Engines()), batch=10000)
    assert last(other, np.arange(10)) == (10, 0)


def test_an_outputs_folder_that_takes_no_rows_costs_only_the_keeping(
    expert: ExpertFile, settings: Settings, database: Database
) -> None:
    """Where rows cannot be kept, the job goes on and says so."""
    settings.rows_dir.write_text("a file where a folder should be")
    supply = supplied(expert, worker_context(settings, database, build=Engines()))
    assert last(supply, np.arange(10)) == (10, 10)
    np.testing.assert_array_equal(supply.take(POOL, np.arange(10)), numbered_logits(np.arange(10)))
    assert "could not be kept" in supply.all_notes(POOL)[0]


def test_a_measured_rate_is_told(
    expert: ExpertFile, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan can say how long a job will take, from what computing really took."""
    monkeypatch.setattr(supply_module, "MEASURED_S", 0.0)
    context = worker_context(settings, database, build=Engines())
    supply = supplied(expert, context)
    last(supply, np.arange(100))
    rate = context.rates.get(rate_key(expert.passport.network, (2, 2, 3), supply.numerics))
    assert rate is not None
    assert rate.images_per_s > 0
    assert rate.peak_bytes > 2**20
