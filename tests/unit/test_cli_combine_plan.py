"""`--plan` of `gating`, `argse` and `evaluate`, and the data set whose newest gating they take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from relogit.render.combine_plan import combine_plan_lines
from tests.unit.command_line import Relogit
from tests.unit.fake_combinations import (
    EVALUATION_ID,
    GATING_ID,
    REJECTOR_ID,
    combining,
    evaluation,
    gating,
    planned,
    refused,
    rejector,
)
from tests.unit.fake_server import FakeServer
from tests.unit.snapshots import Transcript
from tests.unit.test_cli_window import printed, window

KINDS = {"gating": "gating", "argse": "rejector", "evaluate": "evaluation"}
"""Commands and what they queue."""
OTHER_ID = "0009abcd"


def planning(kind: str, plan: dict[str, Any]) -> FakeServer:
    """A server that answers requests of that kind with that plan."""
    server = combining(gating(), rejector(), evaluation())
    server.answers[f"POST /{kind}s/plan"] = httpx.Response(200, json=plan)
    return server


def with_gatings(*gatings: tuple[str, str]) -> FakeServer:
    """A server with gatings, the newest first, each an id and its data set."""
    server, listed = combining(rejector(), evaluation()), []
    for job_id, dataset in gatings:
        view = gating() | {"id": job_id}
        view["request"] = view["request"] | {"dataset": dataset, "name": f"of_{dataset}"}
        listed.append(view)
        server.answers[f"GET /jobs/{job_id}"] = httpx.Response(200, json=view)
    server.answers["GET /jobs"] = httpx.Response(200, json={"jobs": listed})
    return server


def test_what_plans_print(transcript: Transcript) -> None:
    """The request with all defaults, ids with their names, the files, and whether a job has this result already."""
    transcript.run("A gating", planning("gating", planned("gating")), "gating", "--plan")
    named = planned(
        "gating", GATING_ID, method="net", net_file="old/gate.ckpt", mode="selective", groups="many-medium-few",
        divided_by={"ce_baseline": 1.5}, min_group_coverage=0.5,
    )  # fmt: skip
    transcript.run("A gating that is there", planning("gating", named), "gating", "--plan", "--mode", "selective")
    transcript.run("A rejector", planning("rejector", planned("rejector")), "argse", "--plan")
    plain = planned("rejector", REJECTOR_ID, score="msp", objective="balanced", name="msp", coverages=[0.5])
    transcript.run("Another score, there", planning("rejector", plain), "argse", "--plan", "--score", "msp")
    transcript.run("An evaluation", planning("evaluation", planned("evaluation")), "evaluate", "--plan")
    alone = planned("evaluation", EVALUATION_ID, rejectors=[])
    transcript.run("Without rejectors, there", planning("evaluation", alone), "evaluate", "--plan")
    nothing = refused(("no-gating", "No gating has succeeded yet."), request=None, kept=None)
    transcript.run("No gating", planning("rejector", nothing), "argse", "--plan")
    several = refused(("overlap", "They share rows."), ("invalid-name", "Bad name."), request=None, kept=None)
    several["problems"][1]["available"] = ["good"]
    transcript.run("Two problems", planning("evaluation", several), "evaluate", "--plan")
    transcript.check("combine_plan")


@pytest.mark.parametrize("command", KINDS)
def test_a_plan_is_the_servers_document_and_queues_nothing(relogit: Relogit, command: str) -> None:
    """With --json it is printed as it is; the exit code is 2 where there are problems, else 0."""
    kind = KINDS[command]
    for plan, code in ((planned(kind), 0), (refused(("x", "X."), request=None, kept=None), 2)):
        server = planning(kind, plan)
        ran = relogit(server, command, "--plan", "--json")
        assert (ran.code, json.loads(ran.out), ran.err) == (code, plan, "")
        assert [asked for asked in server.asked if asked.startswith("POST")] == [f"POST /{kind}s/plan"]
    assert relogit(server, command, "--plan").out == ""


def test_a_plan_sends_the_options_of_the_command(relogit: Relogit) -> None:
    """Those that are left out are the server's, and ids may be abbreviated."""
    server = planning("rejector", planned("rejector"))
    server.answers["GET /jobs"] = httpx.Response(200, json={"jobs": [gating()]})
    relogit(server, "argse", "--plan", "--gating", "0004", "--coverages", "0.5", "1")
    assert server.submitted == {"gating": GATING_ID, "score": "group", "objective": "worst", "coverages": [0.5, 1.0]}
    relogit(server := planning("gating", planned("gating")), "gating", "--plan", "--method", "linear", "--seed", "7")
    assert server.submitted == {"mode": "pretrain", "method": "linear", "seed": 7}


