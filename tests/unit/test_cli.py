"""The command line against a server made of a function: what is sent, what is said, how it exits."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from relogit.argv import own_folder, prepare
from relogit.cli import main
from relogit.progress import Bars, display_for
from relogit.render_checks import results
from tests.unit.fake_server import JOB_ID, FakeServer, check, job, npz, problem, unit, verification


@dataclass
class Ran:
    """One run of the command line."""

    code: int
    out: str
    err: str


@pytest.fixture
def relogit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("RELOGIT_SERVER", raising=False)

    def run(server: FakeServer, *argv: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(argv, transport=server.transport)
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("recompute --experts a b --splits val test", "recompute --experts a --experts b --splits val --splits test"),
        ("recompute --experts a --experts b", "recompute --experts a --experts b"),
        ("recompute --experts=a --no-wait", "recompute --experts=a --no-wait"),
        ("recompute --experts a b --batch-size 64", "recompute --experts a --experts b --batch-size 64"),
        ("recompute --experts", "recompute --experts"),
        ("--json --server URL jobs --limit 3", "jobs --json --server URL --limit 3"),
        ("--server=URL recompute --splits a b", "recompute --server=URL --splits a --splits b"),
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


def test_recompute_sends_the_old_options(relogit: Any) -> None:
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


def test_recompute_leaves_defaults_to_the_server(relogit: Any) -> None:
    """Without options nothing is sent; an empty prefix and `auto` are something."""
    server = FakeServer()
    relogit(server, "recompute", "--no-wait")
    assert server.submitted == {}
    relogit(server, "recompute", "--no-wait", "--prefix", "", "--batch-size", "auto")
    assert server.submitted == {"checkpoint_prefix": "", "batch_size": "auto"}


def test_recompute_shows_the_way_and_the_end(relogit: Any) -> None:
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


def test_a_failed_unit_is_told_before_the_figures(relogit: Any) -> None:
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
def test_wait_exits_as_the_job_ended(relogit: Any, state: str, code: int) -> None:
    """`wait` exits with 0 only if the job succeeded; `status` asks, and exits with 0 always."""
    assert relogit(FakeServer(job(state)), "wait", JOB_ID).code == code
    assert relogit(FakeServer(job(state)), "status").code == 0


@pytest.mark.parametrize("argv", [("--json", "recompute"), ("recompute", "--json"), ("wait", "--json")])
def test_json_stands_alone_on_standard_output(relogit: Any, argv: tuple[str, ...]) -> None:
    """With --json standard output is the job's JSON and nothing else, wherever the option stands."""
    ran = relogit(FakeServer(job("running"), job()), *argv)
    assert (ran.code, json.loads(ran.out), ran.err) == (0, job(), "")


@pytest.mark.parametrize("command", ["jobs", "status", "cancel", "verify", "download", "experts", "splits"])
def test_every_command_speaks_json(relogit: Any, command: str, tmp_path: Path) -> None:
    """Every command has --json, and prints one document."""
    server = FakeServer()
    server.answers["GET /experts"] = httpx.Response(200, json={"experts": []})
    server.answers["GET /splits"] = httpx.Response(200, json={"splits": []})
    folder = ["--to", str(tmp_path)] if command == "download" else []
    ran = relogit(server, command, "--json", *folder)
    assert ran.code == 0
    assert isinstance(json.loads(ran.out), dict)


def test_ctrl_c_leaves_the_job(relogit: Any) -> None:
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


def test_a_refusal_is_told_item_by_item(relogit: Any) -> None:
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


def test_a_server_out_of_reach(relogit: Any) -> None:
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
        (["recompute", "--experts"], 2),
        (["recompute", "--calibration", "half"], 2),
        (["recompute", "stray"], 2),
        (["nonsense"], 2),
        (["delete"], 2),
        (["jobs", "--server", "localhost:8000"], 2),
        (["--version"], 0),
        (["--help"], 0),
    ],
)
def test_usage(relogit: Any, argv: list[str], code: int) -> None:
    """Wrong usage exits with 2 and asks the server nothing."""
    server = FakeServer()
    assert relogit(server, *argv).code == code
    assert server.requests == []


