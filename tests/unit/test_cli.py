"""The command line against a server made of a function: what is sent, what is said, how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from relogit.cli.argv import own_folder, prepare
from tests.unit.command_line import Relogit
from tests.unit.fake_server import JOB_ID, FakeServer, answering, job, problem, raising


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
def test_old_folders_name_the_servers_folders(given: str, root: str, meant: str) -> None:
    """The server's own root is removed once; wrong folders stay as they are."""
    assert own_folder(given, root) == meant


def test_recompute_sends_the_old_options(relogit: Relogit) -> None:
    """The old scripts' options arrive as the API's fields, with the server's roots dropped."""
    server = FakeServer()
    argv = (
        "recompute --experts a b --checkpoint-prefix best_ --splits val test --batch-size 64"
        " --output-dir outputs/logits_new --experts-dir ./checkpoints/experts --splits-dir data/s/ --calibration none"
        " --floor accuracy=50% --head-threshold 7"
    )
    assert relogit(server, *argv.split()).code == 0
    assert server.submitted == {
        "experts": ["a", "b"], "checkpoint_prefix": "best_", "splits": ["val", "test"], "batch_size": 64,
        "output_dir": "logits_new", "experts_dir": "experts", "splits_dir": "s", "calibration": "none",
        "floors": {"accuracy": 0.5}, "head_threshold": 7,
    }  # fmt: skip


def test_recompute_leaves_defaults_to_the_server(relogit: Relogit) -> None:
    """Options that are not given are not sent; an empty prefix and `auto` are values."""
    server = FakeServer()
    relogit(server, "recompute", "--no-wait")
    assert server.submitted == {}
    relogit(server, "recompute", "--no-wait", "--prefix", "", "--batch-size", "auto")
    assert server.submitted == {"checkpoint_prefix": "", "batch_size": "auto"}


@pytest.mark.parametrize("argv", [("--json", "recompute"), ("recompute", "--json"), ("wait", "--json")])
def test_json_stands_alone_on_standard_output(relogit: Relogit, argv: tuple[str, ...]) -> None:
    """With --json standard output is the job's JSON and nothing else, wherever the option stands."""
    ran = relogit(FakeServer(job("running"), job()), *argv)
    assert (ran.code, json.loads(ran.out), ran.err) == (0, job(), "")


@pytest.mark.parametrize("command", ["jobs", "status", "cancel", "verify", "download", "experts", "splits"])
def test_every_command_prints_json(relogit: Relogit, command: str, tmp_path: Path) -> None:
    """With --json every command prints one JSON document."""
    server = FakeServer()
    server.answers["GET /experts"] = httpx.Response(200, json={"experts": []})
    server.answers["GET /splits"] = httpx.Response(200, json={"splits": []})
    folder = ["--to", str(tmp_path)] if command == "download" else []
    one = [JOB_ID] if command == "verify" else []
    ran = relogit(server, command, "--json", *one, *folder)
    assert ran.code == 0
    assert isinstance(json.loads(ran.out), dict)


def test_ctrl_c_leaves_the_job(relogit: Relogit) -> None:
    """Ctrl-C ends the command with 130 and does not cancel the job."""
    server = raising(KeyboardInterrupt(), f"GET /jobs/{JOB_ID}", FakeServer(job("running")))
    assert relogit(server, "recompute").code == 130
    assert f"POST /jobs/{JOB_ID}/cancel" not in server.asked


@pytest.mark.parametrize(
    ("answer", "code", "exit_code"),
    [
        (problem(422, "invalid-request", "Bad."), "invalid-request", 2),
        (problem(500, "internal", "It broke."), "internal", 3),
        (httpx.Response(200, text="hello"), "server-unreachable", 3),
    ],
)
def test_errors_are_problem_json(relogit: Relogit, answer: httpx.Response, code: str, exit_code: int) -> None:
    """With --json each error is problem JSON on standard error; 4xx exits with 2, anything worse with 3."""
    ran = relogit(answering(GET_jobs=answer), "jobs", "--json")
    assert (ran.code, ran.out, json.loads(ran.err)["code"]) == (exit_code, "", code)


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["recompute", "--batch-size", "many"], 2),
        (["recompute", "--no-such-option"], 2),
        (["recompute", "--calibration", "half"], 2),
        (["recompute", "stray"], 2),
        (["recompute", "--experts", "--splits", "small"], 2),
        (["recompute", "--experts=", "--no-wait"], 2),
        (["recompute", "--experts", "a", "--splits"], 2),
        (["nonsense"], 2),
        (["delete"], 2),
        (["jobs", "--server", "localhost:8000"], 2),
        (["--version"], 0),
        (["--help"], 0),
    ],
)
def test_wrong_usage_exits_with_2(relogit: Relogit, argv: list[str], code: int) -> None:
    """Wrong usage exits with 2 and sends no request."""
    server = FakeServer()
    assert relogit(server, *argv).code == code
    assert server.requests == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["recompute", "--experts", "--json"], "--experts needs at least one name"),
        (["--json", "recompute", "--batch-size", "many"], "--batch-size': 'many' is neither a whole number nor auto"),
        (["jobs", "--limit", "0", "--json"], "--limit"),
        (["--json", "nonsense"], "nonsense"),
        (["delete", "--json"], "ID"),
    ],
)
def test_wrong_usage_is_problem_json_too(relogit: Relogit, argv: list[str], words: str) -> None:
    """With --json errors of the command line have the same form as the server's."""
    ran = relogit(FakeServer(), *argv)
    assert (ran.code, ran.out) == (2, "")
    told = json.loads(ran.err)
    assert told["code"] == "usage"
    assert words in told["detail"]


def test_help_names_the_exit_codes(relogit: Relogit) -> None:
    """`relogit --help` explains every exit code."""
    said = relogit(FakeServer(), "--help").out
    codes = [line.split()[0] for line in said.split("Exit codes:")[1].splitlines() if line]
    assert codes == ["0", "1", "2", "3", "130"]


def test_a_groups_options_hold_for_its_commands(relogit: Relogit) -> None:
    """--dataset may precede the sub-command; the sub-command's own value overrides it."""
    server = answering(GET_splits__s={"splits": [], "groups": None})
    for argv, dataset in (("--dataset a show s", "a"), ("--dataset a show s --dataset b", "b")):
        assert relogit(server, "splits", *argv.split()).code == 0
        assert dict(server.requests[-1].url.params) == {"dataset": dataset}
