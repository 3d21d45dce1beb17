"""A plan names all that would make the job fail; what is not known is said to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.domain.errors import JobError
from app.store.database import Database
from app.store.inspection_requests.experts import PassportRequest
from app.submission.planner import Site, inspections_of, npz_bytes
from app.submission.plans import Plan
from tests.fakes import ARITHMETIC, DIGITS, Home, changed
from tests.unit.planning import PLANNED, ROW, World


@pytest.fixture
def world(home: Home, database: Database) -> World:
    return World.make(home, database)


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
    world.inspections.record(
        PassportRequest.of(world.home.experts / "best_bal.pt", world.home.catalog().dataset("digits")),
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
    plan = world.plan(compute_environments=())
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
    """For each expert that was found twice, its mean and std too, and each base once."""
    world.home.write_split("more", [1])
    site = Site(world.home.catalog(), world.inspections, world.rates, world.rows, (ARITHMETIC,))
    body = changed(PLANNED, experts=("ce", "nobody", "bal"), splits=("val", "train", "more"))
    asked = inspections_of(site.examine(body), site.catalog)
    assert [question.kind for question in asked] == [
        "passport", "passport", "normalisation", "normalisation", "pool", "pool"
    ]  # fmt: skip
    assert [fact.known for fact in world.inspections.look_up(asked)] == [True, False, False, False, True, False]


def test_workers_that_differ_are_told_of(world: World) -> None:
    """Which of them takes the job nobody knows; the plan is that of one that offers the precision."""
    other = replace(ARITHMETIC, model="Other", precisions=("fp32", "tf32"))
    plan = world.plan(compute_environments=(ARITHMETIC, other), precision="tf32")
    assert [warning["code"] for warning in plan.warnings] == ["workers-differ", "compared-with-fp32"]
    assert plan.arithmetic is not None
    assert plan.arithmetic["model"] == "Other"
