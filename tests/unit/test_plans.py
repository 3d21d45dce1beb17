"""Plans of combinations and runs: what would be kept or done, and all that is wrong; nothing is queued or written."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.submission.combine_bodies import EvaluationBody, GatingBody, RejectorBody
from app.workflows.bodies import RunBody
from app.workflows.plans import (
    CombinePlan,
    RunPlan,
    plan_new_evaluation,
    plan_new_gating,
    plan_new_rejector,
    plan_new_run,
)
from tests.fakes import Home
from tests.unit.asgi import send
from tests.unit.run_world import STEPS, RunWorld


@pytest.fixture
def world(home: Home, services: Services) -> RunWorld:
    return RunWorld.make(home, services)


def planned(world: RunWorld, **body: Any) -> RunPlan:
    """The plan of a run, which changes neither the queue nor the folders of data and outputs."""
    before = (files(world), jobs(world))
    plan = plan_new_run(RunBody(dataset="digits", **body), world.services.workflows)
    assert (files(world), jobs(world)) == before
    return plan


def files(world: RunWorld) -> list[str]:
    settings = world.services.settings
    folders = (settings.data_dir, settings.outputs_dir, settings.checkpoints_dir)
    return sorted(str(path) for folder in folders for path in folder.rglob("*") if ".sqlite3" not in path.name)


def jobs(world: RunWorld) -> list[str]:
    return [job.id for job in world.services.jobs.jobs(limit=1000)]


def states(plan: RunPlan) -> list[str]:
    return [step.state for step in plan.steps]


def problems(plan: CombinePlan | RunPlan) -> dict[str, str]:
    """Codes by pointer."""
    return {error.details.get("pointer", ""): error.code for error in plan.problems}


def test_a_first_run_keeps_the_set_alone(world: RunWorld) -> None:
    """The set of splits is there; from the recompute step on, everything would be carried out."""
    plan = planned(world)
    assert (plan.problems, states(plan)) == ((), ["kept", *["waiting"] * 5])
    assert plan.steps[0].reason == "the set digits_splits exists"


def test_the_plan_of_a_repeated_run_is_its_steps(world: RunWorld) -> None:
    """The run that follows does just what was planned, with the same reasons and jobs."""
    first = world.run()
    plan = planned(world)
    assert states(plan) == ["kept"] * 6
    assert [step.jobs for step in plan.steps] == [step.jobs for step in first.steps]
    assert tuple(plan.steps) == tuple(world.run().steps)


@pytest.mark.parametrize(
    ("body", "first", "reason"),
    [
        ({"recompute": {"head_threshold": 5}}, "recompute", None),
        ({"gating": {"prior": "train"}}, "gating", None),
        ({"rejectors": [{"score": "msp"}]}, "rejector", None),
        (
            {"rejectors": [{"objective": "worst"}, {"score": "msp"}]},
            "rejector",
            "1 of 2 kept: same gating, same options",
        ),
        ({"evaluation": {"name": "other"}}, "evaluation", None),
    ],
)
def test_the_first_step_that_an_option_redoes_ends_what_is_kept(
    world: RunWorld, body: dict[str, object], first: str, reason: str | None
) -> None:
    """Later steps depend on its result, so they wait; of several rejectors it says how many are kept."""
    world.run()
    plan, kept = planned(world, **body), STEPS.index(first)
    assert states(plan) == ["kept"] * kept + ["waiting"] * (6 - kept)
    assert (plan.steps[kept].reason, plan.steps[kept].jobs) == (reason, ())


def test_until_ends_the_plan(world: RunWorld) -> None:
    """A plan has the steps of its run."""
    assert [step.step for step in planned(world, until="verify").steps] == ["splits", "recompute", "verify"]


def test_planning_creates_no_splits(world: RunWorld) -> None:
    """Where the set is not there, all steps wait, and it is still not there."""
    plan = planned(world, recompute={"splits_dir": "to_be_drawn"}, splits={"seed": 7})
    assert (plan.problems, states(plan)) == ((), ["waiting"] * 6)
    assert not (world.services.settings.data_dir / "to_be_drawn").exists()


def test_a_changed_file_is_no_problem_of_a_plan(world: RunWorld) -> None:
    """The step that made it would be carried out again."""
    world.run()
    for path in (world.services.settings.outputs_dir / "logits_fixed").glob("*/val_logits.npz"):
        path.write_bytes(b"other")
    plan = planned(world)
    assert (plan.problems, states(plan)) == ((), ["kept", *["waiting"] * 5])


def test_every_problem_of_a_run_has_its_place(world: RunWorld) -> None:
    """One answer names what is wrong in all parts; there are no steps then."""
    plan = planned(
        world,
        recompute={"experts": ["none"], "output_dir": "../up"},
        splits={"seed": 7},
    )
    assert problems(plan) == {
        "#/recompute/experts/0": "unknown-expert",
        "#/recompute/output_dir": "invalid-name",
        "#/splits": "splits-differ",
    }
    assert plan.steps == ()
    later = planned(world, gating={"fit": "none"}, evaluation={"test": "none"})
    assert problems(later) == {"#/gating/fit": "split-without-logits"}
    rejectors = planned(world, rejectors=[{"score": "energy"}, {"coverages": [0.5]}])
    assert problems(rejectors) == {"#/rejectors": "rejectors-differ", "#/rejectors/0/score": "energy-of-several"}


def test_combinations_without_input_are_problems_with_a_place(world: RunWorld) -> None:
    """Nothing to combine, nothing to reject by, nothing to evaluate: said at the field that would name it."""
    site = world.services.workflows
    assert problems(plan_new_gating(GatingBody(), site)) == {"#/logits": "no-logits"}
    assert problems(plan_new_rejector(RejectorBody(), site)) == {"#/gating": "no-gating"}
    assert problems(plan_new_evaluation(EvaluationBody(), site)) == {"#/gatings": "no-gating"}


def test_kept_names_the_job_with_the_same_result(world: RunWorld) -> None:
    """Defaults are filled in; with another option there is no such job, and a deadline changes nothing."""
    run = world.run()
    step = {item.step: item.jobs for item in run.steps}
    site, before = world.services.workflows, jobs(world)
    gating, rejector = GatingBody(deadline_s=5.0), RejectorBody(gating=step["gating"][0], objective="worst")
    evaluation = EvaluationBody(gatings=step["gating"], rejectors=step["rejector"])
    plans = [
        plan_new_gating(gating, site),
        plan_new_rejector(rejector, site),
        plan_new_evaluation(evaluation, site),
    ]
    assert [plan.kept for plan in plans] == [step["gating"][0], step["rejector"][1], step["evaluation"][0]]
    assert [plan.request for plan in plans] == [world.get(str(plan.kept)).request for plan in plans]
    others = [
        plan_new_gating(GatingBody(prior="train"), site),
        plan_new_rejector(RejectorBody(score="msp"), site),
        plan_new_evaluation(EvaluationBody(name="other"), site),
    ]
    assert [(plan.kept, plan.problems, plan.request is None) for plan in others] == [(None, (), False)] * 3
    assert jobs(world) == before


def test_a_combination_with_problems_has_no_request(world: RunWorld) -> None:
    """All problems are named, each at its place, and nothing is filled in."""
    world.run(until="gating")
    site = world.services.workflows
    plan = plan_new_gating(GatingBody(validate="none", name="../up", divided_by={"none": 2.0}), site)
    assert set(problems(plan)) == {"#/validate", "#/name", "#/divided_by"}
    assert (plan.request, plan.kept) == (None, None)


def test_the_routes_answer_with_the_views(world: RunWorld, app: FastAPI) -> None:
    """200 whether there are problems or not; `ok` tells, and a malformed body is refused as ever."""
    run = {step.step: step.jobs for step in world.run().steps}
    kept = [
        send(app, "POST", f"/{resource}/plan", {}).json()["kept"]
        for resource in ("gatings", "rejectors", "evaluations")
    ]
    assert kept == [run["gating"][0], run["rejector"][0], run["evaluation"][0]]
    answer = send(app, "POST", "/runs/plan", {"dataset": "digits", "gating": {"fit": "none"}})
    view = answer.json()
    assert (answer.status_code, view["ok"], view["steps"]) == (200, False, [])
    assert view["problems"][0]["pointer"] == "#/gating/fit"
    assert "val" in view["problems"][0]["available"]
    whole = send(app, "POST", "/runs/plan", {"dataset": "digits"}).json()
    assert (whole["ok"], [step["state"] for step in whole["steps"]]) == (True, ["kept"] * 6)
    assert send(app, "POST", "/runs/plan", {"until": "the end"}).status_code == 422
