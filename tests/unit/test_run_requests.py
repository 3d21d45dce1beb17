"""`POST /runs`: what can be known is refused at once, at its place; what cannot is left to the steps."""

from __future__ import annotations

import shutil
import sqlite3
import time
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.domain.jobs import JobState
from app.workflows.runner import Runner, Workflow
from tests.fakes import Home
from tests.unit.asgi import send
from tests.unit.run_world import RunWorld


@pytest.fixture
def world(home: Home, services: Services) -> RunWorld:
    return RunWorld.make(home, services)


def refusal(app: FastAPI, **body: Any) -> list[tuple[str, str]]:
    """Code and pointer of each problem of a refused run."""
    answer = send(app, "POST", "/runs", {"dataset": "digits", **body})
    assert answer.status_code in (400, 404, 409, 422), answer.text
    return [(item["code"], item["pointer"]) for item in answer.json()["errors"]]


def test_a_run_is_shown_as_a_run_and_as_a_job(app: FastAPI, world: RunWorld) -> None:
    """202 with its address; a running step counts the rows of its jobs."""
    answer = send(app, "POST", "/runs", {"dataset": "digits"})
    run = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/runs/{run['id']}")
    assert [step["state"] for step in run["steps"]] == ["waiting"] * 6
    world.workflow.advance_all()
    step = send(app, "GET", f"/runs/{run['id']}").json()["steps"][1]
    assert (step["state"], step["done"], step["total"]) == ("running", 0, 2 * (2 + 4 + 1))
    assert send(app, "GET", f"/jobs/{run['id']}").json()["kind"] == "run"
    assert [item["id"] for item in send(app, "GET", "/runs").json()["runs"]] == [run["id"]]
    child = step["jobs"][0]
    assert send(app, "GET", f"/runs/{child}").json()["code"] == "run-not-found"
    assert send(app, "GET", f"/jobs/{run['id']}/report").json()["code"] == "nothing-to-report"


def test_links_of_a_run_lead_to_its_results(app: FastAPI, world: RunWorld) -> None:
    """To the evaluation, and to the report of the last step that is done."""
    run = world.run()
    view = send(app, "GET", f"/runs/{run.id}").json()
    evaluation = run.steps[-1].jobs[0]
    assert view["links"]["evaluation"] == f"/evaluations/{evaluation}"
    redirect = send(app, "GET", view["links"]["report"])
    assert (redirect.status_code, redirect.headers["Location"]) == (307, f"/jobs/{evaluation}/report")


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({"dataset": "none"}, [("unknown-dataset", "#/dataset")]),
        ({"recompute": {"experts": ["none"]}}, [("unknown-expert", "#/recompute/experts/0")]),
        ({"recompute": {"splits": ["val", "none"]}}, [("unknown-split", "#/recompute/splits/1")]),
        ({"recompute": {"splits_dir": "../up"}}, [("invalid-name", "#/recompute/splits_dir")]),
        ({"gating": {"fit": "none"}}, [("split-without-logits", "#/gating/fit")]),
        ({"gating": {"fit": "val"}}, [("overlap", "#/gating/validate")]),
        ({"gating": {"experts": ["none"]}}, [("expert-without-logits", "#/gating/experts")]),
        ({"rejectors": [{}, {"score": "energy"}]}, [("energy-of-several", "#/rejectors/1/score")]),
        ({"rejectors": [{}, {}]}, [("repeated-name", "#/rejectors/1")]),
        (
            {"rejectors": [{"score": "msp"}, {"score": "margin", "coverages": [0.5]}]},
            [("rejectors-differ", "#/rejectors")],
        ),
        ({"evaluation": {"test": "val"}}, [("overlap", "#/evaluation/test")]),
        ({"evaluation": {"test": "none"}}, [("split-without-logits", "#/evaluation/test")]),
        ({"evaluation": {"output_dir": "../up"}}, [("invalid-name", "#/evaluation/output_dir")]),
        ({"splits": {"seed": 1}}, [("splits-differ", "#/splits")]),
    ],
)
def test_a_wrong_part_is_refused_at_its_place(
    app: FastAPI, world: RunWorld, body: dict[str, Any], problems: list[tuple[str, str]]
) -> None:
    """Before anything is computed; nothing is queued."""
    assert refusal(app, **body) == problems
    assert world.services.workflows.runs.open_runs() == []


@pytest.mark.parametrize(
    "body",
    [
        {"recompute": {"dataset": "digits"}},
        {"gating": {"logits": "ab"}},
        {"rejectors": [{"gating": "ab"}]},
        {"evaluation": {"rejectors": []}},
        {"evaluation": {"deadline_s": 5}},
        {"rejectors": []},
        {"until": "nothing"},
        {"splits": {"name": "x"}},
    ],
)
def test_what_the_run_fills_in_is_not_given(app: FastAPI, world: RunWorld, body: dict[str, Any]) -> None:
    """Two values of one thing could contradict each other."""
    assert send(app, "POST", "/runs", {"dataset": "digits", **body}).status_code == 422


def test_later_parts_than_the_last_step_are_not_checked(app: FastAPI, world: RunWorld) -> None:
    """Who only recomputes needs no rows to fit on."""
    body = {"dataset": "digits", "until": "verify", "gating": {"fit": "none"}, "recompute": {"splits": ["val"]}}
    assert send(app, "POST", "/runs", body).status_code == 202


def test_lists_that_have_yet_to_be_drawn_are_not_missed(app: FastAPI, world: RunWorld) -> None:
    """Without the set, checkpoints are checked all the same, and lists by what will be drawn."""
    shutil.rmtree(world.home.data / "digits_splits")
    assert send(app, "POST", "/runs", {"dataset": "digits"}).status_code == 202
    body = {"recompute": {"experts": ["none"], "splits": ["val", "expert"]}}
    assert refusal(app, **body) == [
        ("unknown-expert", "#/recompute/experts/0"),
        ("unknown-split", "#/recompute/splits/1"),
    ]
    whole = body | {"recompute": {"splits": ["val", "test", "tunev", "expert"]}, "splits": {"expert_share": 0.5}}
    assert send(app, "POST", "/runs", {"dataset": "digits", **whole}).status_code == 202


def test_the_runner_goes_on_after_the_store_was_busy(world: RunWorld) -> None:
    """A store that cannot be used for a moment delays runs, and fails none."""

    class Busy(Workflow):
        looks = 0

        def advance_all(self) -> None:
            self.looks += 1
            if self.looks == 1:
                raise sqlite3.OperationalError("database is locked")
            super().advance_all()

    site = world.services.workflows
    run = world.submit(until="splits")
    with Runner(Busy(site), site, poll_s=0.01, after_error_s=0.01):
        deadline = time.monotonic() + 10
        while not world.get(run).state.ended and time.monotonic() < deadline:
            time.sleep(0.01)
    assert world.get(run).state is JobState.SUCCEEDED


def test_an_error_of_its_own_fails_the_step(world: RunWorld, caplog: pytest.LogCaptureFixture) -> None:
    """A bug is logged and ends the run with its words, rather than the thread."""

    class Broken:
        """A record of inspections that cannot be read."""

        def __getattr__(self, name: str) -> Any:
            raise ZeroDivisionError("a bug")

    run = world.submit()
    Workflow(replace(world.services.workflows, inspections=Broken())).advance_all()  # type: ignore[arg-type]
    error = world.get(run).error
    assert error is not None
    assert error["code"] == "internal-error"
    assert "ZeroDivisionError: a bug" in error["message"]
    assert "unexpected error in the step recompute" in caplog.text
