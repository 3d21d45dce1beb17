"""A plan says what the job will report, and names all that would make it fail; what is not known is said to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.database import Database
from app.errors import JobError, RelogitError
from app.facts import FactStore
from app.intake import RecomputeOrder
from app.numerics import Arithmetic, row_source
from app.planner import Site, make_plan, npz_bytes, questions_of
from app.plans import Plan
from app.questions import passport_question, pool_question, rate_question
from app.row_store import RowStore
from tests.fakes import DIGITS, Home

ARITHMETIC = Arithmetic(
    device="cpu",
    model="Test",
    capability="none",
    engine="torch",
    engine_version="1",
    revision="1",
    precisions=("fp32", "bf16"),
)
ORDER = RecomputeOrder(
    dataset="digits",
    experts=("ce",),
    checkpoint_prefix="best_",
    splits=("val", "test"),
    experts_dir=None,
    splits_dir=None,
    output_dir="logits_fixed",
    batch_size=64,
    calibration="none",
    precision="fp32",
    reuse=True,
)
NETWORK = {"kind": "CifarResNetSpec", "architecture": "cifar_resnet8"}
ROW = 3 * 4 + 8
"""Bytes of a kept row of 3 classes with its checksum."""


@dataclass(frozen=True)
class World:
    """An installation of which a test says what its workers have found out."""

    home: Home
    facts: FactStore
    rows: RowStore

    def knows_expert(self, name: str, file: str, **passport: Any) -> None:
        card = {"classes": 3, "temperature": None, "parameters": 1000, "tensors_sha256": f"of {name}"}
        question = passport_question(self.home.experts / file, self.home.catalog().dataset("digits"), name)
        self.facts.record(question, {**card, "network": NETWORK, **passport})

    def knows_pool(self, base: str, size: int, error: RelogitError | None = None) -> None:
        catalog = self.home.catalog()
        dataset = catalog.dataset("digits")
        question = pool_question(dataset, base, catalog.bases.identity(dataset, base))
        answer = {"pixels_sha256": f"of {base}", "images": [size, 2, 2, 3], "classes": 3}
        self.facts.record(question, error or answer)

    def knows_rate(self, images_per_s: float, batch: int = 64) -> None:
        question = rate_question(NETWORK, (2, 2, 3), ARITHMETIC.numerics("fp32", batch))
        self.facts.record(question, {"images_per_s": images_per_s, "peak_bytes": 5_000_000})

    def keeps(self, indices: Sequence[int], *, expert: str = "ce", base: str = "test", batch: int = 64) -> Path:
        """Rows of those images of a base, as a job would have left them. Returns their folder."""
        transform = self.home.catalog().dataset("digits").transform(expert).model_dump(mode="json")
        passport = {"tensors_sha256": f"of {expert}", "network": NETWORK, "classes": 3}
        source = row_source(passport, f"of {base}", transform, ARITHMETIC.numerics("fp32", batch))
        kept = self.rows.open(source, {"test": 6, "train": 9}[base], {})
        places = np.asarray(sorted(indices), np.int64)
        kept.write(places, np.ones((places.size, 3), np.float32))
        return kept.folder

    def plan(self, arithmetics: Sequence[Arithmetic] = (ARITHMETIC,), **changes: Any) -> Plan:
        site = Site(self.home.catalog(), self.facts, self.rows, arithmetics)
        return make_plan(replace(ORDER, **changes), site)

    def counts(self, **changes: Any) -> list[tuple[int | None, int | None]]:
        """Reused and computed of each unit."""
        return [(unit.reused, unit.computed) for unit in self.plan(**changes).units]


@pytest.fixture
def world(home: Home, database: Database) -> World:
    """Workers have read the expert `ce` and the base `test`; nothing is kept and nothing timed."""
    made = World(home, FactStore(database), RowStore(home.settings.rows_dir))
    home.settings.outputs_dir.mkdir()
    made.knows_expert("ce", "best_ce.pth")
    made.knows_pool("test", 6)
    return made


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
def test_the_size_of_a_file_is_exact(tmp_path: Path, rows: int, classes: int) -> None:
    """To the byte, as np.savez writes it."""
    whole = np.zeros(rows, np.int64)
    np.savez(tmp_path / "x.npz", logits=np.zeros((rows, classes), np.float32), targets=whole, predictions=whole)
    assert npz_bytes(rows, classes) == (tmp_path / "x.npz").stat().st_size


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


# --- what would make it fail --------------------------------------------------------------------------


def told(plan: Plan) -> dict[str, str]:
    """Where in the request → the problem's code."""
    return {problem.details["pointer"]: problem.code for problem in plan.problems}


def test_a_sound_request_has_no_problems_and_its_defaults_filled_in(world: World) -> None:
    """With the way it would be computed."""
    plan = world.plan(experts=None, batch_size="auto")
    assert (plan.problems, plan.warnings) == ([], [])
    assert plan.request is not None
    assert plan.request.experts == ("bal", "ce")
    assert plan.arithmetic == {
        "engine": "torch", "engine_version": "1", "model": "Test", "capability": "none", "precision": "fp32",
        "batch": 64,
    }  # fmt: skip


