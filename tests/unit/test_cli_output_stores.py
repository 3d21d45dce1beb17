"""What commands print of checkpoints, kept rows and splits. UPDATE_SNAPSHOTS=1 rewrites the snapshots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.fake_answers import WRONG_INDEX, comparing, keeping, kept, totals, unusable
from tests.unit.fake_server import JOB_ID, FakeServer, answering, check, expert, expert_list
from tests.unit.snapshots import Transcript

Record = dict[str, Any]


def test_experts(transcript: Transcript) -> None:
    """A checkpoint has one line in the list, and every entry of its passport in full."""
    wrong = {"code": "bad-checkpoint", "message": "The file ends early.", "details": {}}
    own = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "from": "override"}
    bad = expert("ls", state="bad", passport=None, problem=wrong)
    answer = expert_list(expert(), bad, expert("kd", transform=own), unused_overrides=["cee", "lss"])
    transcript.run("A list", answering(GET_experts=answer), "experts")
    transcript.run("No checkpoint", answering(GET_experts=expert_list()), "experts")
    full = expert(transform=own)
    full["passport"] |= {
        "stored_accuracy": {"name": "best_prec1", "value": 0.9173},
        "weights": "state_dict_ema",
        "largest_parameter": 12.3456,
        "assumed": [
            {"what": "max-pool in the stem", "value": True, "basis": "assumed", "override": "max_pool"},
            {"what": "strides of the stages", "value": [1, 2, 2, 2], "basis": "assumed", "override": "stage_strides"},
            {"what": "epsilon of the batch norms", "value": 1e-5, "basis": "assumed", "override": "batch_norm_eps"},
            {"what": "stride of the stem's convolution", "value": 2, "basis": "assumed", "override": None},
            {"what": "padding", "value": "symmetric", "basis": "declared", "override": "option_a_padding"},
        ],
    }
    transcript.run("A passport", answering(GET_experts__ce=full), "experts", "ce")
    transform = {"mean": [0.5, 0.25], "std": [0.125, 1.0]}
    evidence = {"verdict": "undecidable", "message": "It may fit.", "channel_order": {"message": "RGB fits best."}}
    hinted = expert(normalisation=evidence | {"hint": {"transform": transform}}, proposal=None)
    transcript.run("A hint", answering(GET_experts__ce=hinted), "experts", "ce")
    proposed = expert(normalisation=evidence | {"verdict": "contradicted"}, proposal=["mean = [0.5]", "std = [0.5]"])
    transcript.run("A proposal", answering(GET_experts__ce=proposed), "experts", "ce")
    transcript.run("A bad checkpoint", answering(GET_experts__ls=bad), "experts", "ls")
    transcript.check("experts")


def test_rows(transcript: Transcript) -> None:
    """Kept rows are listed, checked and removed by key; what is damaged is computed again."""
    whole, half, broken = kept("ab"), kept("ff", precision="bf16", rows=5000), unusable("ac")
    transcript.run("A list", keeping(whole, half, broken), "rows")
    transcript.run("No rows", keeping(), "rows")
    transcript.run("Whole rows", keeping(whole, half), "rows", "verify")
    transcript.run("Damaged rows", keeping(whole, broken, damaged=3), "rows", "verify")
    transcript.run("No rows to check", keeping(), "rows", "verify")
    transcript.run("Several keys of that start", keeping(whole, broken), "rows", "verify", "A")
    transcript.run("No key of that start", keeping(whole), "rows", "verify", "b")
    for title, removed, freed in (
        ("Removed", [whole], 4_100_000),
        ("Nothing removed", [], 0),
        ("After a crash", [], 5000),
    ):
        answer = {"removed": removed, "freed_bytes": freed, "left": totals(half)}
        transcript.run(title, answering(POST_rows__prune=answer), "rows", "prune", "--max-size", "1TB")
    transcript.run("No limit", FakeServer(), "rows", "prune")
    transcript.run("A limit without a unit", FakeServer(), "rows", "prune", "--max-size", "10")
    transcript.check("rows")


def test_gc(transcript: Transcript) -> None:
    """What goes, or would, is listed and summed up; what the disk keeps back fails the command."""
    finished = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    gone = {"id": JOB_ID, "kind": "recompute", "state": "failed", "bytes": 38_000_000, "finished_at": finished}
    left = {"jobs": {"jobs": 1, "bytes": 1000}, "rows": totals()}
    answer: Record = {
        "jobs": [gone], "rows": [kept("ab")], "unreferred_bytes": 500, "freed_bytes": 42_100_500,
        "left": left, "kept_back": [], "dry_run": False,
    }  # fmt: skip
    transcript.run("Removed", answering(POST_gc=answer), "gc")
    transcript.run("A dry run", answering(POST_gc=answer | {"dry_run": True}), "gc", "--dry-run")
    transcript.run("Kept back", answering(POST_gc=answer | {"kept_back": ["The disk refused x."]}), "gc")
    nothing = answer | {"jobs": [], "rows": [], "unreferred_bytes": 0, "freed_bytes": 0}
    transcript.run("Nothing", answering(POST_gc=nothing), "gc")
    transcript.check("gc")


def test_splits(transcript: Transcript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets are listed, shown, compared and imported; a bad list is named and fails the command."""
    monkeypatch.chdir(tmp_path)
    made = {"profile": "step", "imbalance_factor": 50.0, "seed": 3, "made_by": "relogit 1", "made_at": "t"}
    lists = [
        {"name": "train", "base": "train", "size": 1234, "problem": None},
        {"name": "val", "base": None, "size": None, "problem": WRONG_INDEX},
    ]
    sets = [{"name": "lt", "own": True, "description": made, "problem": None, "splits": lists}]
    transcript.run("All sets", answering(GET_splits={"sets": sets}), "splits")
    transcript.run("No sets", answering(GET_splits={"sets": []}), "splits")
    transcript.run("No own set", answering(GET_splits={"sets": []}), "splits", "check")
    shown = [
        dict(zip(("name", "base", "size", "state", "class_counts", "problem"), values, strict=True))
        for values in (
            ("train", "train", 575, "ready", [500, 70, 5], None),
            ("val", "test", 20, "ready", [10, 0, 10], None),
            ("test", None, None, "unread", None, None),
            ("tunev", "test", None, "bad", None, WRONG_INDEX),
        )
    ]
    groups: Record = {
        "many": [0],
        "medium": [1],
        "few": [2],
        "head": [0, 1],
        "tail": [2],
        "train_counts": [500, 70, 5],
    }
    groups |= {"source": "train_class_counts.json", "head_threshold": 20}
    transcript.run("A set", answering(GET_splits__s={"splits": shown, "groups": groups}), "splits", "show", "data/s/")
    transcript.run("No groups", answering(GET_splits__s={"splits": shown[:2], "groups": None}), "splits", "show", "s")
    transcript.run("No lists", answering(GET_splits__s={"splits": [], "groups": None}), "splits", "show", "s")
    checks = {
        "val": [check("failed", id="schema", message="Wrong.")],
        "test": [check("skipped", message="Not read.")],
    }
    audit: Record = {"state": "ready", "name": "s", "verdict": "failed", "checks": [check()], "lists": checks}
    transcript.run("A failed audit", answering(GET_splits__s__audit=audit), "splits", "check", "s")
    audit |= {"verdict": "passed", "lists": {"val": [check()], "test": checks["test"]}}
    transcript.run("An unread list", answering(GET_splits__s__audit=audit), "splits", "check", "s")
    audit |= {"lists": {"val": [check()]}}
    transcript.run("A passed audit", answering(GET_splits__s__audit=audit), "splits", "check", "s")

    transcript.run("Equal sets", comparing({"val": [1, 2]}, {"val": [1, 2]}), "splits", "diff", "A", "B")
    first = {"val": [0, 1, 2], "test": [5, 6], "train": [7]}
    second = {"val": [2, 1, 0, 0], "test": [5, 7], "new": [8, 9]}
    transcript.run("Changes", comparing(first, second, None), "splits", "diff", "A", "B")
    other = {"state": "ready", "checks": []}
    server = comparing(
        {"val": WRONG_INDEX, "test": [3, 4], "audit": other}, {"val": [1, 2], "test": [3, 4], "audit": other}
    )
    transcript.run("Unreadable lists", server, "splits", "diff", "A", "B")
    refused = {"ok": False, "problems": [{"code": "x", "detail": "No expert."}]}
    server = comparing({"val": [1]}, {"val": [1]})
    server.answers["POST /jobs/plan"] = httpx.Response(200, json=refused)
    transcript.run("No cost", server, "splits", "diff", "A", "B")

    (tmp_path / "ok_indices.txt").write_text("1")
    lists_made = {"val": {"base": "test", "size": 1}}
    answer = {"name": "x", "lists": lists_made, "doubtful": ["There is no class_weights.json."]}
    transcript.run(
        "An import", answering(POST_splits__import=answer), "splits", "import", "x", ".", "--map", "ok=val"
    )
    transcript.run("An unknown list", FakeServer(), "splits", "import", "x", ".", "--map", "no=val")
    twice = ("--map", "ok=val", "--map", "ok=test:train")
    transcript.run("Two names", FakeServer(), "splits", "import", "x", ".", *twice)
    (tmp_path / "ok_indices.txt").write_text("1_0")
    transcript.run("No number", FakeServer(), "splits", "import", "x", ".")
    transcript.check("splits")
