"""The command line's plan, and what it says about reuse."""

from __future__ import annotations

import json

import pytest
from rich.console import RenderableType

from relogit import Client, Problem
from relogit.render.jobs import reuse_lines
from relogit.render.plan import plan_lines, rough_duration
from relogit.render.tables import size
from tests.unit.command_line import Relogit
from tests.unit.fake_answers import plan, planned
from tests.unit.fake_server import answering, job, problem, unit
from tests.unit.test_cli_window import NAMES, printed, window


def test_json_is_the_plan(relogit: Relogit) -> None:
    """With --json standard output is the server's document; the exit code tells whether the plan is ok."""
    good, bad = plan(planned()), plan(planned(), ok=False, problems=[{"code": "x", "detail": "X."}])
    for document, code in ((good, 0), (bad, 2)):
        ran = relogit(answering(POST_jobs__plan=document), "--json", "recompute", "--plan")
        assert (ran.code, json.loads(ran.out), ran.err) == (code, document, "")


def test_precision_and_no_reuse_are_sent(relogit: Relogit) -> None:
    """Both options are sent for a job and for its plan; without them the server's defaults hold."""
    server = answering(POST_jobs__plan=plan(planned()))
    relogit(server, "recompute", "--no-wait", "--precision", "bf16", "--no-reuse")
    assert server.submitted == {"precision": "bf16", "reuse": False}
    relogit(server, "recompute", "--plan", "--precision", "tf32", "--no-reuse")
    assert server.submitted == {"precision": "tf32", "reuse": False}
    assert server.asked[-1] == "POST /jobs/plan"
    ran = relogit(server, "recompute", "--precision", "fp64")
    assert ran.code == 2
    assert "fp32" in ran.err


def test_the_client_returns_the_plan() -> None:
    """`Client.plan` takes the options of `submit` and returns the document; a refusal is a `Problem`."""
    server = answering(POST_jobs__plan=plan(planned()))
    with Client("http://test", transport=server.transport) as client:
        assert client.plan(experts=["ce"], dataset=None, reuse=False) == plan(planned())
        assert server.submitted == {"experts": ["ce"], "reuse": False}
        server.answers["POST /jobs/plan"] = problem(422, "invalid-value", "Bad.")
        with pytest.raises(Problem):
            client.plan()


@pytest.mark.parametrize(
    ("reused", "computed", "said"),
    [
        (30_000, 0, "30,000 rows, all reused; nothing computed."),
        (0, 30_000, "30,000 rows, all computed."),
        (12_000, 18_000, "30,000 rows: 12,000 reused, 18,000 computed."),
        (1, 0, "1 row, all reused; nothing computed."),
    ],
)
def test_reused_rows_are_counted(reused: int, computed: int, said: str) -> None:
    """A sentence tells how many rows were reused and computed."""
    assert [str(line) for line in reuse_lines(job(units=[unit(reused=reused, computed=computed)]))] == [said]


@pytest.mark.parametrize(
    ("bytes_", "said"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_940, "9.9 kB"), (9_960, "10 kB"), (999_499, "999 kB"),
        (999_500, "1.0 MB"), (38_400_000, "38 MB"), (1_250_000_000, "1.2 GB"), (10**19, "10000 PB"), (None, "-"),
    ],
)  # fmt: skip
def test_sizes_have_two_digits_or_more(bytes_: int | None, said: str) -> None:
    """Sizes have at least two digits, in powers of 1000."""
    assert size(bytes_) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"), (0.2, "< 1 s"), (1.4, "1 s"), (99.4, "99 s"), (125.0, "2 min"), (5900.0, "98 min"),
        (9000.0, "2.5 h"),
    ],
)  # fmt: skip
def test_expected_times_are_rough(seconds: float | None, said: str) -> None:
    """An expected time has one unit, and no seconds beyond 100 s."""
    assert rough_duration(seconds) == said


def test_a_plan_fits_the_window() -> None:
    """In 80 columns every unit keeps one line, with the project's own names."""
    units = [planned("tunev", name, seconds=3600.0, bytes=123_456_789) for name in NAMES]
    lines: list[RenderableType] = plan_lines(plan(*units))
    table = printed(window(), lines[0])
    assert [line.split()[0] for line in table[2:]] == list(NAMES)
    assert all(len(line) <= 80 for line in table)