def test_what_is_wrong_hides_nothing_of_the_others(world: World) -> None:
    """A broken split, an unknown expert and a bad checkpoint: the rest is planned, and all three are named."""
    world.home.write_split("text", b"no json")
    world.facts.record(
        passport_question(world.home.experts / "best_bal.pt", world.home.catalog().dataset("digits"), "bal"),
        JobError("checkpoint-unreadable", "It is cut short."),
    )
    plan = world.plan(experts=("bal", "ce", "nobody"), splits=("text", "val"))
    assert told(plan) == {
        "#/experts/0": "checkpoint-unreadable", "#/experts/2": "unknown-expert", "#/splits/0": "split-invalid"
    }  # fmt: skip
    assert [(unit.expert, unit.split, unit.computed) for unit in plan.units] == [("ce", "val", 3)]


@pytest.mark.parametrize(
    "changes", [{"dataset": "nope"}, {"splits": ("nope",)}, {"experts": ("nope",)}, {"splits_dir": "nope"}]
)
def test_where_nothing_is_right_nothing_is_planned(world: World, changes: dict[str, Any]) -> None:
    """But the answer is a plan all the same, with its problem."""
    plan = world.plan(**changes)
    assert len(plan.problems) == 1
    assert (plan.units, plan.memory) == ([], None)
    assert plan.totals()["total"] == 0


def test_pixels_that_cannot_be_read_are_a_problem_of_the_splits_that_need_them(world: World) -> None:
    """`POST /jobs` cannot know it; the units over other bases are planned."""
    world.knows_pool("train", 9, error=JobError("data-corrupt", "It holds no images."))
    plan = world.plan(splits=("val", "train"))
    assert told(plan) == {"#/splits/1": "data-corrupt"}
    assert [unit.split for unit in plan.units] == ["val"]


def test_a_precision_that_no_worker_offers_is_a_problem(world: World) -> None:
    """It says what there is; how it would be computed is then unknown, what would be written is not."""
    plan = world.plan(precision="tf32")
    [problem] = plan.problems
    assert (problem.code, problem.details["pointer"]) == ("precision-unavailable", "#/precision")
    assert problem.details["available"] == ["fp32", "bf16"]
    assert plan.arithmetic is None
    assert [unit.reused for unit in plan.units] == [None, None]


def test_too_little_room_on_the_disk_is_a_problem(world: World) -> None:
    """With 10^12 classes three rows take 24 TB in two files, and 12 more in kept rows."""
    world.home.declare(DIGITS.replace('root = "digits"', 'root = "digits"\nclasses = 1000000000000'))
    world.knows_expert("ce", "best_ce.pth", classes=10**12)
    world.knows_pool("test", 6)
    plan = world.plan(splits=("val",))
    assert told(plan) == {"#/output_dir": "disk-too-full"}
    assert "36,000.00 GB" in plan.problems[0].message
    assert [unit.computed for unit in plan.units] == [3]


def test_more_memory_than_there_is_is_a_warning(world: World) -> None:
    """An estimate refuses nothing."""
    world.knows_expert("ce", "best_ce.pth", parameters=10**15)
    plan = world.plan()
    assert [warning["code"] for warning in plan.warnings] == ["memory-short"]
    assert plan.problems == []


# --- what is not known --------------------------------------------------------------------------------


def test_without_a_worker_reuse_cannot_be_known(world: World) -> None:
    """The plan says what to do, and what it knows: rows, and bytes at most."""
    world.keeps([0, 1, 2])
    plan = world.plan(arithmetics=())
    assert [warning["code"] for warning in plan.warnings] == ["no-worker"]
    assert plan.problems == []
    first = plan.units[0]
    assert (first.total, first.reused, first.computed, first.seconds) == (3, None, None, None)
    assert first.bytes == 2 * npz_bytes(3, 3) + 3 * ROW
    assert set(first.reasons) == {"reused", "computed", "seconds"}
    assert plan.totals()["reused"] is None


def test_a_checkpoint_that_nobody_has_read_leaves_the_others_known(world: World) -> None:
    """Its own figures are unknown, with the reason."""
    plan = world.plan(experts=("bal", "ce"))
    assert [unit.computed for unit in plan.units] == [None, None, 3, 3]
    assert "best_bal.pt" in plan.units[0].reasons["computed"]
    assert plan.memory is not None
    assert (plan.memory.weights, plan.memory.needed) == (None, None)


def test_a_base_that_nobody_has_decoded_leaves_the_others_known(world: World) -> None:
    """As with checkpoints."""
    plan = world.plan(splits=("train", "val"))
    assert [unit.computed for unit in plan.units] == [None, 3]
    assert "'train'" in plan.units[0].reasons["computed"]


def test_workers_are_asked_for_checkpoints_and_pixels(world: World) -> None:
    """For each expert that was found, and each base once."""
    world.home.write_split("more", [1])
    site = Site(world.home.catalog(), world.facts, world.rows, (ARITHMETIC,))
    order = replace(ORDER, experts=("ce", "nobody", "bal"), splits=("val", "train", "more"))
    asked = questions_of(site.examine(order), site.catalog)
    assert [question.kind for question in asked] == ["passport", "passport", "pool", "pool"]
    assert [fact.known for fact in world.facts.look_up(asked)] == [True, False, True, False]


def test_workers_that_differ_are_told_of(world: World) -> None:
    """Which of them takes the job nobody knows; the plan is that of one that offers the precision."""
    other = replace(ARITHMETIC, model="Other", precisions=("fp32", "tf32"))
    plan = world.plan(arithmetics=(ARITHMETIC, other), precision="tf32")
    assert [warning["code"] for warning in plan.warnings] == ["workers-differ", "compared-with-fp32"]
    assert plan.arithmetic is not None
    assert plan.arithmetic["model"] == "Other"
