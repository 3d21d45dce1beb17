"""The command line against a server made of a function: what is sent, what is said, how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from relogit.cli.argv import own_folder, prepare
from tests.unit.command_line import Relogit
from tests.unit.fake_server import JOB_ID, FakeServer, job, problem, unit, verification


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("recompute --experts a b --splits val test", "recompute --experts=a --experts=b --splits=val --splits=test"),
        ("recompute --experts a --experts b", "recompute --experts=a --experts=b"),
        ("recompute --experts=a --no-wait", "recompute --experts=a --no-wait"),
        ("recompute --experts=a b --splits=v w", "recompute --experts=a --experts=b --splits=v --splits=w"),
        ("recompute --experts a b --batch-size 64", "recompute --experts=a --experts=b --batch-size 64"),
        ("recompute --batch-size 64 stray", "recompute --batch-size 64 stray"),
        ("--json --server URL jobs --limit 3", "jobs --json --server URL --limit 3"),
        ("--server=URL recompute --splits a b", "recompute --server=URL --splits=a --splits=b"),
        ("splits --dataset d", "splits --dataset d"),
        ("--json", "--json"),
        ("--server", "--server"),
        ("", ""),
    ],
)
def test_the_old_command_line_is_read(given: str, read: str) -> None:
    """Several values after a list option belong to it, and common options may stand before the command."""
    assert prepare(given.split()) == read.split()


@pytest.mark.parametrize(
    ("given", "root", "meant"),
    [
        ("outputs/logits_new", "outputs", "logits_new"),
        ("./outputs/logits_new/", "outputs", "logits_new"),
        ("logits_new", "outputs", "logits_new"),
        ("outputs_old/x", "outputs", "outputs_old/x"),
        ("outputs/outputs/x", "outputs", "outputs/x"),
        ("data/splits", "data", "splits"),
        ("checkpoints/", "checkpoints", "."),
        ("/outputs/x", "outputs", "/outputs/x"),
        ("outputs/../x", "outputs", "../x"),
        ("", "outputs", ""),
        ("/", "outputs", "/"),
    ],
)
def test_old_folders_mean_the_servers_own(given: str, root: str, meant: str) -> None:
    """The server's own root is dropped once; nothing that is wrong is made right on the way."""
    assert own_folder(given, root) == meant


def test_recompute_sends_the_old_options(relogit: Relogit) -> None:
    """The old scripts' options arrive as the API's fields, with the server's roots dropped."""
    server = FakeServer()
    argv = (
        "recompute --experts a b --checkpoint-prefix best_ --splits val test --batch-size 64"
        " --output-dir outputs/logits_new --experts-dir ./checkpoints/experts --splits-dir data/s/ --calibration none"
    )
    assert relogit(server, *argv.split()).code == 0
    assert server.submitted == {
        "experts": ["a", "b"],
        "checkpoint_prefix": "best_",
        "splits": ["val", "test"],
        "batch_size": 64,
        "output_dir": "logits_new",
        "experts_dir": "experts",
        "splits_dir": "s",
        "calibration": "none",
    }


def test_recompute_leaves_defaults_to_the_server(relogit: Relogit) -> None:
    """Without options nothing is sent; an empty prefix and `auto` are something."""
    server = FakeServer()
    relogit(server, "recompute", "--no-wait")
    assert server.submitted == {}
    relogit(server, "recompute", "--no-wait", "--prefix", "", "--batch-size", "auto")
    assert server.submitted == {"checkpoint_prefix": "", "batch_size": "auto"}


def test_recompute_shows_the_way_and_the_end(relogit: Relogit) -> None:
    """Off a terminal each change of state is a line; then come the figures, the files and the verdict."""
    running = job("running", units=[unit(state="running")])
    server = FakeServer(job("queued"), running, job())
    ran = relogit(server, "recompute")
    assert ran.code == 0
    lines = [line for line in ran.out.splitlines() if ": " in line]
    assert lines[:4] == [
        f"Job {JOB_ID}: queued",
        f"Job {JOB_ID}: running",
        "ce / val: running, 3 samples",
        f"Job {JOB_ID}: succeeded",
    ]
    assert "ce / val: succeeded, accuracy 66.67 %" in lines
    row = next(line for line in ran.out.splitlines() if line.startswith("ce ") and "passed" in line)
    assert row.split() == ["ce", "val", "3", "66.67", "75.00", "-", "100.00", "50.00", "passed"]
    assert "No reweighted figure: there are no class weights" in ran.out
    assert "1 of 1 results are verified. They are logits_fixed/<expert>/<split>_logits.npz" in ran.out
    assert ran.err == ""