def test_help_names_the_exit_codes(relogit: Any) -> None:
    """`relogit --help` says what each exit code means."""
    said = relogit(FakeServer(), "--help").out
    assert [line.split()[0] for line in said.split("Exit codes:")[1].splitlines() if line] == [
        "0",
        "1",
        "2",
        "3",
        "130",
    ]


def test_a_broken_server_is_not_the_callers_fault(relogit: Any) -> None:
    """5xx exits with 3, for trying again later may help; 4xx with 2, for it will not."""
    server = FakeServer()
    server.answers["GET /splits"] = problem(500, "internal", "It broke.")
    ran = relogit(server, "splits")
    assert (ran.code, ran.err) == (3, "The server failed (500 internal): It broke.\n")


def test_verify_shows_what_failed_first(relogit: Any) -> None:
    """Errors come before warnings, with measure and evidence; passed checks are one sentence; exit 1."""
    server = FakeServer()
    failed = check("failed", measured=7, evidence=[{"row": number} for number in range(6)])
    floor = check("failed", "warning", id="floor", message="Low.")
    server.verification = verification("failed", [check(), floor, check("skipped", id="tail"), failed])
    ran = relogit(server, "verify")
    assert ran.code == 1
    order = ["failed   ce / val: finite: NaN", "measured 7, expected 0", '- {"row": 4}', "and 1 more"]
    order += ["warning  ce / val: floor: Low.", "skipped  ce / val: tail", "1 checks passed: finite.", "balanced"]
    places = [ran.out.index(words) for words in order]
    assert places == sorted(places)
    assert '{"row": 5}' not in ran.out


@pytest.mark.parametrize(("verdict", "code"), [("passed", 0), ("pending", 1), ("skipped", 1)])
def test_verify_exits_with_0_only_if_verified(relogit: Any, verdict: str, code: int) -> None:
    """What is not verified is not good, whatever the reason."""
    server = FakeServer()
    server.verification = verification(verdict)
    assert relogit(server, "verify").code == code


def test_download_says_where_the_files_are(relogit: Any, tmp_path: Path) -> None:
    """`download` brings the newest job's files below --to."""
    ran = relogit(FakeServer(), "download", "--to", str(tmp_path))
    assert ran.code == 0
    assert str(tmp_path / "logits_fixed/ce/val_logits.npz") in ran.out
    assert (tmp_path / "logits_fixed/ce/val_logits.npz").read_bytes() == npz()


def test_files_of_a_failed_job_do_not_pass_for_results(relogit: Any, tmp_path: Path) -> None:
    """What a failed job has is fetched, but a script that goes on after it is stopped by exit code 1."""
    ran = relogit(FakeServer(job("failed")), "download", "--to", str(tmp_path))
    assert ran.code == 1
    assert "is failed, not succeeded" in ran.err
    assert (tmp_path / "logits_fixed/ce/val_logits.npz").exists()


def test_a_folder_that_cannot_be_written(relogit: Any, tmp_path: Path) -> None:
    """A file in the folder's place is told in plain words; exit 1."""
    (tmp_path / "file").write_text("")
    ran = relogit(FakeServer(), "download", "--to", str(tmp_path / "file"))
    assert ran.code == 1
    assert f"Cannot write below {tmp_path / 'file'}" in ran.err


def test_ids_may_be_abbreviated(relogit: Any) -> None:
    """The only id that begins as given is meant; if several do, or none, nothing is done."""
    server = FakeServer()
    assert relogit(server, "delete", "job-0001").code == 0
    assert server.asked[-1] == f"DELETE /jobs/{JOB_ID}"
    server.answers["GET /jobs"] = httpx.Response(200, json={"jobs": [job(), job(id="job-0001-ef01")]})
    ran = relogit(server, "delete", "job-0001")
    assert ran.code == 2
    assert "job-0001-ef01" in ran.err
    assert relogit(server, "delete", "other").code == 2
    assert len([asked for asked in server.asked if asked.startswith("DELETE")]) == 1


def test_a_server_without_a_worker_is_told(relogit: Any) -> None:
    """A job that nobody would take up is queued, but not without a word."""
    server = FakeServer()
    checks = {"worker": {"ok": False, "detail": "No worker is alive."}, "store": {"ok": True, "detail": "/store"}}
    server.answers["GET /readyz"] = httpx.Response(503, json={"ready": False, "checks": checks})
    ran = relogit(server, "recompute", "--no-wait")
    assert ran.code == 0
    assert ran.err == "The server cannot do jobs now; this one waits until it can. No worker is alive.\n"