def test_a_plan_verifies_no_folder(relogit: Relogit, tmp_path: Path) -> None:
    """A folder of logits must be verified first, which queues a job."""
    server = planning("gating", planned("gating"))
    ran = relogit(server, "gating", "--plan", "--logits", str(tmp_path))
    assert (ran.code, server.asked) == (2, [])
    assert "relogit verify" in ran.err


@pytest.mark.parametrize("kind", KINDS.values())
def test_plans_fit_80_columns(kind: str) -> None:
    """In a narrow window long lists are folded beside their heading, and no line is longer."""
    request = {"experts": [f"expert_with_a_long_name_{i}" for i in range(9)]} if kind == "gating" else {}
    names = {GATING_ID: "pretrained", REJECTOR_ID: "group-worst"}
    plan = planned(kind, "0123456789abcdef0123456789abcdef", **request)
    lines = printed(window(80), *combine_plan_lines(kind, plan, names))
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("data set")


@pytest.mark.parametrize("command", ["argse", "evaluate"])
def test_a_data_set_has_a_newest_gating_of_its_own(relogit: Relogit, command: str) -> None:
    """--dataset takes the newest gating of that data set that succeeded, and the command names it."""
    server = with_gatings((OTHER_ID, "other"), (GATING_ID, "digits_lt"))
    ran = relogit(server, command, "--dataset", "digits_lt")
    field = {"argse": server.submitted.get("gating"), "evaluate": server.submitted.get("gatings")}[command]
    assert (ran.code, field) == (0, GATING_ID if command == "argse" else [GATING_ID])
    assert f"Over the newest gating: 'of_digits_lt' of the data set 'digits_lt', job {GATING_ID}." in ran.out
    listed = next(request for request in server.requests if request.url.path == "/jobs")
    assert dict(listed.url.params) == {"kind": "gating", "state": "succeeded", "limit": "1000"}
    before = len(server.asked)
    none = relogit(server, command, "--dataset", "none")
    assert (none.code, "relogit gating --dataset none" in none.err) == (2, True)
    assert not [asked for asked in server.asked[before:] if asked.startswith("POST")]


@pytest.mark.parametrize(("command", "option"), [("argse", "--gating"), ("evaluate", "--gatings")])
def test_the_default_gating_is_named_and_a_given_one_is_not(relogit: Relogit, command: str, option: str) -> None:
    """Without a data set the server chooses among all; nobody measures another one's gating unnoticed."""
    server = with_gatings((GATING_ID, "digits_lt"))
    ran = relogit(server, command, "--no-wait")
    assert ("Over the newest gating: 'of_digits_lt'" in ran.out, ran.code) == (True, 0)
    assert not {"gating", "gatings"} & set(server.submitted)
    assert "newest" not in relogit(server, command, option, GATING_ID).out
    document = relogit(server, command, "--json").out
    assert json.loads(document)["kind"] == KINDS[command]


def test_an_id_of_another_data_set_is_wrong_usage(relogit: Relogit) -> None:
    """--dataset holds for ids as well."""
    server = with_gatings((OTHER_ID, "other"))
    for argv in (["argse", "--gating", OTHER_ID], ["evaluate", "--gatings", OTHER_ID]):
        ran = relogit(server, *argv, "--dataset", "digits_lt")
        assert (ran.code, "of the data set 'other'" in " ".join(ran.err.split())) == (2, True)
    assert not [asked for asked in server.asked if asked.startswith("POST")]