def test_a_failed_unit_is_told_before_the_figures(relogit: Relogit) -> None:
    """What failed comes first, with its text and what is available, and the exit code is 1."""
    error = {
        "code": "bad-checkpoint",
        "message": "fc.weight is missing.",
        "details": {"available": ["linear.weight"]},
    }
    server = FakeServer(job("failed", units=[unit(), unit("test", "failed", error=error, notes=["Batch halved."])]))
    server.verification = verification("failed")
    ran = relogit(server, "recompute")
    assert ran.code == 1
    after = ran.out.split("ce / test failed: fc.weight is missing.\n    available: linear.weight\n")[1]
    assert "ce / test: Batch halved." in after
    assert "balanced" in after
    assert "failed: 1 of 2 results are good. The 1 good results are kept" in after


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)])
def test_wait_exits_as_the_job_ended(relogit: Relogit, state: str, code: int) -> None:
    """`wait` exits with 0 only if the job succeeded; `status` asks, and exits with 0 always."""
    assert relogit(FakeServer(job(state)), "wait", JOB_ID).code == code
    assert relogit(FakeServer(job(state)), "status").code == 0


@pytest.mark.parametrize("argv", [("--json", "recompute"), ("recompute", "--json"), ("wait", "--json")])
def test_json_stands_alone_on_standard_output(relogit: Relogit, argv: tuple[str, ...]) -> None:
    """With --json standard output is the job's JSON and nothing else, wherever the option stands."""
    ran = relogit(FakeServer(job("running"), job()), *argv)
    assert (ran.code, json.loads(ran.out), ran.err) == (0, job(), "")


@pytest.mark.parametrize("command", ["jobs", "status", "cancel", "verify", "download", "experts", "splits"])
def test_every_command_speaks_json(relogit: Relogit, command: str, tmp_path: Path) -> None:
    """Every command has --json, and prints one document."""
    server = FakeServer()
    server.answers["GET /experts"] = httpx.Response(200, json={"experts": []})
    server.answers["GET /splits"] = httpx.Response(200, json={"splits": []})
    folder = ["--to", str(tmp_path)] if command == "download" else []
    one = [JOB_ID] if command == "verify" else []
    ran = relogit(server, command, "--json", *one, *folder)
    assert ran.code == 0
    assert isinstance(json.loads(ran.out), dict)


def test_ctrl_c_leaves_the_job(relogit: Relogit) -> None:
    """Ctrl-C stops the watching, not the job; the commands to go on name the same server; exit 130."""

    def interrupt() -> httpx.Response:
        raise KeyboardInterrupt

    server = FakeServer(job("running"))
    server.answers[f"GET /jobs/{JOB_ID}"] = interrupt
    ran = relogit(server, "recompute", "--server", "http://other.test")
    assert ran.code == 130
    assert f"relogit wait {JOB_ID} --server http://other.test" in ran.err
    assert f"relogit cancel {JOB_ID} --server http://other.test" in ran.err
    assert f"POST /jobs/{JOB_ID}/cancel" not in server.asked


def test_a_refusal_is_told_item_by_item(relogit: Relogit) -> None:
    """Each wrong item has its line, and what is available stands there once; standard output stays empty; exit 2."""
    server = FakeServer()
    errors: list[dict[str, Any]] = [
        {"code": "unknown-expert", "detail": "No expert x.", "available": ["ce", "ls"]},
        {"code": "unknown-split", "detail": "No split y. There are: val.", "available": ["val"]},
        {"code": "invalid-name", "detail": "Bad folder [red].", "pointer": "/output_dir"},
    ]
    server.answers["POST /jobs"] = problem(
        422, "invalid-request", " ".join(item["detail"] for item in errors), errors
    )
    ran = relogit(server, "recompute", "--experts", "x")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "The server refused this (422 invalid-request):",
        "  - No expert x.",
        "    available: ce, ls",
        "  - No split y. There are: val.",
        "  - Bad folder [red].",
    ]
    assert json.loads(relogit(server, "recompute", "--json").err)["errors"] == errors


