"""`relogit verify`: what is meant, what is shown, how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.command_line import Relogit
from tests.unit.fake_server import (
    JOB_ID,
    UPLOAD_ID,
    VERIFICATION_ID,
    FakeServer,
    causes,
    check,
    entry,
    files_verification,
    problem,
    statistics,
    verification,
)

CHANCE = "These logits do not belong to these samples."


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with one file of logits where the old scripts left it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs/logits_fixed/ce").mkdir(parents=True)
    (tmp_path / "outputs/logits_fixed/ce/val_logits.npz").write_bytes(b"logits")
    return tmp_path


def result(expert: str, split: str, *checks: dict[str, Any], verdict: str = "failed") -> dict[str, Any]:
    return {**verification(verdict, list(checks))["results"][0], "expert": expert, "split": split}


def judged(verdict: str, *results: dict[str, Any], **fields: Any) -> FakeServer:
    """A server whose verification ends so."""
    server = FakeServer()
    server.verifications = [
        files_verification("queued"), files_verification(verdict=verdict, results=list(results), **fields)
    ]  # fmt: skip
    return server


def test_the_old_folder_is_verified_unless_told_otherwise(relogit: Relogit) -> None:
    """Without a path it is outputs/logits_fixed; the way, the figures and the verdict are shown; exit 0."""
    ran = relogit(server := FakeServer(), "verify")
    assert (ran.code, ran.err) == (0, "")
    assert list(server.files) == ["ce/val_logits.npz"]
    assert ran.out.startswith("Verifying 2 files of outputs/logits_fixed, uploaded.\n")
    assert "ce     val   3 66.67 75.00   - 100.00 50.00 passed" in ran.out
    assert ran.out.endswith(f"Verification {VERIFICATION_ID} passed: 1 of 1 result verified.\n")


def test_verify_sends_its_options(relogit: Relogit) -> None:
    """What is given arrives as the API's fields, floors as fractions, the server's own root dropped."""
    argv = "outputs/logits_fixed/ce/val_logits.npz --dataset d --splits-dir data/s --expert e --split t"
    floors = "--floor accuracy=0.5 --floor head_accuracy=35% --head-threshold 0"
    relogit(server := FakeServer(), "verify", *argv.split(), *floors.split())
    assert server.submitted == {
        "dataset": "d", "splits_dir": "s", "expert": "e", "split": "t", "head_threshold": 0,
        "floors": {"accuracy": 0.5, "head_accuracy": 0.35}, "upload": UPLOAD_ID,
    }  # fmt: skip


def test_rows_to_be_computed_anew_are_asked_for(relogit: Relogit) -> None:
    """Their number, the prefix and the folder of the checkpoints arrive as the API's fields; the number is told."""
    server = FakeServer()
    request = files_verification()["request"]
    server.verifications = [files_verification("queued", request={**request, "recompute": 20}), files_verification()]
    ran = relogit(server, "verify", "--recompute", "20", "--prefix", "final_", "--experts-dir", "checkpoints/new/")
    wanted = {"recompute": 20, "checkpoint_prefix": "final_", "experts_dir": "new", "upload": UPLOAD_ID}
    assert server.submitted == wanted
    assert "Verifying 2 files of outputs/logits_fixed, uploaded. Of each, 20 rows are computed anew.\n" in ran.out
    ran = relogit(server := FakeServer(), "verify", "--recompute", "-1")
    assert (ran.code, server.requests) == (2, [])


def test_a_sample_that_differs_fails(relogit: Relogit) -> None:
    """It is shown as any other failed check, with its rows, and exits with 1."""
    rows = [{"row": 7, "difference": 3.5}]
    differing = check("failed", id="recomputed-sample", message="2 of 20 rows are not its own.", evidence=rows)
    ran = relogit(judged("failed", result("ce", "val", differing)), "verify", "--recompute", "20")
    assert ran.code == 1
    assert "failed   ce / val: recomputed-sample: 2 of 20 rows are not its own.\n" in ran.out
    assert "- row 7, difference 3.5" in ran.out


def test_what_no_check_shows_stands_at_the_end(relogit: Relogit) -> None:
    """Once, after the verdict, and not among the checks that were skipped; it fails nothing."""
    unknown = check("skipped", "warning", id="provenance", message="Nothing shows where it comes from.")
    server = judged("passed", result("ce", "val", verdict="passed"), checks=[unknown])
    ran = relogit(server, "verify")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[-1] == "Nothing shows where it comes from."
    assert lines[-2].startswith(f"Verification {VERIFICATION_ID} passed")
    assert ran.out.count("Nothing shows") == 1
    assert "provenance" not in ran.out
    assert json.loads(relogit(server, "verify", "--json").out)["checks"] == [unknown]


