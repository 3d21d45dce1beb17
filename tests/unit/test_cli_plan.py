"""The command line's plan, and what it says about reuse."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from rich.console import RenderableType

from relogit import Client, Problem
from relogit.render import plan as render_plan
from relogit.render import tables as render
from tests.unit.command_line import Relogit
from tests.unit.fake_server import FakeServer, job, problem, unit
from tests.unit.test_cli_window import NAMES, printed, window

HOW = {
    "engine": "openvino", "engine_version": "2026.1", "model": "Some CPU", "capability": "AVX512",
    "precision": "fp32", "batch": 8,
}  # fmt: skip


def planned(split: str = "val", expert: str = "ce", **fields: Any) -> dict[str, Any]:
    """A unit of a plan: 10,000 rows, of which 4,000 are kept."""
    figures = {"total": 10_000, "reused": 4_000, "computed": 6_000, "seconds": 4.2, "bytes": 9_900_000}
    return {"expert": expert, "split": split, **figures, "reasons": {}, **fields}


def plan(*units: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """What `POST /jobs/plan` answers about those units."""
    totals: dict[str, Any] = {}
    for name in ("total", "reused", "computed", "seconds", "bytes"):
        figures = [unit[name] for unit in units]
        totals[name] = None if None in figures else sum(figures)
    base = {"ok": True, "problems": [], "warnings": [], "request": {}, "arithmetic": HOW, "memory": None}
    return {**base, "units": list(units), "totals": totals, **fields}


def server_with(answer: dict[str, Any]) -> FakeServer:
    server = FakeServer()
    server.answers["POST /jobs/plan"] = httpx.Response(200, json=answer)
    return server


def test_a_plan_is_a_table_and_a_sentence(relogit: Relogit) -> None:
    """Rows, reuse, time and size of each unit; nothing is queued; exit 0."""
    free: dict[str, Any] = {"reused": 10_000, "computed": 0, "seconds": 0.1}
    server = server_with(plan(planned(), planned("test", **free), planned("tunev", seconds=9.7)))
    ran = relogit(server, "recompute", "--plan", "--experts", "ce", "--output-dir", "outputs/x")
    assert (ran.code, ran.err) == (0, "")
    rows = [line.split() for line in ran.out.splitlines() if line.startswith("ce ")]
    assert rows == [
        ["ce", "val", "10,000", "4,000", "6,000", "4", "s", "9.9", "MB"],
        ["ce", "test", "10,000", "10,000", "0", "<", "1", "s", "9.9", "MB"],
        ["ce", "tunev", "10,000", "4,000", "6,000", "10", "s", "9.9", "MB"],
    ]
    assert "1 of 3 units needs no forward pass; about 14 s; 30 MB." in ran.out
    assert "Computed in fp32 by openvino 2026.1 on Some CPU." in ran.out
    assert server.asked == ["POST /jobs/plan"]
    assert server.submitted == {"experts": ["ce"], "output_dir": "x"}


def test_what_is_not_known_is_said_once(relogit: Relogit) -> None:
    """With its reason; the sum then promises nothing."""
    reasons = {"seconds": "No worker has computed with a cifar_resnet32 in fp32 for long enough to time it."}
    ran = relogit(server_with(plan(*[planned(seconds=None, reasons=reasons)] * 2)), "recompute", "--plan")
    assert ran.code == 0
    assert ran.out.count("Not known: No worker has computed with a cifar_resnet32") == 1
    assert "0 of 2 units need no forward pass; time not known; 20 MB." in ran.out


def test_without_a_worker_the_warning_says_it_all(relogit: Relogit) -> None:
    """Neither reuse nor time can be known, and sizes are upper bounds."""
    unknown = planned(
        reused=None, computed=None, seconds=None, reasons={"reused": "There is no worker that could compute this."}
    )
    warning = {"code": "no-worker", "detail": "No worker is alive. Start one with: python -m worker"}
    ran = relogit(server_with(plan(unknown, arithmetic=None, warnings=[warning])), "recompute", "--plan")
    assert ran.code == 0
    assert "1 unit of 10,000 rows; time not known; at most 9.9 MB." in ran.out
    assert "No worker is alive. Start one with: python -m worker" in ran.out
    assert "There is no worker" not in ran.out


def test_problems_of_a_plan_are_errors(relogit: Relogit) -> None:
    """On standard error, each with what would have been right, beside what can be planned; exit 2."""
    wrong = [
        {"code": "unknown-split", "detail": "No split y.", "pointer": "#/splits/1", "available": ["val", "test"]},
        {"code": "disk-too-full", "detail": "There is no room."},
    ]
    ran = relogit(server_with(plan(planned(), ok=False, problems=wrong)), "recompute", "--plan")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "The job would be refused, or fail:",
        "  - No split y.",
        "    available: val, test",
        "  - There is no room.",
    ]
    assert "0 of 1 unit needs no forward pass" in ran.out


def test_a_plan_of_nothing_shows_its_problems_alone(relogit: Relogit) -> None:
    """No empty table and no sum of nothing."""
    wrong = [{"code": "unknown-dataset", "detail": "There is no data set 'x'."}]
    nothing = plan(ok=False, problems=wrong, arithmetic=None)
    ran = relogit(server_with(nothing), "recompute", "--plan")
    assert (ran.code, ran.out) == (2, "")
    assert "There is no data set 'x'." in ran.err


def test_a_plan_speaks_json(relogit: Relogit) -> None:
    """The server's document and nothing else, whether it is ok or not; the exit code still tells."""
    good, bad = plan(planned()), plan(planned(), ok=False, problems=[{"code": "x", "detail": "X."}])
    for document, code in ((good, 0), (bad, 2)):
        ran = relogit(server_with(document), "--json", "recompute", "--plan")
        assert (ran.code, json.loads(ran.out), ran.err) == (code, document, "")


