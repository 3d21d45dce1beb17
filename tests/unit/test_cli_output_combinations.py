"""What commands print of gatings, rejectors and evaluations. UPDATE_SNAPSHOTS=1 rewrites the snapshots."""

from __future__ import annotations

import httpx

from tests.unit.fake_combinations import (
    EVALUATION_ID,
    GATING_ID,
    REJECTOR_ID,
    WARNING,
    candidates,
    combining,
    evaluated,
    evaluation,
    gating,
    gating_result,
    method,
    part,
    rejector,
    rules,
)
from tests.unit.fake_server import FakeServer, answering, job, problem
from tests.unit.snapshots import Transcript

BROKEN = {"code": "logits-changed", "message": "The logits were changed.", "details": {}}


def test_gating(transcript: Transcript) -> None:
    """Candidates come with the reason of the choice, then parameters, rules and files."""
    transcript.run("The lowest NLL", combining(gating()), "gating")
    weighted = gating_result(
        method="uniform", chosen="simplest", checks=[WARNING], prior="train", fit=part("tunev", 1000, 420.2),
        rules=rules(objective="balanced"),
    )  # fmt: skip
    transcript.run("The simplest, with rules", combining(gating(result=weighted)), "gating", "--mode", "selective")
    net = candidates()[-1]
    imported = {**net, "parameters": {**net["parameters"], "best_epoch": None}, "nll_difference": None}
    named = gating_result(method="net", chosen="named", candidates=[imported])
    transcript.run("An old network", combining(gating(result=named)), "gating", "--net-file", "checkpoints/old.ckpt")
    transcript.run("It fails", combining(gating("failed", error=BROKEN)), "gating")
    transcript.run("Without waiting", combining(gating("queued")), "gating", "--no-wait")
    transcript.run("A temperature without an expert", FakeServer(), "gating", "--divided-by", "1.5")
    server = FakeServer()
    server.answers["POST /gatings"] = problem(422, "no-logits", "No recompute job has succeeded yet.")
    transcript.run("No logits", server, "gating")
    transcript.run("What has been asked for", combining(gating("running")), "status", GATING_ID)
    transcript.check("gating")


def test_argse(transcript: Transcript) -> None:
    """Errors of the groups stand beside their acceptance, and the caveats below them."""
    transcript.run("The rule for the worst group", combining(rejector()), "argse")
    fitted = rejector()["result"]
    same = {**fitted, "rules": rules(u=(1.0, 1.0)), "effective_rows": 420.0}
    transcript.run("Weights of groups do not help", combining(rejector(result=same)), "argse")
    plain = {**fitted, "rules": rules("msp", u=())}
    transcript.run("Another score", combining(rejector(result=plain)), "argse", "--score", "msp")
    server = FakeServer()
    server.answers["POST /rejectors"] = problem(422, "no-gating", "No gating has succeeded yet.")
    transcript.run("No gating", server, "argse")
    transcript.run("It has no logits", combining(rejector()), "download", REJECTOR_ID)
    transcript.check("argse")


def test_evaluate(transcript: Transcript) -> None:
    """The table of all methods and the differences stand above what they do not say."""
    transcript.run("All methods", combining(evaluation()), "evaluate")
    only = evaluation()
    only["result"] |= {
        "evaluation": evaluated(method("uniform + msp", 0.5), effective_rows=420.0),
        "checks": [WARNING],
    }
    transcript.run("Nothing to compare", combining(only), "evaluate", "--allow-overlap")
    server = FakeServer()
    server.answers["POST /evaluations"] = problem(422, "overlap", "'test' shares 1,309 samples with 'val'.")
    transcript.run("Test rows that were fitted on", server, "evaluate")
    transcript.run("It fails", combining(evaluation("failed", error=BROKEN)), "wait", EVALUATION_ID)
    transcript.run("It has no logits", combining(evaluation()), "download", EVALUATION_ID)
    transcript.check("evaluate")


def test_jobs_of_every_kind(transcript: Transcript) -> None:
    """`jobs` lists all kinds; those without logits of their own cannot be verified, and say where their result is."""
    several = [gating("running"), rejector(), evaluation("queued")]
    for state, until in (("running", "evaluation"), ("succeeded", "splits"), ("succeeded", "recompute")):
        request = {"dataset": "digits_lt", "until": until}
        several.append(job(state, id="0007abcd", kind="run", request=request, units=[], verdict=None))
    server = FakeServer()
    server.answers["GET /jobs"] = httpx.Response(200, json={"jobs": several})
    transcript.run("All kinds", server, "jobs")
    transcript.run("A rejector is not verified", combining(rejector()), "verify", REJECTOR_ID)
    transcript.run("Nor is an evaluation", combining(evaluation()), "verify", EVALUATION_ID)
    missing = answering(GET_jobs__0009=problem(404, "job-not-found", "There is no job '0009'."))
    transcript.run("There is no such job", missing, "status", "0009")
    transcript.check("combined_jobs")
