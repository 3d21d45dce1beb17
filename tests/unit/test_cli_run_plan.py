"""`relogit run --plan`: what a run would keep and compute. UPDATE_SNAPSHOTS=1 rewrites the snapshot."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from relogit import Client
from relogit.render.run import run_plan_lines
from tests.unit.command_line import Relogit
from tests.unit.fake_answers import plan, planned
from tests.unit.fake_combinations import refused
from tests.unit.fake_server import FakeServer, answering, job, npz
from tests.unit.snapshots import Transcript
from tests.unit.test_cli_run import KEPT, RUN_ID, STEPS, run, server_of, step
from tests.unit.test_cli_window import printed, window

Record = dict[str, Any]
ROWS = plan(planned("val"), planned("test", computed=0, reused=10_000, seconds=0.0))
"""What the recompute step would cost."""


def run_plan(kept: int, *, until: int = 6, reason: str | None = None, **fields: Any) -> Record:
    """A plan of a run whose first steps are kept; `reason` is that of the first that is not."""
    steps = [*KEPT[:kept], *(step(name) for name in STEPS[kept:])][:until]
    if reason:
        steps[kept] = step(STEPS[kept], reason=reason)
    return {"ok": True, "problems": [], "steps": steps, **fields}


def planning(document: Record, rows: Record = ROWS) -> FakeServer:
    return answering(POST_runs__plan=document, POST_jobs__plan=rows)


BAD_ROWS = plan(ok=False, problems=[{"code": "bad-file", "detail": "It cannot be read."}], arithmetic=None)
REFUSED = refused(("splits-differ", "It was drawn with seed 42."), steps=[])


def test_what_it_prints(transcript: Transcript) -> None:
    """What is kept and why, what is to do, and the rows of a recompute step that is to do."""
    transcript.run("All is there", planning(run_plan(6)), "run", "--plan", "--dataset", "digits_lt")
    transcript.run("Rows to compute", planning(run_plan(1)), "run", "--plan")
    partly = run_plan(4, reason="1 of 2 kept: same gating, same options")
    transcript.run("A rejector to fit", planning(partly), "run", "--plan")
    transcript.run("The last step", planning(run_plan(2, until=3)), "run", "--plan", "--until", "verify")
    transcript.run("Splits to draw", planning(run_plan(0)), "run", "--plan", "--splits-dir", "new")
    transcript.run("Refused", planning(REFUSED), "run", "--plan")
    transcript.run("It would fail", planning(run_plan(1), BAD_ROWS), "run", "--plan")
    transcript.check("run_plan")


@pytest.mark.parametrize(
    ("document", "rows", "shown", "code"),
    [
        (run_plan(6), ROWS, None, 0),
        (run_plan(0), ROWS, None, 0),
        (run_plan(1), ROWS, ROWS, 0),
        (run_plan(1), BAD_ROWS, BAD_ROWS, 2),
        (REFUSED, ROWS, None, 2),
    ],
)
def test_json_has_the_recompute_plan_where_rows_are_to_compute(
    relogit: Relogit, document: Record, rows: Record, shown: Record | None, code: int
) -> None:
    """One document; its problems are those of the recompute step too, and nothing is queued."""
    server = planning(document, rows)
    ran = relogit(server, "run", "--plan", "--json")
    expected = {**document, "recompute": shown}
    if shown is not None:
        expected |= {"ok": shown["ok"], "problems": shown["problems"]}
    assert (ran.code, json.loads(ran.out), ran.err) == (code, expected, "")
    assert server.asked == ["POST /runs/plan", *(["POST /jobs/plan"] if shown else [])]


def test_the_recompute_step_is_planned_with_its_options(relogit: Relogit) -> None:
    """With the run's data set, and nothing of the other parts."""
    server = planning(run_plan(1))
    relogit(server, "run", "--plan", "--dataset", "d", "--experts", "a", "b", "--method", "linear", "--prefix", "p_")
    bodies = [json.loads(request.content) for request in server.requests]
    recompute = {"experts": ["a", "b"], "checkpoint_prefix": "p_"}
    assert bodies == [
        {"dataset": "d", "recompute": recompute, "gating": {"method": "linear"}},
        {"dataset": "d", **recompute},
    ]


def test_the_client_returns_the_plan() -> None:
    """`Client.plan_run` takes the options of `run`; None is left out, of the parts as well."""
    server = planning(run_plan(1))
    with Client("http://test", transport=server.transport) as client:
        document = client.plan_run(dataset="d", until=None, gating={"method": "linear", "seed": None})
    assert document == run_plan(1)
    assert server.submitted == {"dataset": "d", "gating": {"method": "linear"}}


def test_it_fits_80_columns() -> None:
    """Long reasons are folded beside their step."""
    document = run_plan(4, reason="19 of 20 kept: same gating, same options, " * 3, recompute=ROWS)
    assert max(map(len, printed(window(80), *run_plan_lines(document)))) <= 80


def test_the_logits_of_a_run_are_downloaded(relogit: Relogit, tmp_path: Path) -> None:
    """Those of its recompute job and of its gating; a run that has not succeeded exits with 1."""
    server = server_of(run("failed", *KEPT[:4]))
    for name, expert in (("recompute-job", "ce"), ("gating-job", "pretrained")):
        artifact = {"expert": expert, "split": "val", "path": f"{expert}/val_logits.npz", "manifest": {}, "bytes": 1}
        artifact["sha256"] = hashlib.sha256(npz()).hexdigest()
        server.answers[f"GET /jobs/{name}"] = httpx.Response(200, json=job(id=name))
        server.answers[f"GET /jobs/{name}/artifacts"] = httpx.Response(200, json={"artifacts": [artifact]})
        server.answers[f"GET /jobs/{name}/artifacts/{expert}/val"] = httpx.Response(200, content=npz())
    ran = relogit(server, "download", RUN_ID, "--to", str(tmp_path))
    assert (ran.code, f"Run {RUN_ID} is failed" in ran.err) == (1, True)
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*/*.npz"))] == [npz()] * 2
