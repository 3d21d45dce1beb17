"""`relogit verify`: its requests, its JSON and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.command_line import Relogit
from tests.unit.fake_server import (
    JOB_ID,
    UPLOAD_ID,
    VERIFICATION_ID,
    FakeServer,
    check,
    entry,
    files_verification,
    judged,
    raising,
    result,
    statistics,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with one file of logits where the old scripts left it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs/logits_fixed/ce").mkdir(parents=True)
    (tmp_path / "outputs/logits_fixed/ce/val_logits.npz").write_bytes(b"logits")
    return tmp_path


def test_the_default_is_the_old_scripts_folder(relogit: Relogit) -> None:
    """Without a path the files in outputs/logits_fixed are uploaded and verified."""
    ran = relogit(server := FakeServer(), "verify")
    assert (ran.code, ran.err) == (0, "")
    assert list(server.files) == ["ce/val_logits.npz"]


def test_verify_sends_its_options(relogit: Relogit) -> None:
    """Options arrive as the API's fields: floors as fractions, folders without the server's root."""
    argv = "outputs/logits_fixed/ce/val_logits.npz --dataset d --splits-dir data/s --expert e --split t"
    floors = "--floor accuracy=0.5 --floor head_accuracy=35% --head-threshold 0"
    relogit(server := FakeServer(), "verify", *argv.split(), *floors.split())
    assert server.submitted == {
        "dataset": "d", "splits_dir": "s", "expert": "e", "split": "t", "head_threshold": 0,
        "floors": {"accuracy": 0.5, "head_accuracy": 0.35}, "upload": UPLOAD_ID,
    }  # fmt: skip


def test_verify_sends_the_rows_to_recompute(relogit: Relogit) -> None:
    """Their number, the prefix and the folder of the checkpoints arrive as the API's fields."""
    options = ["--recompute", "20", "--prefix", "final_", "--experts-dir", "checkpoints/new/"]
    relogit(server := FakeServer(), "verify", *options)
    expected = {"recompute": 20, "checkpoint_prefix": "final_", "experts_dir": "new", "upload": UPLOAD_ID}
    assert server.submitted == expected
    ran = relogit(server := FakeServer(), "verify", "--recompute", "-1")
    assert (ran.code, server.requests) == (2, [])


@pytest.mark.parametrize("floor", ["accuracy", "accuracy=", "=0.5", "accuracy=half", "accuracy=nan", "accuracy=inf%"])
@pytest.mark.parametrize("command", ["verify", "recompute"])
def test_a_floor_is_a_name_and_a_number(relogit: Relogit, command: str, floor: str) -> None:
    """A floor without a finite number, and a second floor of a name, are wrong usage."""
    server = FakeServer()
    ran = relogit(server, command, "--floor", floor)
    assert ran.code == 2
    assert "balanced_accuracy=35%" in ran.err
    ran = relogit(server, command, "--floor", "accuracy=1", "--floor", "accuracy=2")
    assert (ran.code, "two floors" in ran.err, server.requests) == (2, True, [])


def test_a_path_comes_before_a_jobs_id(relogit: Relogit, folder: Path) -> None:
    """A word of hex digits is a path if it exists, else the start of a job's id."""
    server = FakeServer()
    relogit(server, "verify", "0001")
    assert f"GET /jobs/{JOB_ID}/verification" in server.asked
    (folder / "outputs/logits_fixed").rename(folder / "0001")
    relogit(server, "verify", "0001")
    assert server.asked[-1] == "POST /verifications"


def test_json_names_the_other_files(relogit: Relogit, folder: Path) -> None:
    """Arrays that are not verified are in the request of the JSON, and nothing is on standard error."""
    for number in range(7):
        (folder / f"outputs/logits_fixed/{number}.npy").write_bytes(b"")
    ran = relogit(FakeServer(), "verify", "--json")
    assert (json.loads(ran.out)["request"]["others"], ran.err) == ([f"{number}.npy" for number in range(7)], "")


def test_causes_need_an_accuracy_at_chance(relogit: Relogit) -> None:
    """Warnings, other checks and --json without --full start no search for causes."""
    warned = result("ce", "val", check("failed", "warning", id="accuracy"), check("failed"))
    assert relogit(server := judged("failed", warned), "verify").code == 1
    assert f"GET /jobs/{VERIFICATION_ID}/analysis" not in server.asked
    relogit(server := judged("failed", result("ce", "val", check("failed", id="accuracy"))), "verify", "--json")
    assert f"GET /jobs/{VERIFICATION_ID}/analysis" not in server.asked


def test_json_is_the_verification(relogit: Relogit) -> None:
    """With --json output is the verification alone; --full adds each result's analysis, or the reason for none."""
    server = judged("passed", result("ce", "val", verdict="passed"))
    ran = relogit(server, "verify", "--json")
    assert (json.loads(ran.out), ran.err) == (server.verifications[-1], "")
    server.analyses["statistics"] = [entry(statistics())]
    server.analyses["causes"] = [entry(None, "none")]
    found = json.loads(relogit(server, "verify", "--json", "--full").out)
    reasons = {"causes": "There is nothing to analyse."}
    assert found["results"][0]["analysis"] == {"statistics": statistics(), "causes": None, "reasons": reasons}


@pytest.mark.parametrize(("state", "verdict"), [("succeeded", "failed"), ("failed", None), ("cancelled", None)])
def test_failures_exit_with_1(relogit: Relogit, state: str, verdict: str | None) -> None:
    """A verification that failed or could not be carried out exits with 1 and shows the error."""
    error = None if verdict else {"code": "broken", "message": "It broke.", "details": {}}
    server = FakeServer()
    server.verifications = [files_verification(state, verdict, error=error)]
    for argv in (["verify"], ["verify", VERIFICATION_ID], ["wait", VERIFICATION_ID], ["verify", "--full"]):
        ran = relogit(server, *argv)
        assert ran.code == 1
        assert ("Verification failed: It broke." in ran.out) is (verdict is None)
        assert f"Verification {VERIFICATION_ID} " in ran.out.splitlines()[-1]


def test_ctrl_c_is_no_traceback(relogit: Relogit) -> None:
    """Whatever a command is doing, Ctrl-C ends it with 130."""
    server = judged("failed", result("ce", "val", check("failed", id="accuracy")))
    raising(KeyboardInterrupt(), f"GET /jobs/{VERIFICATION_ID}/analysis", server)
    for options in ([], ["--full", "--json"]):
        assert relogit(server, "verify", *options).code == 130
