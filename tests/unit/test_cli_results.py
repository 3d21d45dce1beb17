"""The command line's results: verification, downloads, lists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from relogit.render.tables import plain
from tests.unit.command_line import Ran, Relogit
from tests.unit.fake_server import JOB_ID, FakeServer, check, job, npz, verification

Lists = dict[str, Any]


def test_verify_shows_what_failed_first(relogit: Relogit) -> None:
    """Errors come before warnings, with measure and evidence; passed checks are one sentence; exit 1."""
    server = FakeServer()
    failed = check("failed", measured={"rows": 7}, evidence=[{"row": number} for number in range(6)])
    floor = check("failed", "warning", id="floor", message="Low.")
    server.verification = verification("failed", [check(), floor, check("skipped", id="tail"), failed])
    ran = relogit(server, "verify", JOB_ID)
    assert ran.code == 1
    order = ["failed   ce / val: finite: NaN", "measured rows 7; expected 0", "- row 4", "and 1 more"]
    order += ["warning  ce / val: floor: Low.", "skipped  ce / val: tail", "1 check passed: finite.", "bal"]
    places = [ran.out.index(words) for words in order]
    assert places == sorted(places)
    assert "- row 5" not in ran.out


@pytest.mark.parametrize(("verdict", "code"), [("passed", 0), ("pending", 1), ("skipped", 1)])
def test_verify_exits_with_0_only_if_verified(relogit: Relogit, verdict: str, code: int) -> None:
    """What is not verified is not good, whatever the reason."""
    server = FakeServer()
    server.verification = verification(verdict)
    assert relogit(server, "verify", JOB_ID).code == code


def test_checks_of_the_files_show_like_all_others(relogit: Relogit) -> None:
    """A file that is not what was verified any more fails the verification, though its job has succeeded."""
    stored = check("failed", id="stored-file", measured="cd", expected="ab", message="The stored file was changed.")
    shown = check("failed", "warning", id="shown-file", measured=None, expected="ab", message="It was replaced.")
    alien = check("failed", "warning", id="shown-file", measured=None, expected=None, message="Not of this job.")
    server = FakeServer()
    server.verification = verification("failed", [check(), shown, stored, alien])
    for command in ("verify", "wait"):
        ran = relogit(server, command, JOB_ID)
        assert ran.code == 1
        lines = ran.out.splitlines()
        first = lines.index("failed   ce / val: stored-file: The stored file was changed.")
        assert lines[first + 1 : first + 5] == [
            "         measured cd; expected ab",
            "warning  ce / val: shown-file: It was replaced.",
            "         measured none; expected ab",
            "warning  ce / val: shown-file: Not of this job.",
        ]
        assert lines[-1] == f"Job {JOB_ID} failed its verification."


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"above": 0.0123456, "chance": 0.01}, "above 0.01235, chance 0.01"),
        ({"logits": [1000, 100], "targets": [1000]}, "logits (1000, 100), targets (1000)"),
        ({"distinct_targets": 1, "split": "val"}, "distinct targets 1, split val"),
        (["logits", "targets"], "logits, targets"),
        ([], "none"),
        (None, "none"),
        (True, "true"),
        (0.70161234, "0.7016"),
        (12345, "12345"),
    ],
)
def test_measures_are_words(value: object, said: str) -> None:
    """What a check measured is read without JSON's signs and without digits that say nothing."""
    assert plain(value) == said


def test_a_reason_is_told_once(relogit: Relogit) -> None:
    """Figures that are missing for one reason share a line, whatever result they are missing from."""
    server = FakeServer()
    reasons = {"reweighted_accuracy": "no weights", "head_accuracy": "no counts", "tail_accuracy": "no counts"}
    server.verification["results"][0]["metrics"]["reasons"] = reasons
    server.verification["results"] *= 2
    lines = relogit(server, "verify", JOB_ID).out.splitlines()
    assert [line for line in lines if line.startswith("No ")] == [
        "No reweighted figure: no weights",
        "No head and tail figure: no counts",
    ]


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
    assert relogit(server, "delete", "0001").code == 0
    assert server.asked[-1] == f"DELETE /jobs/{JOB_ID}"
    server.answers["GET /jobs"] = httpx.Response(200, json={"jobs": [job(), job(id="0001ef01")]})
    ran = relogit(server, "delete", "0001")
    assert ran.code == 2
    assert "0001ef01" in ran.err
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


