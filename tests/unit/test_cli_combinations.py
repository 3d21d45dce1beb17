"""The commands that combine experts, reject and evaluate: options, exit codes, JSON, narrow windows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console, RenderableType

from relogit.render.combinations import choice_sentence, gating_lines, rejector_lines
from relogit.render.evaluation import evaluation_table
from tests.unit.command_line import Relogit
from tests.unit.fake_combinations import (
    EVALUATION_ID,
    GATING_ID,
    REJECTOR_ID,
    combining,
    evaluated,
    evaluation,
    gating,
    gating_result,
    method,
    rejector,
    rules,
)
from tests.unit.fake_server import JOB_ID, VERIFICATION_ID, check, files_verification, job, judged, result

BOLD, GREEN, RED = "\x1b[1m", "\x1b[1;32m", "\x1b[1;31m"


def printed(line: RenderableType, width: int = 80, *, colours: bool = False) -> str:
    """What a window of that width shows."""
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="standard" if colours else None, width=width,
        markup=False, emoji=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    with console.capture() as captured:
        console.print(line)
    return captured.get()


def table(evaluation: dict[str, Any], width: int = 80, *, colours: bool = False) -> str:
    """The table of an evaluation in a window of that width."""
    console = Console(width=width)
    return printed(evaluation_table(evaluation, console), width, colours=colours)


def test_old_command_lines_send_their_options(relogit: Relogit) -> None:
    """Lists need no commas, names of options may have underscores, and the server's own roots are removed."""
    server = combining(gating())
    ran = relogit(
        server, "gating", "--mode", "selective", "--experts", "ce_baseline", "balsoftmax_baseline", "--epochs", "30",
        "--lr", "1e-3", "--batch_size", "32", "--seed", "7", "--head_threshold=25", "--divided-by", "ce_baseline=1.5",
        "balsoftmax_baseline=2", "--net_file", "./checkpoints/old/gate.ckpt", "--output_dir", "outputs/gates",
        "--coverages", "0.5", "1", "--deadline", "2min", "--allow-overlap",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert server.submitted == {
        "mode": "selective", "experts": ["ce_baseline", "balsoftmax_baseline"], "epochs": 30, "lr": 0.001,
        "batch_size": 32, "seed": 7, "head_threshold": 25, "net_file": "old/gate.ckpt", "output_dir": "gates",
        "divided_by": {"ce_baseline": 1.5, "balsoftmax_baseline": 2.0}, "coverages": [0.5, 1.0], "deadline_s": 120.0,
        "allow_overlap": True,
    }  # fmt: skip


def test_argse_is_the_group_rule_for_the_worst_group(relogit: Relogit) -> None:
    """Left out, score and objective are those of the old script; the objective belongs to `group` alone."""
    relogit(server := combining(rejector(), gating()), "argse", "--gating", GATING_ID)
    assert server.submitted == {"gating": GATING_ID, "score": "group", "objective": "worst"}
    relogit(server, "argse", "--score", "margin")
    assert server.submitted == {"score": "margin"}


def test_evaluate_takes_lists_of_ids(relogit: Relogit) -> None:
    """Ids may be abbreviated as of other commands."""
    server = combining(evaluation(), gating(), rejector())
    server.answers["GET /jobs"] = httpx.Response(200, json={"jobs": [gating(), rejector()]})
    relogit(server, "evaluate", "--gatings", "0004", "--rejectors", "0005", REJECTOR_ID, "--test", "final")
    assert server.submitted == {"gatings": [GATING_ID], "rejectors": [REJECTOR_ID] * 2, "test": "final"}


@pytest.mark.parametrize(
    ("command", "resource"), [("gating", "gatings"), ("argse", "rejectors"), ("evaluate", "evaluations")]
)
def test_json_is_the_resource(relogit: Relogit, command: str, resource: str) -> None:
    """With --json the output is the server's resource alone, of `status` and `wait` too."""
    view = {"gating": gating(), "argse": rejector(), "evaluate": evaluation()}[command]
    server = combining(view)
    for argv in ([command], ["status", view["id"]], ["wait", view["id"]]):
        ran = relogit(server, *argv, "--json")
        assert (ran.code, json.loads(ran.out), ran.err) == (0, view, "")
    assert f"GET /{resource}/{view['id']}" in server.asked


@pytest.mark.parametrize("view", [gating("failed"), rejector("failed"), evaluation("cancelled")])
def test_failures_exit_with_1(relogit: Relogit, view: dict[str, Any]) -> None:
    """A combination that failed or was cancelled ends its command with 1; `status` shows it and exits with 0."""
    server = combining(view)
    command = {"gating": "gating", "rejector": "argse", "evaluation": "evaluate"}[view["kind"]]
    assert [relogit(server, *argv).code for argv in ([command], ["wait", view["id"]])] == [1, 1]
    assert relogit(server, "status", view["id"]).code == 0


def test_a_folder_is_verified_before_it_is_combined(relogit: Relogit, tmp_path: Path) -> None:
    """Logits that passed are combined by the verification's id; else the checks are shown and nothing is combined."""
    (tmp_path / "ce").mkdir()
    (tmp_path / "ce" / "val_logits.npz").write_bytes(b"npz")
    server = combining(gating())
    server.verifications = [files_verification("queued"), files_verification()]
    ran = relogit(server, "gating", "--logits", str(tmp_path), "--dataset", "digits_lt")
    assert (ran.code, server.submitted) == (0, {"mode": "pretrain", "logits": VERIFICATION_ID})
    assert f"Verification {VERIFICATION_ID} passed" in ran.out
    failed = judged("failed", result("ce", "val", check("failed")))
    ran = relogit(failed, "gating", "--logits_dir", str(tmp_path))
    assert (ran.code, "POST /gatings" in failed.asked) == (1, False)
    assert "NaN or Inf" in ran.out


def test_the_default_logits_are_the_servers_choice(relogit: Relogit) -> None:
    """Without --logits the server takes its newest; with --dataset the newest of that data set."""
    relogit(server := combining(gating()), "gating")
    assert "logits" not in server.submitted
    server.answers["GET /jobs"] = httpx.Response(
        200, json={"jobs": [job(id="0009", request={"dataset": "other"}), job()]}
    )
    relogit(server, "gating", "--dataset", "digits_lt")
    assert server.submitted["logits"] == JOB_ID
    listed = next(request for request in server.requests if request.url.path == "/jobs")
    assert dict(listed.url.params) == {"kind": "recompute", "state": "succeeded", "limit": "1000"}
    ran = relogit(server, "gating", "--dataset", "none")
    assert (ran.code, "relogit recompute" in ran.err) == (2, True)


def test_logits_of_a_job(relogit: Relogit) -> None:
    """--logits takes a job's id, or its start, of the data set that was named; any other word is wrong usage."""
    server = combining(gating())
    server.answers["GET /jobs"] = httpx.Response(200, json={"jobs": [job()]})
    relogit(server, "gating", "--logits", "0001")
    assert server.submitted["logits"] == JOB_ID
    before = server.asked.count("POST /gatings")
    assert relogit(server, "gating", "--logits", JOB_ID, "--dataset", "other").code == 2
    assert relogit(server, "gating", "--logits", "no/folder").code == 2
    assert relogit(server, "gating", "--divided-by", "ce=1", "ce=2").code == 2
    assert server.asked.count("POST /gatings") == before


@pytest.mark.parametrize(("view", "word"), [(rejector(), "argse.json"), (evaluation(), "curves.csv")])
def test_download_names_where_results_are(relogit: Relogit, view: dict[str, Any], word: str) -> None:
    """Rejectors and evaluations have no logits to download; the error says where their files are."""
    ran = relogit(combining(view), "download", view["id"])
    assert (ran.code, word in " ".join(ran.err.split())) == (2, True)


def test_cancel_and_delete_know_all_kinds(relogit: Relogit) -> None:
    """They act on the job, whatever its kind."""
    server = combining(evaluation("running"))
    assert relogit(server, "cancel", EVALUATION_ID).code == 0
    server.answers[f"DELETE /jobs/{EVALUATION_ID}"] = httpx.Response(204)
    assert relogit(server, "delete", EVALUATION_ID).code == 0
    assert server.asked[-1] == f"DELETE /jobs/{EVALUATION_ID}"


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ("named", "log-linear is taken, because the request names it."),
        ("lowest", "log-linear is chosen: it has the lowest NLL, and no simpler method is as good within chance."),
    ],
)
def test_the_choice_has_a_reason(chosen: str, sentence: str) -> None:
    """One sentence tells why a method was chosen."""
    assert choice_sentence(gating_result(chosen=chosen)) == sentence
    simplest = choice_sentence(gating_result(method="uniform", chosen="simplest"))
    assert "log-linear's 1.989" in simplest


