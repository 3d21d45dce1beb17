"""What commands print of jobs, plans and verifications. UPDATE_SNAPSHOTS=1 rewrites the snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit import snapshots
from tests.unit.fake_answers import plan, planned
from tests.unit.fake_server import (
    JOB_ID,
    UPLOAD_ID,
    VERIFICATION_ID,
    FakeServer,
    answering,
    causes,
    check,
    entry,
    files_verification,
    job,
    judged,
    problem,
    raising,
    result,
    statistics,
    unit,
    verification,
)
from tests.unit.snapshots import Transcript

Record = dict[str, Any]


def test_every_snapshot_belongs_to_a_test() -> None:
    """A snapshot that no test compares would hold nothing."""
    assert sorted(path.stem for path in snapshots.FOLDER.iterdir()) == sorted(snapshots.NAMES)


def test_recompute(transcript: Transcript) -> None:
    """Each change of state is a line; failures come before figures, and the verdict comes last."""
    transcript.run(
        "Success", FakeServer(job("queued"), job("running", units=[unit(state="running")]), job()), "recompute"
    )
    available = {"available": ["linear.weight"]}
    error = {"code": "bad-checkpoint", "message": "fc.weight is missing.", "details": available}
    server = FakeServer(job("failed", units=[unit(), unit("test", "failed", error=error, notes=["Batch halved."])]))
    server.verification = verification("failed")
    transcript.run("A unit fails", server, "recompute")
    server = FakeServer(job("failed", units=[unit()]))
    server.verification = verification("failed", [check("failed")])
    transcript.run("Only the verification fails", server, "recompute")
    broken = {"code": "broken", "message": "It broke.", "details": {}}
    transcript.run("The whole job fails", FakeServer(job("failed", error=broken)), "wait", JOB_ID)
    transcript.run("Cancelled by somebody", FakeServer(job("cancelled")), "wait")
    transcript.run("Without waiting", FakeServer(), "recompute", "--no-wait", "--server", "http://other.test")
    checks = {"worker": {"ok": False, "detail": "No worker is alive."}, "store": {"ok": True, "detail": "/store"}}
    server = answering(GET_readyz=httpx.Response(503, json={"ready": False, "checks": checks}))
    transcript.run("No worker is alive", server, "recompute", "--no-wait")
    server = raising(KeyboardInterrupt(), f"GET /jobs/{JOB_ID}", FakeServer(job("running")))
    transcript.run("Ctrl-C", server, "recompute", "--server", "http://other.test")
    transcript.check("recompute")


def test_jobs(transcript: Transcript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of all kinds are listed, shown, cancelled, deleted and downloaded by any start of their id."""
    monkeypatch.chdir(tmp_path)
    splits = job(
        id="0004abcd", kind="splits", request={"dataset": "digits_lt", "name": "lt_50"}, units=[], verdict=None
    )
    jobs = [job("running", units=[unit(), unit("test", "running")]), files_verification(units=[]), splits]
    transcript.run("All kinds", answering(GET_jobs={"jobs": jobs}), "jobs")
    transcript.run("No jobs", answering(GET_jobs={"jobs": []}), "jobs")
    figures: Record = {"done": 1, "total": 3, "reused": 1, "rate": 1500.0, "remaining_s": 65.0}
    running = job("running", units=[unit(reused=3, computed=0), unit("test", "running", **figures, attempts=2)])
    transcript.run("Running", FakeServer(running), "status", "0001")
    transcript.run("Queued", FakeServer(job("queued", units=[unit(state="queued")])), "status")
    transcript.run("A verification", FakeServer(), "status", VERIFICATION_ID)
    transcript.run("Splits", answering(**{f"GET_jobs__{JOB_ID}": splits}), "status", JOB_ID)
    transcript.run("Cancel", FakeServer(), "cancel")
    transcript.run("Delete", FakeServer(), "delete", "0001")
    transcript.run(
        "Several jobs of that start", answering(GET_jobs={"jobs": [job(), job(id="0001ef01")]}), "delete", "0001"
    )
    transcript.run("Download", FakeServer(), "download", "--to", "new")
    transcript.run("Download again", FakeServer(), "download", "--to", "new")
    transcript.run("Download of a failed job", FakeServer(job("failed")), "download")
    transcript.run("Download of a verification", FakeServer(), "download", VERIFICATION_ID)
    (tmp_path / "file").write_text("")
    transcript.run("Download over a file", FakeServer(), "download", "--to", "file")
    transcript.check("jobs")


