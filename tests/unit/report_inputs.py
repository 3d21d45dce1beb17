"""What the API says of a job, as the report page takes it: made small, for any number of experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.report.view import Sources

Record = dict[str, Any]

CLASSES = 4


def check(name: str, verdict: str, **more: Any) -> Record:
    empty: Record = {
        "level": "error",
        "measured": None,
        "expected": None,
        "message": f"{name} is {verdict}.",
        "evidence": [],
    }
    return {"id": name, "verdict": verdict} | empty | more


def metrics(**more: Any) -> Record:
    known = {"samples": 2000, "accuracy": 0.5, "balanced_accuracy": 0.4, "nll": 1.25, "ece": 0.125, "aurc": 0.0625}
    none = dict.fromkeys(("reweighted_accuracy", "head_accuracy", "tail_accuracy"))
    reasons = dict.fromkeys(none, "There are no train counts.")
    return known | none | {"class_recalls": [1.0, 0.5, 0.0, None], "reasons": reasons} | more


def result(expert: str, split: str = "val", checks: Sequence[Record] = (), **more: Any) -> Record:
    failed = any(item["verdict"] == "failed" and item["level"] == "error" for item in checks)
    verdict = "failed" if failed else "passed"
    found = {"expert": expert, "split": split, "verdict": verdict, "checks": list(checks), "error": None}
    return found | {"metrics": metrics()} | more


def statistics(*, grouped: bool = False) -> Record:
    line = {"coverage": [0.25, 0.5, 1.0], "risk": [0.0, 0.1, 0.5]}
    others = ("balanced_risk_coverage", "worst_group_risk_coverage")
    return {
        "intervals": {
            "level": 0.95,
            "resamples": 1000,
            "seed": 0,
            "method": "percentile bootstrap, stratified by class",
            "figures": {"accuracy": [0.45, 0.55], "nll": [1.0, 1.5], "head_accuracy": None},
        },
        "curves": {"risk_coverage": line} | dict.fromkeys(others, line if grouped else None),
        "areas": {"risk_coverage": 0.0625} | dict.fromkeys(others, 0.1 if grouped else None),
        "reliability": [
            {"from": 0.0, "to": 0.5, "rows": 0, "confidence": None, "accuracy": None},
            {"from": 0.5, "to": 0.75, "rows": 500, "confidence": 0.6, "accuracy": 0.7},
            {"from": 0.75, "to": 1.0, "rows": 1500, "confidence": 0.9, "accuracy": 0.4},
        ],
    }


def analysed(results: Sequence[Record], state: str = "ready", analysis: Any = None, error: Any = None) -> Record:
    """What `GET /jobs/{id}/analysis` answers, with the same for every result."""
    entry = {"state": state, "analysis": analysis, "error": error}
    named = [{"expert": r["expert"], "split": r["split"]} | entry for r in results]
    return {"complete": state != "pending", "results": named}


def sources(results: Sequence[Record], *, checks: Sequence[Record] = (), **more: Any) -> Sources:
    """A finished verification with these results, all of them analysed."""
    standards = {"head_threshold": 20, "floors": {}}
    request = {"dataset": "digits", "splits_dir": "digits_splits", "path": "old/logits", "files": []}
    job = {
        "id": "5944eeff",
        "kind": "verification",
        "state": "succeeded",
        "created_at": "2026-11-22T20:36:52.252Z",
        "started_at": "2026-11-22T20:36:52.271Z",
        "finished_at": "2026-11-22T20:36:53.564Z",
        "request": request | {"standards": standards},
        "units": [],
    }
    failed = any(r["verdict"] == "failed" for r in results)
    verification = {"verdict": "failed" if failed else "passed", "checks": list(checks), "results": list(results)}
    parts: dict[str, Any] = {
        "job": job,
        "verification": verification,
        "statistics": analysed(results, analysis=statistics()),
    }
    return Sources(**parts | more)