def test_the_best_values_are_bold() -> None:
    """Bold is what is best as shown: the highest accuracy and the lowest error; ties are all bold."""
    shown = table(evaluated(), 200, colours=True)
    assert f"{BOLD}49.00" in shown
    assert f"{BOLD} 41.00" in shown or f"{BOLD}41.00" in shown
    tied = evaluated(method("uniform + msp", 0.41001), method("linear + msp", 0.41004))
    assert table(tied, 200, colours=True).count(f"{BOLD}41.00") == 2 * 8


def test_a_mark_means_that_the_interval_excludes_0() -> None:
    """Marked are intervals on one side of 0, green where the method is better; an end at 0 is not marked."""
    better = method("better + msp", 0.5, 0.06)
    better["differences"]["nll"] = {"value": -0.1, "low": -0.2, "high": -0.01}
    touching = method("touching + msp", 0.5, 0.05)
    shown = table(evaluated(method("uniform + msp", 0.5), better, touching), 200, colours=True)
    differences = shown[shown.index("Difference from") :]
    assert f"{GREEN}+6.00*" in differences
    assert f"{RED}+6.00*" in differences  # an area is better where it is smaller
    assert f"{GREEN}-0.100*" in differences
    assert "+5.00*" not in differences
    assert "A higher balanced accuracy than uniform + msp: better + msp." in " ".join(shown.split())


