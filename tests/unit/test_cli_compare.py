"""`relogit compare`: sides, exit codes, what it prints, and tables for papers."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

import relogit
from app.domain.comparisons import Cause
from relogit.render.comparison import comparison_lines, p_text, pair_sentence
from tests.unit.command_line import Relogit
from tests.unit.compared_outcomes import (
    COMPARISON_ID,
    JOB,
    OTHER,
    SKIPPED,
    comparing,
    figures,
    holm,
    outcome,
    pair,
    request,
    same,
    side,
    view,
)
from tests.unit.fake_server import JOB_ID, VERIFICATION_ID, FakeServer, npz, problem
from tests.unit.snapshots import Transcript

DOUBT = "ce / test failed the check 'targets': 423 of 480 targets are not the data set's labels."


def result_of(data: dict[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = data["result"]
    return known


def printed(data: dict[str, Any], width: int) -> str:
    """What a window of that width shows, without colours."""
    console = Console(width=width, file=io.StringIO(), highlight=False, soft_wrap=True)
    with console.capture() as captured:
        for line in comparison_lines(data, console):
            console.print(line)
    return captured.get()


def three() -> dict[str, Any]:
    """Three experts, one of them with a doubtful file, and a pair that was skipped."""
    sides = (side("ce"), side("bal"), side("adj", doubts=(DOUBT,)))
    unknown = Cause("unknown", "No cause is proved.", excluded=("Not a temperature: 10.6 remains.",))
    pairs = (
        holm(pair("ce", "bal"), 0.0492),
        holm(pair("ce", "adj", figures=figures({"tail_accuracy": None}), cause=unknown), 1.0),
        holm(pair("bal", "adj", logits=None), 1e-9),
    )
    return view(request(*sides), outcome(*pairs, skipped=(SKIPPED,)))


def test_compare(transcript: Transcript) -> None:
    """Tables by split stand above sentences for each pair, the cause, and what the numbers do not say."""
    transcript.run("Two experts of a job", comparing(view()), "compare", f"{JOB}:ce", f"{JOB}:bal")
    transcript.run("All pairs", comparing(three()), "compare", JOB)
    sides = request(side("11111111:ce"), side("22222222:ce", OTHER))
    precise = view(sides, outcome(same("11111111:ce", "22222222:ce")))
    transcript.run("Two jobs", comparing(precise), "compare", JOB, OTHER)
    transcript.run("LaTeX", comparing(three()), "compare", JOB, "--format", "latex")
    transcript.run("Markdown", comparing(view()), "compare", JOB, "--format", "markdown")
    transcript.run("Without waiting", comparing(view(state="queued")), "compare", JOB, "--no-wait")
    transcript.run("It fails", comparing(view(state="failed")), "wait", COMPARISON_ID)
    transcript.run("As it is", comparing(view()), "status", COMPARISON_ID)
    transcript.run("It has no logits", comparing(view()), "download", COMPARISON_ID)
    server = comparing(view())
    server.answers["POST /comparisons/plan"] = httpx.Response(200, json=planned(three()))
    transcript.run("A plan", server, "compare", JOB, "--plan")
    server.answers["POST /comparisons"] = problem(422, "same-logits", "Both sides are ce of job 1. Name two.")
    transcript.run("Nothing to compare", server, "compare", f"{JOB}:ce", f"{JOB}:ce")
    transcript.run("Neither a job nor a folder", FakeServer(), "compare", "nowhere")
    transcript.check("compare")


def planned(data: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "problems": [], "request": data["request"], "kept": COMPARISON_ID}


def test_sides_are_jobs_and_their_experts(relogit: Relogit) -> None:
    """`latest` is the newest recompute job, which is also the default; options go with them."""
    server = comparing(view())
    relogit(server, "compare", f"{JOB}:ce", OTHER, "--splits", "val", "test", "--output-dir", "outputs/mine")
    assert server.submitted == {
        "a": {"job": JOB, "expert": "ce"}, "b": {"job": OTHER}, "splits": ["val", "test"], "output_dir": "mine"
    }  # fmt: skip
    relogit(server, "compare", "latest:bal", f"{JOB}:ce", "--name", "n", "--deadline", "2min")
    assert server.submitted == {
        "a": {"job": JOB_ID, "expert": "bal"}, "b": {"job": JOB, "expert": "ce"}, "name": "n", "deadline_s": 120.0
    }  # fmt: skip
    relogit(server, "compare")
    assert server.submitted == {"a": {"job": JOB_ID}}


def test_a_folder_is_verified_first_as_the_other_sides_job_is(relogit: Relogit, tmp_path: Path) -> None:
    """Against its data set and lists; a failed verification is compared all the same, and the output says so."""
    (tmp_path / "ce").mkdir()
    (tmp_path / "ce" / "val_logits.npz").write_bytes(npz())
    server = comparing(view())
    failed = {**server.verifications[0], "verdict": "failed"}
    server.verifications = [failed]
    ran = relogit(server, "compare", f"{JOB}:ce", str(tmp_path))
    assert ran.code == 0, ran.err
    [verified, compared] = [json.loads(r.content) for r in server.requests if r.content[:1] == b"{"]
    assert (verified["dataset"], verified["splits_dir"]) == ("digits_lt", "own_splits")
    assert compared == {"a": {"job": JOB, "expert": "ce"}, "b": {"job": VERIFICATION_ID}}
    assert f"Verification {VERIFICATION_ID} failed" in ran.out


def test_a_single_file_is_of_the_expert_and_split_that_the_command_names(relogit: Relogit, tmp_path: Path) -> None:
    """Its own name need not tell them."""
    (tmp_path / "published.npz").write_bytes(npz())
    server = comparing(view())
    relogit(server, "compare", f"{JOB}:ce", str(tmp_path / "published.npz"), "--splits", "test")
    [verified, _] = [json.loads(r.content) for r in server.requests if r.content[:1] == b"{"]
    assert (verified["expert"], verified["split"]) == ("ce", "test")


def test_wrong_usage_is_refused_before_anything_is_sent(relogit: Relogit, tmp_path: Path) -> None:
    """With what would be right."""
    (tmp_path / "logits").mkdir()
    server = comparing(view())
    for argv, words in (
        (["nowhere"], "`relogit jobs` lists the ids"),
        ([":ce"], "is neither JOB, JOB:EXPERT, a folder nor a file"),
        ([str(tmp_path / "logits"), "--plan"], "A plan verifies nothing"),
        ([JOB, "--dataset", "other"], "is of the data set 'digits_lt'"),
        ([JOB, "--splits"], "--splits needs at least one name"),
    ):
        ran = relogit(server, "compare", *argv)
        assert (ran.code, "POST /comparisons" in server.asked) == (2, False)
        assert words in " ".join(ran.err.split()).replace("│ ", ""), ran.err


def test_json_is_all_that_is_printed(relogit: Relogit) -> None:
    """With the request and the result; a comparison that failed ends with 1."""
    ran = relogit(comparing(view()), "compare", JOB, "--json")
    assert json.loads(ran.out)["result"]["pairs"][0]["mcnemar"]["only_b"] == 65
    assert (ran.code, ran.err) == (0, "")
    assert relogit(comparing(view(state="failed")), "compare", JOB, "--json").code == 1


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, "1.0000"), (0.0001, "0.0001"), (0.00009, "9.0e-05"), (1e-118, "1.0e-118")]
)
def test_no_p_value_is_written_as_0(p: float, text: str) -> None:
    """Below four digits the power of ten stands."""
    assert p_text(p) == text


def test_the_sentence_of_a_pair_is_the_adjusted_tests() -> None:
    """p under 5 % that Holm lifts above is no difference."""
    [alone] = result_of(view())["pairs"]
    assert pair_sentence(alone, 0.95) == (
        "ce is right where bal is wrong in 41 samples, the other way round in 65; p = 0.0246: the two differ in "
        "accuracy beyond chance."
    )
    [one_of_three] = result_of(view(result=outcome(holm(pair(), 0.0738))))["pairs"]
    assert "p = 0.0246 (0.0738 after Holm over 3 pairs): these samples do not tell the two apart." in pair_sentence(
        one_of_three, 0.95
    )
    [equal] = result_of(view(result=outcome(same())))["pairs"]
    assert pair_sentence(equal, 0.95) == "ce and old:ce are right in the same samples."


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_number_is_cut_in_a_narrow_window(width: int) -> None:
    """Names fold, and optional columns are left out."""
    text = printed(three(), width)
    assert "+2.43*" in text
    assert "0.10…4.80" in text
    assert "…\n" not in text


def test_names_cannot_write_to_the_terminal() -> None:
    """Control characters in labels and sentences are escaped."""
    evil = "\x1b[31mce"
    data = view(request(side(evil), side("bal")), outcome(pair(evil, "bal")))
    text = printed(data, 100)
    assert "\\x1b[31mce" in text
    assert "\x1b" not in text


def test_the_client_compares_by_ids(relogit: Relogit) -> None:
    """Handles have pairs and doubts; they are listed, found by id, planned and cancelled."""
    del relogit
    doubtful = view(request(side("ce", doubts=(DOUBT,)), side("bal")))
    server = comparing(doubtful)
    server.answers["POST /comparisons/plan"] = httpx.Response(200, json=planned(doubtful))
    with client_of(server) as client:
        comparison = client.compare(f"{JOB}:ce", OTHER, splits=["test"]).wait()
        assert server.submitted == {"a": {"job": JOB, "expert": "ce"}, "b": {"job": OTHER}, "splits": ["test"]}
        assert [item["a"] for item in comparison.pairs] == ["ce"]
        assert comparison.doubts == [f"ce: {DOUBT}"]
        assert [item.id for item in client.comparisons()] == [COMPARISON_ID]
        assert client.get_comparison(COMPARISON_ID).cancel().result == comparison.result
        assert client.plan_comparison(JOB)["ok"]
        assert server.submitted == {"a": {"job": JOB}}
    with client_of(comparing(view(state="queued"))) as client:
        assert client.compare(JOB).pairs == []


def client_of(server: FakeServer) -> relogit.Client:
    return relogit.Client("http://test", transport=server.transport)


def test_a_pair_of_other_classes_has_no_gap() -> None:
    """max |Δ| is then a dash, not 0."""
    [row] = [
        line
        for line in printed(view(result=outcome(replace(pair(), logits=None))), 120).splitlines()
        if line.endswith("other weights")
    ]
    assert row.split()[-3] == "-"