def test_figures_of_probabilities_have_a_reason(relogit: Relogit) -> None:
    """With and without --full: what a second softmax would make wrong is left out by name."""
    softmaxed = result("ce", "val", check("failed", "warning", id="raw-logits"), verdict="passed")
    names = ("nll", "brier", "ece", "ece_equal_mass", "aurc", "e_aurc", "augrc")
    softmaxed["metrics"] |= dict.fromkeys(names)
    softmaxed["metrics"]["reasons"] = dict.fromkeys(names, "The file holds probabilities.")
    server = judged("passed", softmaxed)
    analysis = statistics()
    analysis["intervals"]["figures"]["nll"] = None
    empty = dict.fromkeys(analysis["curves"])
    analysis |= {"curves": empty, "areas": empty, "reliability": None}
    server.analyses["statistics"] = [entry(analysis)]
    for argv in (["verify"], ["verify", "--full"]):
        ran = relogit(server, *argv)
        assert ran.code == 0
        said = "No NLL, Brier, ECE, ECE eq. mass, AURC, E-AURC and AUGRC figure: The file holds probabilities."
        assert said in ran.out
    block = ran.out.split("ce / val, 3 samples\n")[1]
    assert block.splitlines()[2].split()[-2:] == ["NLL", "-"]


def test_recompute_sends_standards_too(relogit: Relogit) -> None:
    """A job is judged by floors and threshold as files are."""
    relogit(server := FakeServer(), "recompute", "--no-wait", "--floor", "accuracy=50%", "--head-threshold", "7")
    assert server.submitted == {"floors": {"accuracy": 0.5}, "head_threshold": 7}


@pytest.mark.parametrize("floor", ["accuracy", "accuracy=", "=0.5", "accuracy=half", "accuracy=nan", "accuracy=inf%"])
@pytest.mark.parametrize("command", ["verify", "recompute"])
def test_a_floor_is_a_name_and_a_number(relogit: Relogit, command: str, floor: str) -> None:
    """A floor that cannot be read is wrong usage, and one that is set twice as well; nothing is asked."""
    server = FakeServer()
    ran = relogit(server, command, "--floor", floor)
    assert ran.code == 2
    assert "balanced_accuracy=35%" in ran.err
    ran = relogit(server, command, "--floor", "accuracy=1", "--floor", "accuracy=2")
    assert (ran.code, "two floors" in ran.err, server.requests) == (2, True, [])


def test_a_path_comes_before_a_jobs_id(relogit: Relogit, folder: Path) -> None:
    """A word of hex digits is a path where there is one, else a job's id or how it begins."""
    server = FakeServer()
    relogit(server, "verify", "0001")
    assert f"GET /jobs/{JOB_ID}/verification" in server.asked
    (folder / "outputs/logits_fixed").rename(folder / "0001")
    relogit(server, "verify", "0001")
    assert server.asked[-1] == "POST /verifications"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["no folder 'outputs/logits_fixed'", "`relogit verify ID`", "`relogit jobs`"]),
        (["outputs/old"], ["no file or folder 'outputs/old'", "`relogit jobs`"]),
        ([JOB_ID, "--dataset", "d"], [f"no file or folder '{JOB_ID}'", "only --full"]),
    ],
)
def test_what_is_not_there_is_told(relogit: Relogit, folder: Path, argv: list[str], words: list[str]) -> None:
    """Neither a path nor an id: exit 2 with what would be right, and nothing is asked."""
    (folder / "outputs/logits_fixed").rename(folder / "outputs/other")
    server = FakeServer()
    ran = relogit(server, "verify", "--json", *argv)
    assert (ran.code, ran.out, server.requests) == (2, "", [])
    detail = json.loads(ran.err)["detail"]
    assert [word for word in words if word not in detail] == []


def test_an_empty_folder_is_refused_here(relogit: Relogit, folder: Path) -> None:
    """Where there are no logits nothing is sent; exit 2."""
    (folder / "empty").mkdir()
    server = FakeServer()
    ran = relogit(server, "verify", "empty")
    assert (ran.code, ran.out) == (2, "")
    assert "There is no file <expert>/<split>_logits.npz or .pt in 'empty'." in ran.err
    assert not [asked for asked in server.asked if not asked.startswith("GET")]