def test_a_request_that_cannot_be_read_is_refused_as_ever(relogit: Relogit) -> None:
    """There is nothing to plan."""
    server = FakeServer()
    server.answers["POST /jobs/plan"] = problem(422, "invalid-value", "batch_size: a whole number is expected.")
    ran = relogit(server, "recompute", "--plan")
    assert (ran.code, ran.out) == (2, "")
    assert "batch_size" in ran.err


def test_precision_and_no_reuse_are_sent(relogit: Relogit) -> None:
    """As the API's fields, for a job and for its plan alike; unless given, the server's defaults hold."""
    server = server_with(plan(planned()))
    relogit(server, "recompute", "--no-wait", "--precision", "bf16", "--no-reuse")
    assert server.submitted == {"precision": "bf16", "reuse": False}
    relogit(server, "recompute", "--plan", "--precision", "tf32", "--no-reuse")
    assert server.submitted == {"precision": "tf32", "reuse": False}
    ran = relogit(server, "recompute", "--precision", "fp64")
    assert ran.code == 2
    assert "fp32" in ran.err


def test_the_client_plans_too() -> None:
    """`Client.plan` takes what `submit` takes, and gives the document; a refusal is a `Problem`."""
    server = server_with(plan(planned()))
    with Client("http://test", transport=server.transport) as client:
        assert client.plan(experts=["ce"], dataset=None, reuse=False) == plan(planned())
        assert server.submitted == {"experts": ["ce"], "reuse": False}
        server.answers["POST /jobs/plan"] = problem(422, "invalid-value", "Bad.")
        with pytest.raises(Problem):
            client.plan()


# --- reuse --------------------------------------------------------------------------------------------


def job_of(reused: int, computed: int) -> dict[str, Any]:
    """A job of one unit with so many rows."""
    rows = reused + computed
    return job(units=[unit(done=rows, total=rows, reused=reused, computed=computed)])


@pytest.mark.parametrize(
    ("reused", "computed", "said"),
    [
        (30_000, 0, "30,000 rows, all reused; nothing computed."),
        (0, 30_000, "30,000 rows, all computed."),
        (12_000, 18_000, "30,000 rows: 12,000 reused, 18,000 computed."),
        (1, 0, "1 row, all reused; nothing computed."),
    ],
)
def test_what_was_reused_is_said(relogit: Relogit, reused: int, computed: int, said: str) -> None:
    """In `status` and at the end of `recompute` and `wait`."""
    for command in ("status", "wait", "recompute"):
        assert said in relogit(FakeServer(job_of(reused, computed)), command).out.splitlines()


def test_a_job_without_rows_yet_says_nothing_of_them(relogit: Relogit) -> None:
    """A job that waits has reused nothing and computed nothing."""
    waiting = job("queued", units=[unit(state="queued")])
    assert "row" not in relogit(FakeServer(waiting), "status").out


def test_status_shows_reuse_by_unit() -> None:
    """One column, beside the rows that are done."""
    mixed = unit("val", total=10, done=8, reused=5, computed=3)
    heading, _, row = printed(window(), render.units(job(units=[mixed])))
    assert heading.split()[:5] == ["expert", "split", "state", "done", "reused"]
    assert row.split()[:5] == ["ce", "val", "succeeded", "8/10", "5"]


# --- figures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bytes_", "said"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_940, "9.9 kB"), (9_960, "10 kB"), (999_499, "999 kB"),
        (999_500, "1.0 MB"), (38_400_000, "38 MB"), (1_250_000_000, "1.2 GB"), (10**19, "10000 PB"), (None, "-"),
    ],
)  # fmt: skip
def test_sizes_have_two_digits_or_more(bytes_: int | None, said: str) -> None:
    """In powers of a thousand, as disks are sold."""
    assert render.size(bytes_) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"),
        (0.2, "< 1 s"),
        (1.4, "1 s"),
        (99.4, "99 s"),
        (125.0, "2 min"),
        (5900.0, "98 min"),
        (9000.0, "2.5 h"),
    ],
)
def test_expected_times_are_rough(seconds: float | None, said: str) -> None:
    """Nobody knows them to the second."""
    assert render_plan.roughly(seconds) == said


def test_a_plan_fits_the_window() -> None:
    """In 80 columns every unit keeps one line, with the project's own names."""
    units = [planned("tunev", name, seconds=3600.0, bytes=123_456_789) for name in NAMES]
    lines: list[RenderableType] = render_plan.lines(plan(*units))
    table = printed(window(), lines[0])
    assert [line.split()[0] for line in table[2:]] == list(NAMES)
    assert all(len(line) <= 80 for line in table)