WRONG = {"code": "index-out-of-range", "message": "Index 99 is out of range.", "details": {}}


def test_splits_show_how_uneven_they_are(relogit: Relogit) -> None:
    """A list has its size and the sizes of its largest and smallest class; a bad one its problem, and exit code 1."""
    good = {"name": "train", "base": "train", "size": 1234, "sha256": "ab", "state": "ready", "classes": 3}
    rest = {"base": "test", "size": None, "sha256": "cd", "state": "bad", "classes": None, "class_counts": None}
    lists = [{**good, "class_counts": [500, 70, 5], "problem": None}, {"name": "val", **rest, "problem": WRONG}]
    server = FakeServer()
    shown = {"name": "s/t", "dataset": "d", "own": False, "description": None, "splits": lists, "groups": None}
    server.answers["GET /splits/s/t"] = httpx.Response(200, json=shown)
    ran = relogit(server, "splits", "show", "data/s/t/")
    assert re.search(r"train +train +1,234 +500 +5 +100.0 ", ran.out)
    assert "val: Index 99 is out of range." in ran.out
    assert ran.code == 1


def test_sets_of_splits_show_what_each_holds(relogit: Relogit) -> None:
    """Which one jobs take by default, how each was made, and what is wrong with any list."""
    made = {"profile": "step", "imbalance_factor": 50.0, "seed": 3, "made_by": "relogit 1", "made_at": "t"}
    lists = [{"name": "train", "base": "train", "size": 1234, "problem": None},
             {"name": "val", "base": None, "size": None, "problem": WRONG}]  # fmt: skip
    sets = [{"name": "lt", "own": True, "claimed": True, "description": made, "problem": None, "splits": lists}]
    server = FakeServer()
    server.answers["GET /splits"] = httpx.Response(200, json={"dataset": "d", "sets": sets})
    ran = relogit(server, "splits")
    assert re.search(r"lt \* +train +train +1,234 +step, factor 50, seed 3", ran.out)
    assert "lt/val: Index 99 is out of range." in ran.out
    server.answers["GET /splits"] = httpx.Response(200, json={"dataset": "d", "sets": []})
    assert "NAME_indices.json" in relogit(server, "splits").out
    nameless = relogit(server, "splits", "check")
    assert (nameless.code, "name another" in nameless.err) == (2, True)


def compared(relogit: Relogit, first: Lists, second: Lists, *more: str) -> tuple[Ran, FakeServer]:
    """`splits diff A B`; a list is its indices, what is wrong with it, or whatever else the server answers."""
    server = FakeServer()
    for name, lists in (("A", first), ("B", second)):
        listed = []
        for split, held in lists.items():
            problem = held if isinstance(held, dict) and "code" in held else None
            listed.append({"name": split, "base": "test", "state": "bad" if problem else "ready", "problem": problem})
            body = {"split": split, "base": "test", "indices": held} if isinstance(held, list) else held
            server.answers[f"GET /splits/{name}/{split}"] = httpx.Response(200, json=body)
        server.answers[f"GET /splits/{name}"] = httpx.Response(200, json={"name": name, "splits": listed})
    totals = {"total": 8, "computed": 3}
    plan = {"ok": True, "totals": totals, "problems": []}
    server.answers["POST /jobs/plan"] = httpx.Response(200, json=plan)
    return relogit(server, "splits", "diff", "A", "B", *more), server