def test_files_of_other_names_are_not_passed_over(relogit: Relogit, folder: Path) -> None:
    """Arrays that are not verified are named: on standard error, and with --json in the request."""
    for number in range(7):
        (folder / f"outputs/logits_fixed/{number}.npy").write_bytes(b"")
    said = "Not verified, for they are not named <expert>/<split>_logits.npz or .pt in plain letters: "
    said += "0.npy, 1.npy, 2.npy, 3.npy, 4.npy"
    assert relogit(FakeServer(), "verify").err == f"{said} and 2 more.\n"
    ran = relogit(FakeServer(), "verify", "--json")
    assert (json.loads(ran.out)["request"]["others"], ran.err) == ([f"{number}.npy" for number in range(7)], "")


def test_what_failed_comes_first_with_its_cause(relogit: Relogit) -> None:
    """Errors, then why logits fit nothing, then warnings, then what was skipped; exit 1."""
    chance = check("failed", id="accuracy", message=CHANCE)
    low = check("failed", "warning", id="floor", message="Low.")
    server = judged("failed", result("ce", "tunev", low, chance), result("ce", "val", check(), verdict="passed"))
    server.analyses["causes"] = [entry(causes(), split="tunev"), entry(None, "none")]
    ran = relogit(server, "verify")
    assert ran.code == 1
    order = [f"failed   ce / tunev: accuracy: {CHANCE}", "cause    ce / tunev: Against the labels of 'train'"]
    order += ["warning  ce / tunev: floor: Low.", "1 check passed: finite.", "expert", "failed: do not use 1 of 2"]
    places = [ran.out.index(words) for words in order]
    assert places == sorted(places)
    assert ran.out.count("cause ") == 1


def test_causes_are_asked_for_only_where_there_is_something_to_explain(relogit: Relogit) -> None:
    """A low accuracy that is only a warning, and checks of something else, start no search; nor does --json."""
    warned = result("ce", "val", check("failed", "warning", id="accuracy"), check("failed"))
    assert relogit(server := judged("failed", warned), "verify").code == 1
    assert f"GET /jobs/{VERIFICATION_ID}/analysis" not in server.asked
    relogit(server := judged("failed", result("ce", "val", check("failed", id="accuracy"))), "verify", "--json")
    assert f"GET /jobs/{VERIFICATION_ID}/analysis" not in server.asked


def test_a_search_that_failed_is_told(relogit: Relogit) -> None:
    """No cause in time, or none to be had, is no silence."""
    server = judged("failed", result("ce", "val", check("failed", id="accuracy")))
    error = {"code": "file-changed", "message": "The file was changed."}
    server.analyses["causes"] = [entry(None, "failed", error=error)]
    assert "cause    ce / val: The file was changed.\n" in relogit(server, "verify").out


def test_what_is_said_of_many_results_is_said_once(relogit: Relogit) -> None:
    """Equal findings share a line that names their results; measures that differ stand below it."""
    repeats = check("failed", "warning", id="repeats", message="Rows repeat.", evidence=[{"row": 1}, {"row": 2}])
    floor = [check("failed", "warning", id="floor", message="Low.", measured=number) for number in (1, 1, 2)]
    skipped = [check("skipped", id=name, message="No weights.") for name in ("weights", "reweighted")]
    of_test = check("failed", id="shapes", message="Wrong.")
    server = judged(
        "failed",
        result("ce", "val", repeats, floor[0], *skipped, verdict="passed"),
        result("ls", "val", repeats, floor[1], *skipped, verdict="passed"),
        result("ce", "test", floor[2], of_test, *skipped),
        checks=[check("failed", "warning", id="overlap", message="They overlap.")],
    )
    lines = relogit(server, "verify").out.splitlines()
    first = lines.index("failed   ce / test: shapes: Wrong.")
    assert lines[first + 2 : first + 13] == [
        "warning  overlap: They overlap.",
        "         measured 0; expected 0",
        "warning  all 2 experts / val: repeats: Rows repeat.",
        "         measured 0; expected 0",
        "         - row 1",
        "         - row 2",
        "warning  all 3 results: floor: Low.",
        "         all 2 experts / val: measured 1; expected 0",
        "         ce / test: measured 2; expected 0",
        "skipped  all 3 results: weights, reweighted: No weights.",
        "expert split n   acc   bal rew   head  tail verdict",
    ]


def test_a_result_without_any_figure_has_one_reason(relogit: Relogit) -> None:
    """Where nothing can be computed the reason is told with the result, not with every figure."""
    broken = result("ce", "val", check("failed"))
    names = [name for name in broken["metrics"] if name.endswith("accuracy")]
    broken["metrics"] = {**dict.fromkeys(names), "reasons": dict.fromkeys(names, "The file is cut short.")}
    broken["error"] = {"code": "unreadable", "message": "It cannot be read.", "details": {}}
    out = relogit(judged("failed", broken), "verify").out
    assert "No figures for ce / val: The file is cut short." in out
    assert "ce / val: It cannot be read." in out