def test_errors(transcript: Transcript) -> None:
    """Each wrong item has its line, with what is available unless the item names it."""
    errors: list[Record] = [
        {"code": "unknown-expert", "detail": "No expert x.", "available": ["ce", "ls"]},
        {"code": "unknown-split", "detail": "No split y. There are: val.", "available": ["val"]},
        {"code": "invalid-name", "detail": "Bad folder [red].", "pointer": "/output_dir"},
    ]
    refusal = problem(422, "invalid-request", " ".join(item["detail"] for item in errors), errors)
    transcript.run("A refusal of several items", answering(POST_jobs=refusal), "recompute")
    detail = "No checkpoint in e has the prefix 'best_'. Files there: ce."
    for title, available in (("Unknown prefix", ["ce"]), ("Unknown prefix, and no files", [])):
        items = [{"code": "unknown-prefix", "detail": detail, "available": available}]
        transcript.run(title, answering(GET_experts=problem(404, "unknown-prefix", detail, items)), "experts")
    refused = raising(httpx.ConnectError("Connection refused"), "GET /jobs", FakeServer())
    transcript.run("Out of reach", refused, "jobs")
    transcript.run("The server breaks", answering(GET_splits=problem(500, "internal", "It broke.")), "splits")
    transcript.run("No relogit server", answering(GET_jobs=httpx.Response(200, text="hello")), "jobs")
    transcript.run("An error page", answering(GET_jobs=httpx.Response(502, text="<html>")), "jobs")
    transcript.run("An address", FakeServer(), "jobs", "--server", "localhost:8000")
    transcript.run("An unknown id", FakeServer(), "delete", "other")
    transcript.run("An empty list", FakeServer(), "recompute", "--experts", "--splits", "val")
    transcript.run("A wrong value, as JSON", FakeServer(), "--json", "recompute", "--batch-size", "many")
    transcript.run("A wrong floor", FakeServer(), "recompute", "--floor", "accuracy=half")
    transcript.check("errors")


def test_plan(transcript: Transcript) -> None:
    """The cost is a table and a sentence; what is not known has its reason once; problems go to stderr."""

    def run(title: str, answer: Record) -> None:
        transcript.run(title, answering(POST_jobs__plan=answer), "recompute", "--plan")

    free = planned("test", reused=10_000, computed=0, seconds=0.1)
    run("All is known", plan(planned(), free, planned("tunev", seconds=9.7)))
    unknown = planned(seconds=None, reasons={"seconds": "No worker has timed a cifar_resnet32 in fp32."})
    run("No time", plan(unknown, unknown))
    nothing = planned(reused=None, computed=None, seconds=None, reasons={"reused": "There is no worker for this."})
    warning = {"code": "no-worker", "detail": "No worker is alive. Start one with: python -m worker"}
    run("No worker", plan(nothing, arithmetic=None, warnings=[warning]))
    evidence = {"verdict": "supported", "severity": "info", "message": "It fits."}
    doubt = {"verdict": "undecidable", "severity": "info", "message": "Too few rows."}
    run("Normalisation", plan(planned(), normalisation={"ce": evidence, "ls": doubt, "kd": None}))
    wrong = [
        {"code": "unknown-split", "detail": "No split y.", "available": ["val", "test"]},
        {"code": "disk-too-full", "detail": "There is no room."},
    ]
    run("Problems", plan(planned(), ok=False, problems=wrong))
    run("Nothing can be planned", plan(ok=False, problems=wrong[:1], arithmetic=None))
    transcript.check("plan")


