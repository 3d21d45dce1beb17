"""A plan's figures: rows, seconds, bytes and memory are what the job will report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.store.database import Database
from app.submission.planner import npz_bytes
from tests.fakes import Home
from tests.unit.planning import ROW, World


@pytest.fixture
def world(home: Home, database: Database) -> World:
    return World.make(home, database)


# --- rows ---------------------------------------------------------------------------------------------


def test_a_row_is_computed_once_in_a_job(world: World) -> None:
    """For the first split that holds it; what is repeated, or was in a split before, is reused."""
    world.home.write_split("again", [0, 5, 5, 1])  # val is 0 1 2, test is 5 3 3 4
    assert world.counts(splits=("val", "test", "again")) == [(0, 3), (1, 3), (4, 0)]
    assert world.counts(splits=("again", "test", "val")) == [(1, 3), (2, 2), (2, 1)]


def test_rows_of_two_bases_are_not_shared(world: World) -> None:
    """Image 0 of one base is not image 0 of the other."""
    world.knows_pool("train", 9)
    assert world.counts(splits=("val", "train")) == [(0, 3), (0, 2)]  # train is 8 0 of the base train


def test_kept_rows_are_reused(world: World) -> None:
    """Those that are there and whole; a row that was damaged is computed again."""
    folder = world.keeps([1, 2, 3])
    assert world.counts() == [(2, 1), (2, 2)]
    with (folder / "logits.npy").open("r+b") as stream:
        stream.seek(-4 * 3 * 4 + 2, 2)  # within row 2 of 6
        byte = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte[0] ^ 1]))
    assert world.counts() == [(1, 2), (2, 2)]


def test_a_row_folder_that_is_gone_or_broken_costs_time_only(world: World) -> None:
    """The plan says so, and fails no more than the job would."""
    (world.keeps([0, 1, 2]) / "sums.npy").write_bytes(b"nothing")
    assert world.counts() == [(0, 3), (1, 3)]


def test_rows_of_another_kind_are_not_reused(world: World) -> None:
    """Of another expert, another pool, or other arithmetic: exactly what the key says."""
    world.keeps([0, 1, 2], expert="bal")
    world.keeps([0, 1, 2], base="train")
    world.keeps([0, 1, 2], batch=7)
    assert world.counts() == [(0, 3), (1, 3)]
    assert world.counts(batch_size=16) == world.counts(batch_size="auto") == [(0, 3), (1, 3)]
    world.keeps([0, 1, 2], batch=16)
    assert world.counts(batch_size="auto") == [(3, 0), (1, 3)]  # fp32 on a CPU: any multiple of 16


def test_without_reuse_everything_is_computed_once(world: World) -> None:
    """Kept rows do not count, but within the job a row is still computed once; kept ones are not written again."""
    world.keeps([0, 1, 2, 3, 4, 5])
    world.home.write_split("again", [0, 5, 5, 1])
    assert world.counts(splits=("val", "test", "again"), reuse=False) == [(0, 3), (1, 3), (4, 0)]
    assert world.plan(reuse=False).totals()["bytes"] == world.plan().totals()["bytes"]


def test_equal_weights_under_two_names_are_computed_once(world: World) -> None:
    """By the time of the second expert the first one's rows are kept; unless nothing is to be reused."""
    world.knows_expert("bal", "best_bal.pt", tensors_sha256="of ce")
    assert world.counts(experts=("ce", "bal")) == [(0, 3), (1, 3), (3, 0), (4, 0)]
    assert world.counts(experts=("ce", "bal"), reuse=False) == [(0, 3), (1, 3)] * 2
    world.knows_expert("bal", "best_bal.pt")
    assert world.counts(experts=("ce", "bal")) == [(0, 3), (1, 3)] * 2


# --- seconds, bytes, memory ---------------------------------------------------------------------------


def test_seconds_come_from_the_measured_rate(world: World) -> None:
    """Rows to compute by images a second, and a little for the file."""
    world.knows_rate(0.1)
    world.keeps([3, 4, 5])
    first, second = world.plan().units
    assert first.seconds == pytest.approx(30, abs=0.1)
    assert second.seconds is not None
    assert 0 < second.seconds < 0.1
    assert world.plan().totals()["seconds"] == pytest.approx(30, abs=0.2)


def test_a_rate_that_was_never_measured_is_told(world: World) -> None:
    """Seconds are unknown only where something has to be computed; rows and bytes are known all the same."""
    world.knows_rate(100, batch=7)
    world.keeps([3, 4, 5])
    plan = world.plan()
    first, second = plan.units
    assert (first.seconds, first.reused, first.computed) == (None, 0, 3)
    assert list(first.reasons) == ["seconds"]
    assert "cifar_resnet8 in fp32" in first.reasons["seconds"]
    assert second.seconds is not None
    assert second.reasons == {}
    assert plan.totals() == {
        "total": 7, "reused": 4, "computed": 3, "seconds": None, "bytes": first.bytes + second.bytes
    }  # fmt: skip


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (3, 3), (10_000, 100), (123_456, 10)])
def test_the_size_of_a_file_is_as_estimated(tmp_path: Path, rows: int, classes: int) -> None:
    """To 100 bytes, as np.savez writes it."""
    whole = np.zeros(rows, np.int64)
    np.savez(tmp_path / "x.npz", logits=np.zeros((rows, classes), np.float32), targets=whole, predictions=whole)
    assert abs(npz_bytes(rows, classes) - (tmp_path / "x.npz").stat().st_size) < 100


def test_bytes_are_both_files_and_new_rows(world: World) -> None:
    """The job's own file, the copy that is shown, and what is kept for the first time."""
    world.keeps([0, 3])
    first, second = world.plan().units
    assert first.bytes == 2 * npz_bytes(3, 3) + 2 * ROW
    assert second.bytes == 2 * npz_bytes(4, 3) + 2 * ROW


def test_memory_is_that_of_one_worker(world: World) -> None:
    """Pixels of the bases, one expert's rows and the largest file, all weights; and what was measured before."""
    world.knows_rate(100)
    world.knows_expert("bal", "best_bal.pt", parameters=500)
    memory = world.plan(experts=("ce", "bal")).memory
    assert memory is not None
    assert (memory.pools, memory.logits, memory.weights) == (6 * 12, 6 * 12 + 4 * (12 + 16), 1500 * 4)
    assert memory.needed == 72 + 184 + 6000
    assert memory.measured == 5_000_000
    assert memory.host > 2**28
