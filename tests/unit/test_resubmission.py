"""What a job's page offers to copy makes the same job again."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from pydantic import BaseModel

from app.api.dependencies import Services
from app.domain.requests import Request
from app.pages.commands import command_of, curl_of
from app.submission.bodies import RecomputeBody, VerificationBody
from app.submission.combine_bodies import EvaluationBody, GatingBody, RejectorBody
from app.submission.gating import plan_gating
from app.submission.recompute import plan
from app.submission.rejection import plan_evaluation, plan_rejector
from app.submission.resubmission import Submission, submission_of
from app.submission.verification import plan_verification
from app.workflows.bodies import RunBody
from app.workflows.planning import plan_run
from tests.fakes import Home
from tests.unit.command_line import Relogit
from tests.unit.expert_jobs import ExpertJobs
from tests.unit.fake_server import FakeServer
from tests.unit.run_world import RunWorld

BODIES: dict[str, type[BaseModel]] = {
    "/jobs": RecomputeBody,
    "/gatings": GatingBody,
    "/rejectors": RejectorBody,
    "/evaluations": EvaluationBody,
}

RECOMPUTE = {
    "dataset": "digits",
    "experts": ["ce"],
    "splits": ["val", "test"],
    "batch_size": "auto",
    "output_dir": "mine",
    "reuse": False,
    "head_threshold": 3,
    "floors": {"accuracy": 0.25},
}


@pytest.fixture
def world(home: Home, services: Services) -> RunWorld:
    return RunWorld.make(home, services)


def sent_by(relogit: Relogit, command: str) -> tuple[str, dict[str, Any]]:
    """Address and body of the POST that a command sends."""
    server = FakeServer()
    words = shlex.split(command)
    assert words[0] == "relogit"
    relogit(server, *words[1:], "--no-wait")
    request = next(request for request in server.requests if request.method == "POST")
    return request.url.path, json.loads(request.content)


def offered(request: Request) -> Submission:
    """The submission, after a look at its curl line: it carries the same body."""
    submission = submission_of(request)
    assert submission is not None
    words = shlex.split(curl_of(submission, "http://test/"))
    assert words[:2] == ["curl", f"http://test{submission.address}"]
    assert json.loads(words[-1]) == submission.body
    return submission


def test_a_recompute_job_is_asked_for_again(home: Home, services: Services) -> None:
    """The body gives an equal request."""
    request, units = plan(RecomputeBody.model_validate(RECOMPUTE), home.catalog(), services.inspections)
    submission = offered(request)
    again = plan(RecomputeBody.model_validate(submission.body), home.catalog(), services.inspections)
    assert again == (request, units)


def test_jobs_past_the_logits_are_asked_for_again(home: Home, services: Services) -> None:
    """Of equal identity, whatever their options are."""
    site = ExpertJobs.make(home, services.database)
    site.recomputed()
    options = {"method": "linear", "mode": "selective", "coverages": [0.5, 1.0], "seed": 3, "prior": "train"}
    gating = site.fitted(**options, min_group_coverage=0.25)
    rejector = site.done(site.rejector(objective="worst", coverages=[0.5, 1.0], gating=gating.id))
    evaluation = site.evaluation(rejectors=[rejector.id])
    body = GatingBody.model_validate(offered(gating.request).body)
    assert plan_gating(body, home.catalog(), site.store)[0] == gating.request
    assert plan_rejector(RejectorBody.model_validate(offered(rejector.request).body), site.store) == rejector.request
    evaluated = EvaluationBody.model_validate(offered(evaluation.request).body)
    assert plan_evaluation(evaluated, home.catalog(), site.store) == evaluation.request


def test_a_run_is_asked_for_again(world: RunWorld) -> None:
    """With all its parts."""
    parts: dict[str, Any] = {
        "recompute": {"experts": ["ce"]},
        "gating": {"method": "uniform"},
        "rejectors": [{"score": "msp"}],
    }
    run = world.get(world.submit(until="rejector", **parts))
    body = RunBody.model_validate(offered(run.request).body)
    assert plan_run(body, world.services.catalog, world.services.inspections) == run.request


def test_a_verification_of_a_folder_is_asked_for_again(home: Home, services: Services) -> None:
    """An upload is not: its files may be gone."""
    folder = home.settings.outputs_dir / "old" / "ce"
    folder.mkdir(parents=True)
    (folder / "val_logits.npz").write_bytes(b"anything")
    body = VerificationBody.model_validate({"dataset": "digits", "path": "old", "recompute": 5})
    request = plan_verification(body, home.catalog(), services.uploads)
    again = VerificationBody.model_validate(offered(request).body)
    assert plan_verification(again, home.catalog(), services.uploads) == request


def test_a_verification_of_one_file_is_asked_for_again(home: Home, services: Services) -> None:
    """Of it alone, under the expert and split that were given."""
    folder = home.settings.outputs_dir / "old" / "ce"
    folder.mkdir(parents=True)
    for name in ("val", "test"):
        (folder / f"{name}_logits.npz").write_bytes(b"anything")
    asked = {"dataset": "digits", "path": "old/ce/val_logits.npz", "expert": "other", "split": "test"}
    request = plan_verification(VerificationBody.model_validate(asked), home.catalog(), services.uploads)
    again = VerificationBody.model_validate(offered(request).body)
    assert plan_verification(again, home.catalog(), services.uploads) == request


@pytest.mark.parametrize(
    "submission",
    [
        Submission("/jobs", RECOMPUTE),
        Submission("/jobs", {}),
        Submission(
            "/gatings", {"logits": "0001abcd", "method": "linear", "divided_by": {"ce": 1.5}, "prior": "train"}
        ),
        Submission("/gatings", {"logits": "0001abcd", "validate": "val2", "allow_overlap": True, "lr": 0.01}),
        Submission("/rejectors", {"gating": "0001abcd"}),
        Submission("/rejectors", {"gating": "0001abcd", "objective": "worst", "coverages": [0.5, 1.0]}),
        Submission("/rejectors", {"gating": "0001abcd", "score": "msp"}),
        Submission("/evaluations", {"gatings": ["0001abcd"], "rejectors": ["0001abcd"], "test": "val"}),
    ],
    ids=lambda submission: submission.address,
)
def test_the_command_sends_the_body(relogit: Relogit, submission: Submission) -> None:
    """As the server reads it, defaults filled in: those of the command are not always the API's."""
    command = command_of(submission)
    assert command is not None
    address, body = sent_by(relogit, command)
    assert address == submission.address
    model = BODIES[address]
    assert model.model_validate(body) == model.model_validate(submission.body)