def test_equal_sets_are_said_to_be_so(relogit: Relogit) -> None:
    """With exit code 0, and what a job would compute."""
    ran, server = compared(relogit, {"val": [1, 2]}, {"val": [1, 2]})
    assert ran.code == 0
    assert "A and B hold the same samples, in the same order." in ran.out
    assert "A job over B has 8 rows; forward passes: 3." in ran.out
    assert server.submitted["splits"] == ["val"]


def test_a_list_that_cannot_be_read_is_compared_in_neither_set(relogit: Relogit) -> None:
    """It is named, nothing is said to be equal, its samples are not said to be added; exit code 1."""
    first: Lists = {"val": WRONG, "test": [3, 4], "audit": {"state": "ready", "checks": []}}
    second: Lists = {"val": [1, 2], "test": [3, 4], "audit": {"state": "ready", "checks": []}}
    ran, server = compared(relogit, first, second)
    assert ran.code == 1
    assert "A/val cannot be compared: Index 99 is out of range." in ran.out
    assert "B/audit cannot be compared: the server has something else at B/audit." in ran.out
    assert "What these lists hold may be among the samples added or removed." in ran.out
    assert "same samples" not in ran.out
    assert re.search(r"val +- +- +-$", ran.out, re.MULTILINE)
    assert re.search(r"test +2 +0 +0$", ran.out, re.MULTILINE)
    assert "A job over what can be read of B has 8 rows" in ran.out
    assert server.submitted["splits"] == ["test", "val"]
    ran, _ = compared(relogit, first, second, "--json")
    found = json.loads(ran.out)
    assert [(one["set"], one["list"]) for one in found["unreadable"]] == [
        ("A", "val"),
        ("A", "audit"),
        ("B", "audit"),
    ]
    assert found["unreadable"][0]["problem"] == WRONG
    assert (found["added"], found["removed"], ran.code) == ({"test": 0}, {"test": 0}, 1)


def test_a_set_without_a_readable_list_has_no_cost(relogit: Relogit) -> None:
    """No plan is asked for: over no list at all there is none."""
    ran, server = compared(relogit, {"val": [1]}, {"val": WRONG})
    assert (ran.code, ran.err) == (1, "")
    assert "POST /jobs/plan" not in server.asked


def test_another_order_and_repeats_are_said_of_each_list(relogit: Relogit) -> None:
    """Though the samples are the same, for who uses logits goes by rows."""
    first, second = {"val": [0, 1, 2], "test": [5, 6]}, {"val": [2, 1, 0, 0], "test": [5, 6]}
    ran, _ = compared(relogit, dict(first), dict(second))
    assert ran.code == 0
    assert "val holds the same samples in another order." in ran.out
    assert "val holds samples more or less often; repeated rows: 0 before, 1 now." in ran.out
    assert "hold the same samples, in" not in ran.out
    found = json.loads(compared(relogit, dict(first), dict(second), "--json")[0].out)
    assert (found["order"], found["repeats"]) == (["val"], {"val": {"before": 0, "now": 1}})
    assert found["unreadable"] == []


def test_one_sample_is_singular(relogit: Relogit) -> None:
    """Whatever it did."""
    ran, _ = compared(relogit, {"val": [0], "test": [1]}, {"val": [0, 1], "test": []})
    assert "\n1 sample moved from test to val." in ran.out


def test_a_list_is_given_one_new_name(relogit: Relogit, tmp_path: Path) -> None:
    """--map twice for a list is refused before anything is sent; so is a file that is no list."""
    (tmp_path / "ok_indices.txt").write_text("1")
    server = FakeServer()
    ran = relogit(server, "splits", "import", "x", str(tmp_path), "--map", "ok=val", "--map", "ok=test:train")
    assert (ran.code, "'ok' is given twice" in ran.err) == (2, True)
    (tmp_path / "ok_indices.txt").write_text("1_0")
    ran = relogit(server, "splits", "import", "x", str(tmp_path))
    assert (ran.code, "'1_0' is not one" in ran.err) == (2, True)
    assert server.asked == []