def test_verify(transcript: Transcript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are verified in place or uploaded; errors come first with their causes, then warnings, then figures."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs/logits_fixed"
    (folder / "ce").mkdir(parents=True)
    (folder / "ce/val_logits.npz").write_bytes(b"logits")
    transcript.run("Passed", FakeServer(), "verify")
    request = files_verification()["request"] | {"recompute": 20}
    server = FakeServer()
    server.verifications = [files_verification("queued", request=request), files_verification()]
    transcript.run("Rows to recompute", server, "verify", "--recompute", "20")

    chance = check("failed", id="accuracy", message="These logits do not belong to these samples.")
    low = check("failed", "warning", id="floor", message="Low.")
    server = judged("failed", result("ce", "tunev", low, chance), result("ce", "val", check(), verdict="passed"))
    server.analyses["causes"] = [entry(causes(), split="tunev"), entry(None, "none")]
    transcript.run("No better than chance", server, "verify")
    server.analyses["causes"] = [entry(None, "failed", split="tunev", error={"message": "The file was changed."})]
    transcript.run("The search for a cause fails", server, "verify")

    repeats = check("failed", "warning", id="repeats", message="Rows repeat.", evidence=[{"row": 1}, {"row": 2}])
    floors = [check("failed", "warning", id="floor", message="Low.", measured=number) for number in (1, 1, 2)]
    skipped = [check("skipped", id=name, message="No weights.") for name in ("weights", "reweighted")]
    shapes = check("failed", id="shapes", message="Wrong.")
    provenance = check("skipped", "warning", id="provenance", message="Nothing shows where it comes from.")
    overlap = check("failed", "warning", id="overlap", message="They overlap.")
    results = [
        result("ce", "val", repeats, floors[0], *skipped, verdict="passed"),
        result("ls", "val", repeats, floors[1], *skipped, verdict="passed"),
        result("ce", "test", floors[2], shapes, *skipped),
    ]
    transcript.run(
        "One entry for several results", judged("failed", *results, checks=[overlap, provenance]), "verify"
    )
    transcript.run("Passed with warnings", judged("passed", *results[:2], checks=[overlap, provenance]), "verify")

    unreadable = result("ce", "val", check("failed"))
    names = [name for name in unreadable["metrics"] if name.endswith("accuracy")]
    unreadable["metrics"] = {**dict.fromkeys(names), "reasons": dict.fromkeys(names, "The file is cut short.")}
    unreadable["error"] = {"code": "unreadable", "message": "It cannot be read.", "details": {}}
    transcript.run("A file that cannot be read", judged("failed", unreadable), "verify")

    server = judged("passed", result("ce", "val", verdict="passed"), result("ce", "test", verdict="passed"))
    server.analyses["statistics"] = [entry(statistics()), entry(None, "none", split="test")]
    transcript.run("All figures", server, "verify", "--full")

    names = ["nll", "brier", "ece", "ece_equal_mass", "aurc", "e_aurc", "augrc"]
    softmaxed = result("ce", "val", check("failed", "warning", id="raw-logits"), verdict="passed")
    reasons = dict.fromkeys(names, "The file holds probabilities.")
    softmaxed["metrics"] |= dict.fromkeys(names) | {"reasons": reasons}
    analysis = statistics()
    analysis["intervals"]["figures"]["nll"] = None
    analysis["areas"] = dict.fromkeys(analysis["areas"])
    server = judged("passed", softmaxed)
    server.analyses["statistics"] = [entry(analysis)]
    transcript.run("Probabilities instead of logits", server, "verify", "--full")

    server = FakeServer()
    server.verifications = [files_verification("failed", error={"code": "x", "message": "It broke.", "details": {}})]
    transcript.run("Not carried out", server, "verify", VERIFICATION_ID)
    server = raising(KeyboardInterrupt(), f"PUT /uploads/{UPLOAD_ID}/ce/val_logits.npz", FakeServer())
    transcript.run("Ctrl-C during the upload", server, "verify")
    transcript.run("Neither a path nor an id", FakeServer(), "verify", "outputs/old")
    transcript.run("An id takes no other option", FakeServer(), "verify", JOB_ID, "--dataset", "d")
    (tmp_path / "empty").mkdir()
    transcript.run("No logits", FakeServer(), "verify", "empty")
    for number in range(7):
        (folder / f"{number}.npy").write_bytes(b"")
    transcript.run("Other files", FakeServer(), "verify")
    folder.rename(tmp_path / "outputs/other")
    transcript.run("No default folder", FakeServer(), "verify")
    transcript.check("verify")


def test_verify_job(transcript: Transcript) -> None:
    """A job's own checks are shown like those of files; a reason for missing figures is told once."""
    server = FakeServer()
    failed = check("failed", measured={"rows": 7}, evidence=[{"row": number} for number in range(6)])
    floor = check("failed", "warning", id="floor", message="Low.")
    server.verification = verification("failed", [check(), floor, check("skipped", id="tail"), failed])
    transcript.run("Errors first", server, "verify", JOB_ID)
    stored = check("failed", id="stored-file", measured="cd", expected="ab", message="The stored file was changed.")
    shown = check("failed", "warning", id="shown-file", measured=None, expected="ab", message="It was replaced.")
    alien = check("failed", "warning", id="shown-file", measured=None, expected=None, message="Not of this job.")
    server.verification = verification("failed", [check(), shown, stored, alien])
    transcript.run("A changed file", server, "verify", JOB_ID)
    transcript.run("A changed file of a job that succeeded", server, "wait", JOB_ID)
    server.verification = verification()
    reasons = {"reweighted_accuracy": "no weights", "head_accuracy": "no counts", "tail_accuracy": "no counts"}
    server.verification["results"][0]["metrics"]["reasons"] = reasons
    server.verification["results"] *= 2
    transcript.run("Missing figures", server, "verify", JOB_ID)
    server.verification = verification("pending")
    transcript.run("Not all results yet", server, "verify", JOB_ID)
    transcript.check("verify_job")