@pytest.mark.parametrize("groups", [("head", "tail"), ("many", "medium", "few")])
def test_narrow_windows_keep_every_number_whole(groups: tuple[str, ...]) -> None:
    """In 80 columns no line is longer, no name is split, and the last group's figures are there."""
    name = "logitadjust_baseline + msp"
    several = evaluated(
        method("uniform + msp", 0.4321, groups=groups), method(name, 0.5432, groups=groups), groups=groups
    )
    lines = table(several).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert sum("logitadjust_baseline" in line for line in lines) == 3
    assert any(line.split()[0] == "method" and groups[-1] in line for line in lines if line.strip())
    assert any("44.3…64.3" in line for line in lines)
    wide = table(several, 200).splitlines()
    assert sum("logitadjust_baseline" in line for line in wide) == 2


def test_gatings_and_rules_fit_80_columns() -> None:
    """Tables of candidates and rules are readable in a narrow window."""
    fitted = {**rejector()["result"], "group_names": ["many", "medium", "few"], "rules": rules()}
    for rule in fitted["rules"]["rules"]:
        rule["group_errors"], rule["group_acceptance"] = [0.1] * 3, [0.5] * 3
    for line in (*gating_lines(gating_result()), *rejector_lines(fitted)):
        text = printed(line)
        if "─" in text:
            assert all(len(row) <= 80 for row in text.splitlines())


def test_a_missing_figure_is_a_dash() -> None:
    """A group rule has no NLL and no ECE; a group without rows has no accuracy."""
    ruled = method("linear + group-worst", 0.5)
    ruled["figures"]["tail_accuracy"] = ruled["intervals"]["tail_accuracy"] = None
    shown = table(evaluated(method("uniform + msp", 0.5), ruled), 200)
    row = next(line for line in shown.splitlines() if line.startswith("linear"))
    assert row.split().count("-") == 3
