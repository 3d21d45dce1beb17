"""The command line's results: verification, downloads, tables, bars."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from relogit.progress import Bars, display_for
from relogit.render_checks import results
from tests.unit.command_line import Relogit
from tests.unit.fake_server import JOB_ID, FakeServer, check, job, npz, unit, verification


def test_verify_shows_what_failed_first(relogit: Relogit) -> None:
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
def test_verify_exits_with_0_only_if_verified(relogit: Relogit, verdict: str, code: int) -> None:
    """What is not verified is not good, whatever the reason."""
    server = FakeServer()
    server.verification = verification(verdict)
    assert relogit(server, "verify").code == code


def test_download_says_where_the_files_are(relogit: Relogit, tmp_path: Path) -> None:
    """`download` brings the newest job's files below --to."""
    ran = relogit(FakeServer(), "download", "--to", str(tmp_path))
    assert ran.code == 0
    assert str(tmp_path / "logits_fixed/ce/val_logits.npz") in ran.out
    assert (tmp_path / "logits_fixed/ce/val_logits.npz").read_bytes() == npz()


def test_files_of_a_failed_job_do_not_pass_for_results(relogit: Relogit, tmp_path: Path) -> None:
    """What a failed job has is fetched, but a script that goes on after it is stopped by exit code 1."""
    ran = relogit(FakeServer(job("failed")), "download", "--to", str(tmp_path))
    assert ran.code == 1
    assert "is failed, not succeeded" in ran.err
    assert (tmp_path / "logits_fixed/ce/val_logits.npz").exists()


def test_a_folder_that_cannot_be_written(relogit: Relogit, tmp_path: Path) -> None:
    """A file in the folder's place is told in plain words; exit 1."""
    (tmp_path / "file").write_text("")
    ran = relogit(FakeServer(), "download", "--to", str(tmp_path / "file"))
    assert ran.code == 1
    assert f"Cannot write below {tmp_path / 'file'}" in ran.err


def test_ids_may_be_abbreviated(relogit: Relogit) -> None:
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


def test_a_server_without_a_worker_is_told(relogit: Relogit) -> None:
    """A job that nobody would take up is queued, but not without a word."""
    server = FakeServer()
    checks = {"worker": {"ok": False, "detail": "No worker is alive."}, "store": {"ok": True, "detail": "/store"}}
    server.answers["GET /readyz"] = httpx.Response(503, json={"ready": False, "checks": checks})
    ran = relogit(server, "recompute", "--no-wait")
    assert ran.code == 0
    assert ran.err == "The server cannot do jobs now; this one waits until it can. No worker is alive.\n"


def test_experts_show_passports_and_problems(relogit: Relogit) -> None:
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


def test_splits_show_how_uneven_they_are(relogit: Relogit) -> None:
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
