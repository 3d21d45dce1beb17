"""`relogit run`: what it asks for, what it prints, how it exits. UPDATE_SNAPSHOTS=1 rewrites the snapshot."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
from rich.console import Console

from relogit import Client, Missing
from relogit.render.run import run_display, step_state
from tests.unit.command_line import Relogit
from tests.unit.fake_combinations import EVALUATION_ID, evaluation
from tests.unit.fake_server import JOB_ID, FakeServer, job, problem
from tests.unit.snapshots import Transcript

Record = dict[str, Any]
RUN_ID = "0007abcd"
STEPS = ("splits", "recompute", "verify", "gating", "rejector", "evaluation")
ERROR = {"code": "checkpoint-invalid", "message": "It does not fit.", "details": {}}


def step(name: str, state: str = "waiting", reason: str | None = None, **fields: Any) -> Record:
    jobs = [f"{name}-job"] if state != "waiting" and name != "splits" else []
    jobs = [EVALUATION_ID] if jobs and name == "evaluation" else jobs
    return {"step": name, "state": state, "jobs": jobs, "reason": reason, "error": None} | (
        {"done": None, "total": None} | fields
    )


def run(state: str, *steps: Record, **fields: Any) -> Record:
    """A run in that state; steps that are not given wait."""
    view = job(state, id=RUN_ID, kind="run", request={"dataset": "digits_lt", "until": "evaluation"}, verdict=None)
    view.pop("units")
    known = {item["step"]: item for item in steps}
    whole = [known.get(name, step(name)) for name in STEPS]
    links = {"report": f"/jobs/{RUN_ID}/report"} if any(item["jobs"] for item in whole) else {}
    if known.get("evaluation", {}).get("state") in ("succeeded", "kept"):
        links["evaluation"] = f"/evaluations/{EVALUATION_ID}"
    return view | {"steps": whole, "links": links} | fields


def server_of(*states: Record) -> FakeServer:
    """A server with one run that moves on with each look."""
    server, left = FakeServer(), list(states)

    def look() -> httpx.Response:
        return httpx.Response(200, json=left.pop(0) if len(left) > 1 else left[0])

    server.answers["POST /runs"] = httpx.Response(202, json=run("queued"))
    server.answers[f"GET /runs/{RUN_ID}"] = look
    server.answers[f"GET /jobs/{RUN_ID}"] = lambda: httpx.Response(200, json={**left[0], "units": []})
    server.answers[f"POST /jobs/{RUN_ID}/cancel"] = httpx.Response(202, json={})
    server.answers[f"GET /evaluations/{EVALUATION_ID}"] = httpx.Response(200, json=evaluation())
    return server


KEPT = [step(name, "kept", f"same input of {name}") for name in STEPS]
FAILED = [
    KEPT[0],
    step("recompute", "failed", error=ERROR),
    *(step(name, "cancelled") for name in STEPS[2:]),
]


def test_what_it_prints(transcript: Transcript) -> None:
    """A line for each change of a step with its reason, then the table of all methods or the error."""
    first = run("running", KEPT[0], step("recompute", "running", done=10, total=90))
    done = [KEPT[0], *(step(name, "succeeded", "9 files" if name == "recompute" else None) for name in STEPS[1:])]
    transcript.run("From the beginning", server_of(first, run("succeeded", *done)), "run", "--dataset", "digits_lt")
    transcript.run("All is there", server_of(run("succeeded", steps=KEPT[:3])), "run", "--until", "verify")
    error = {**ERROR, "message": "The step 'recompute' failed: It does not fit.", "details": {"step": "recompute"}}
    transcript.run("A step fails", server_of(run("failed", *FAILED, error=error)), "run")
    transcript.run("Status while it runs", server_of(first), "status", RUN_ID)
    transcript.run("Waiting for one", server_of(run("cancelled", KEPT[0])), "wait", RUN_ID)
    transcript.run("Without waiting", server_of(run("queued")), "run", "--no-wait")
    transcript.run("It has no logits of its own", server_of(run("succeeded", *KEPT)), "verify", RUN_ID)
    transcript.run("It has none yet", server_of(run("running", KEPT[0])), "verify", RUN_ID)
    refused = server_of()
    item = {"code": "unknown-expert", "detail": "There is no expert 'x'.", "pointer": "#/recompute/experts/0"}
    refused.answers["POST /runs"] = problem(422, "unknown-expert", "There is no expert 'x'.", [item])
    transcript.run("Refused", refused, "run", "--experts", "x")
    transcript.check("run")


def test_options_go_to_the_parts_that_they_are_for(relogit: Relogit) -> None:
    """Those that are left out are not sent; a threshold is for figures and combination alike."""
    server = server_of(run("succeeded", *KEPT))
    argv = "run --until gating --experts a b --checkpoint-prefix p_ --splits-dir data/s --experts-dir e"
    more = "--output-dir o --method linear --prior train --seed 7 --head-threshold 5 --deadline 2h --dataset d"
    ran = relogit(server, *argv.split(), *more.split(), "--no-wait")
    assert ran.code == 0, ran.err
    assert server.submitted == {
        "dataset": "d",
        "until": "gating",
        "deadline_s": 7200.0,
        "recompute": {
            "experts": ["a", "b"], "checkpoint_prefix": "p_", "splits_dir": "s", "experts_dir": "e",
            "output_dir": "o", "head_threshold": 5,
        },
        "gating": {"method": "linear", "prior": "train", "seed": 7, "head_threshold": 5},
    }  # fmt: skip


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)])
def test_json_and_exit_codes(relogit: Relogit, state: str, code: int) -> None:
    """One document, of the run with its evaluation; anything but success exits with 1."""
    ran = relogit(server_of(run(state, *(KEPT if state == "succeeded" else FAILED))), "run", "--json")
    assert ran.code == code
    document = json.loads(ran.out)
    assert [item["step"] for item in document["steps"]] == list(STEPS)
    assert (document["evaluation"] is not None) == (state == "succeeded")


def test_a_running_step_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, the rows of the current step are counted in place."""
    console = Console(file=io.StringIO(), force_terminal=True, force_interactive=True, width=80)
    with run_display(console) as show:
        show(run("running", KEPT[0], step("recompute", "running", done=1000, total=4000)))
    assert isinstance(console.file, io.StringIO)
    assert "1,000/4,000" in console.file.getvalue()
    assert "same input of splits" in console.file.getvalue()


def test_what_a_server_says_is_printed_as_it_is() -> None:
    """A control character in a name does nothing to the terminal."""
    assert step_state(step("splits", "kept", "the set \x1b[31m exists")).plain == r"kept: the set \x1b[31m exists"


def test_the_handle_leads_to_the_evaluation() -> None:
    """Once it is there; until then, and for a run that ends earlier, `Missing` says so."""
    server = server_of(run("running", KEPT[0]), run("succeeded", *KEPT))
    with Client("http://test", transport=server.transport) as client:
        work = client.run(dataset="digits_lt", gating={"method": "linear", "seed": None}, rejectors=[{"name": None}])
        assert server.submitted == {"dataset": "digits_lt", "gating": {"method": "linear"}, "rejectors": [{}]}
        with pytest.raises(Missing, match="is waiting"):
            work.evaluation()
        assert work.wait().evaluation().id == EVALUATION_ID
        assert work.step("gating")["state"] == "kept"
        work.data = {**work.data, "steps": work.steps[:2]}
        with pytest.raises(Missing, match="until 'recompute'"):
            work.evaluation()
        assert work.cancel().id == RUN_ID
        assert f"POST /jobs/{RUN_ID}/cancel" in server.asked
        assert JOB_ID not in repr(work)