def test_full_shows_intervals(relogit: Relogit) -> None:
    """With --full each result has its figures with their intervals, and it is said how these are made."""
    server = judged("passed", result("ce", "val", verdict="passed"), result("ce", "test", verdict="passed"))
    server.analyses["statistics"] = [entry(statistics()), entry(None, "none", split="test")]
    out = relogit(server, "verify", "--full").out
    block, other = out.split("ce / val, 3 samples\n")[1].split("ce / test, 3 samples\n")
    assert block.splitlines()[2].split()[:5] == ["plain", "66.67", "60.00", "to", "70.00"]
    assert "0.5000 to 1.0000" in block
    assert other.startswith("No intervals: There is nothing to analyse.\n")
    assert "the middle 95 % of 1,000 resamples (seed 0)" in other


def test_json_is_the_verification(relogit: Relogit) -> None:
    """With --json there is the view and nothing else; with --full each result has its analysis, or why not."""
    server = judged("passed", result("ce", "val", verdict="passed"))
    ran = relogit(server, "verify", "--json")
    assert (json.loads(ran.out), ran.err) == (server.verifications[-1], "")
    server.analyses["statistics"] = [entry(statistics())]
    server.analyses["causes"] = [entry(None, "none")]
    found = json.loads(relogit(server, "verify", "--json", "--full").out)
    reasons = {"causes": "There is nothing to analyse."}
    assert found["results"][0]["analysis"] == {"statistics": statistics(), "causes": None, "reasons": reasons}


@pytest.mark.parametrize(("state", "verdict"), [("succeeded", "failed"), ("failed", None), ("cancelled", None)])
def test_exit_0_is_for_what_passed(relogit: Relogit, state: str, verdict: str | None) -> None:
    """What failed its checks or could not be carried out exits with 1, with the error."""
    error = None if verdict else {"code": "broken", "message": "It broke.", "details": {}}
    server = FakeServer()
    server.verifications = [files_verification(state, verdict, error=error)]
    for argv in (["verify"], ["verify", VERIFICATION_ID], ["wait", VERIFICATION_ID], ["verify", "--full"]):
        ran = relogit(server, *argv)
        assert ran.code == 1
        assert ("Verification failed: It broke." in ran.out) is (verdict is None)
        assert f"Verification {VERIFICATION_ID} " in ran.out.splitlines()[-1]


def test_ctrl_c_deletes_what_was_uploaded(relogit: Relogit) -> None:
    """Before the verification is queued nothing is left behind; exit 130."""

    def interrupt() -> httpx.Response:
        raise KeyboardInterrupt

    server = FakeServer()
    server.answers[f"PUT /uploads/{UPLOAD_ID}/ce/val_logits.npz"] = interrupt
    ran = relogit(server, "verify")
    assert (ran.code, ran.err) == (130, "Stopped. Nothing is verified, and what was uploaded is deleted.\n")
    assert server.asked[-1] == f"DELETE /uploads/{UPLOAD_ID}"


def test_ctrl_c_is_no_traceback(relogit: Relogit) -> None:
    """Whatever a command is doing, Ctrl-C ends it with 130."""

    def interrupt() -> httpx.Response:
        raise KeyboardInterrupt

    server = judged("failed", result("ce", "val", check("failed", id="accuracy")))
    server.answers[f"GET /jobs/{VERIFICATION_ID}/analysis"] = interrupt
    assert relogit(server, "verify").code == 130


def test_a_refusal_leaves_nothing(relogit: Relogit) -> None:
    """A data set that is not there is told with those that are, and the upload is deleted."""
    server = FakeServer()
    wrong = [{"code": "unknown-dataset", "detail": "No data set d.", "available": ["digits_lt"]}]
    server.answers["POST /verifications"] = problem(422, "unknown-dataset", "No data set d.", wrong)
    ran = relogit(server, "verify", "--dataset", "d")
    assert (ran.code, ran.out) == (2, "")
    assert "available: digits_lt" in ran.err
    assert server.asked[-1] == f"DELETE /uploads/{UPLOAD_ID}"


def test_other_commands_know_verifications(relogit: Relogit) -> None:
    """A verification can be looked at by its id; it has no files to download."""
    server = FakeServer()
    ran = relogit(server, "status", VERIFICATION_ID)
    assert (ran.code, "verifies 2 files" in ran.out) == (0, True)
    assert ran.out.endswith(f": passed. `relogit verify {VERIFICATION_ID}` shows its checks.\n")
    assert relogit(server, "wait", VERIFICATION_ID).code == 0
    ran = relogit(server, "download", VERIFICATION_ID)
    assert (ran.code, "wrote none" in ran.err) == (2, True)