def test_a_server_out_of_reach(relogit: Relogit) -> None:
    """Without a server the exit code is 3, and the text says which was tried and how to start one."""

    def refuse() -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    server = FakeServer()
    server.answers["GET /jobs"] = refuse
    ran = relogit(server, "jobs")
    assert (ran.code, ran.out) == (3, "")
    for words in ("http://127.0.0.1:8000", "Connection refused", "python -m app", "RELOGIT_SERVER"):
        assert words in ran.err
    assert json.loads(relogit(server, "jobs", "--json").err)["code"] == "server-unreachable"


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["recompute", "--batch-size", "many"], 2),
        (["recompute", "--no-such-option"], 2),
        (["recompute", "--calibration", "half"], 2),
        (["recompute", "stray"], 2),
        (["nonsense"], 2),
        (["delete"], 2),
        (["jobs", "--server", "localhost:8000"], 2),
        (["--version"], 0),
        (["--help"], 0),
    ],
)
def test_usage(relogit: Relogit, argv: list[str], code: int) -> None:
    """Wrong usage exits with 2 and asks the server nothing."""
    server = FakeServer()
    assert relogit(server, *argv).code == code
    assert server.requests == []


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        ("--experts --splits small", "--experts"),
        ("--experts", "--experts"),
        ("--experts= --no-wait", "--experts"),
        ("--experts a --splits", "--splits"),
    ],
)
def test_an_empty_list_is_wrong_usage(relogit: Relogit, argv: str, option: str) -> None:
    """A list option without a name neither means the default nor takes the next option for a name."""
    server = FakeServer()
    ran = relogit(server, "recompute", *argv.split())
    assert (ran.code, ran.out) == (2, "")
    assert f"{option} needs at least one name." in ran.err
    assert server.requests == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["recompute", "--experts", "--json"], "--experts needs at least one name"),
        (["--json", "recompute", "--batch-size", "many"], "--batch-size: 'many' is neither a whole number nor auto"),
        (["jobs", "--limit", "0", "--json"], "--limit"),
        (["--json", "nonsense"], "nonsense"),
        (["delete", "--json"], "ID"),
    ],
)
def test_wrong_usage_is_problem_json_too(relogit: Relogit, argv: list[str], words: str) -> None:
    """With --json a script reads one kind of error, whether the server or the command line is the cause."""
    ran = relogit(FakeServer(), *argv)
    assert (ran.code, ran.out) == (2, "")
    told = json.loads(ran.err)
    assert told["code"] == "usage"
    assert words in told["detail"]


def test_an_unknown_prefix_is_told_with_the_way_out(relogit: Relogit) -> None:
    """Who has files without a prefix learns how to name them; where there are no files, there is no such hint."""
    detail = "No checkpoint in e has the prefix 'best_'. Files there: ce."
    server = FakeServer()
    known = [{"code": "unknown-prefix", "detail": detail, "available": ["ce"]}]
    server.answers["GET /experts"] = problem(404, "unknown-prefix", detail, known)
    ran = relogit(server, "experts")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "The server refused this (404 unknown-prefix):",
        f"  - {detail}",
        "    --prefix '' takes files without a prefix.",
    ]
    nothing = [{"code": "unknown-prefix", "detail": detail, "available": []}]
    server.answers["GET /experts"] = problem(404, "unknown-prefix", detail, nothing)
    assert "--prefix" not in relogit(server, "experts").err


def test_help_names_the_exit_codes(relogit: Relogit) -> None:
    """`relogit --help` says what each exit code means."""
    said = relogit(FakeServer(), "--help").out
    assert [line.split()[0] for line in said.split("Exit codes:")[1].splitlines() if line] == [
        "0",
        "1",
        "2",
        "3",
        "130",
    ]


def test_a_broken_server_is_not_the_callers_fault(relogit: Relogit) -> None:
    """5xx exits with 3, for trying again later may help; 4xx with 2, for it will not."""
    server = FakeServer()
    server.answers["GET /splits"] = problem(500, "internal", "It broke.")
    ran = relogit(server, "splits")
    assert (ran.code, ran.err) == (3, "The server failed (500 internal): It broke.\n")