def test_experts_show_passports_and_problems(relogit: Any) -> None:
    """The list tells a good checkpoint from a bad one and why; one expert is shown in full."""
    passport = {
        "file": "best_ce.pth", "sha256": "ab", "bytes": 10, "format": "pth", "architecture": "cifar_resnet20",
        "parameters": 272474, "classes": 10, "temperature": 1.5, "renamed": ["linear is fc"],
        "assumed": ["option A pads both sides"], "ignored": [], "notes": [],
    }  # fmt: skip
    good = {"name": "ce", "file": "best_ce.pth", "state": "ready", "passport": passport, "problem": None}
    wrong = {"code": "truncated", "message": "The file ends early.", "details": {}}
    bad = {"name": "ls", "file": "best_ls.pth", "state": "bad", "passport": None, "problem": wrong}
    server = FakeServer()
    body = {"dataset": "d", "experts_dir": "e", "prefix": "", "experts": [good, bad]}
    server.answers["GET /experts"] = httpx.Response(200, json=body)
    server.answers["GET /experts/ce"] = httpx.Response(200, json=good)
    ran = relogit(server, "experts", "--prefix", "", "--experts-dir", "checkpoints/e")
    assert dict(server.requests[-1].url.params) == {"prefix": "", "experts_dir": "e"}
    assert re.search(r"ce +ready +cifar_resnet20 +10 +272,474 +1\.5 +best_ce\.pth", ran.out)
    assert "ls: The file ends early." in ran.out
    assert "assumed      option A pads both sides" in relogit(server, "experts", "ce").out


def test_splits_show_how_uneven_they_are(relogit: Any) -> None:
    """A split has its size and the sizes of its largest and smallest class; a bad one its problem."""
    good = {"name": "train", "base": "train", "size": 1234, "sha256": "ab", "state": "ready", "classes": 3}
    wrong = {"code": "index-out-of-range", "message": "Index 99 is out of range.", "details": {}}
    rest = {"base": "test", "size": None, "sha256": "cd", "state": "bad", "classes": None, "class_counts": None}
    listed = [{**good, "class_counts": [500, 70, 5], "problem": None}, {"name": "val", **rest, "problem": wrong}]
    server = FakeServer()
    server.answers["GET /splits"] = httpx.Response(200, json={"dataset": "d", "splits_dir": "s", "splits": listed})
    said = relogit(server, "splits").out
    assert re.search(r"train +train +ready +1,234 +3 +500 +5", said)
    assert "val: Index 99 is out of range." in said


def test_figures_fit_into_a_narrow_window() -> None:
    """In 80 columns a long name is folded, and no figure is cut or lost."""
    console = Console(width=80, color_system=None)
    found = verification()
    found["results"][0].update(expert="balsoftmax_baseline", split="tunev")
    found["results"][0]["metrics"].update(samples=10847, reweighted_accuracy=1.0)
    with console.capture() as captured:
        console.print(results(found))
    assert re.search(
        r"^bals\w+ +tunev +10,847 +66\.67 +75\.00 +100\.00 +100\.00 +50\.00 +passed", captured.get(), re.M
    )
    assert all(len(line) <= 80 for line in captured.get().splitlines())


def test_bars_on_a_terminal() -> None:
    """On a terminal each unit has a bar with its rate and the time left, and in the end its accuracy."""
    console = Console(force_terminal=True, width=120, record=True, color_system=None, markup=False)
    display = display_for(console)
    assert isinstance(display, Bars)
    running = unit(state="running", done=1, rate=1500.0, remaining_s=65.0)
    with console.capture() as captured, display:
        display.show(job("running", units=[running]))
        display._progress.refresh()
        display.show(job(units=[unit(), unit("test", "failed", error={"message": "It broke [x]."})]))
    said = captured.get()
    assert re.search(r"ce / val .*1/3 +1,500/s +1:05 left", said)
    assert re.search(r"ce / val .*3/3 +succeeded, accuracy 66\.67 %", said)
    assert "failed: It broke [x]." in said
