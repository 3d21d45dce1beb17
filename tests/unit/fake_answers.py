"""Answers of the fake server: plans, kept rows and sets of splits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.unit.fake_server import FakeServer, answering

Record = dict[str, Any]

WRONG_INDEX = {"code": "index-out-of-range", "message": "Index 99 is out of range.", "details": {}}


def planned(split: str = "val", expert: str = "ce", **fields: Any) -> Record:
    """A unit of a plan: 10,000 rows, of which 4,000 are kept."""
    figures = {"total": 10_000, "reused": 4_000, "computed": 6_000, "seconds": 4.2, "bytes": 9_900_000}
    return {"expert": expert, "split": split, **figures, "reasons": {}, **fields}


def plan(*units: Record, **fields: Any) -> Record:
    """What `POST /jobs/plan` answers about those units."""
    totals: Record = {}
    for name in ("total", "reused", "computed", "seconds", "bytes"):
        figures = [unit[name] for unit in units]
        totals[name] = None if None in figures else sum(figures)
    engine = {"engine": "openvino", "engine_version": "2026.1", "model": "Some CPU", "precision": "fp32"}
    base = {"ok": True, "problems": [], "warnings": [], "request": {}, "arithmetic": engine}
    return {**base, "units": list(units), "totals": totals, **fields}


def kept(key: str, **fields: Any) -> Record:
    """Whole rows under a key that begins so, as `GET /rows` lists them; last used two days ago."""
    seen = {"expert": "balsoftmax_baseline", "file": "best.pth", "dataset": "cifar100_lt_if100", "base": "test"}
    base = {
        "key": key.ljust(64, "0"), "usable": True, "seen": seen, "architecture": "cifar_resnet32", "classes": 100,
        "precision": "fp32", "engine": "openvino", "model": "a processor", "rows": 10000, "pool": 10000,
        "bytes": 4_100_000, "used_at": (datetime.now(UTC) - timedelta(days=2, hours=1)).isoformat(),
    }  # fmt: skip
    return base | fields


def unusable(key: str) -> Record:
    """Rows whose folder is damaged."""
    names = ("seen", "architecture", "classes", "precision", "engine", "model", "pool", "used_at")
    return kept(key, usable=False, rows=0, bytes=500, **dict.fromkeys(names))


def totals(*entries: Record) -> Record:
    """The sums of `GET /rows`."""
    return {"keys": len(entries), **{name: sum(entry[name] for entry in entries) for name in ("rows", "bytes")}}


def keeping(*entries: Record, damaged: int = 0) -> FakeServer:
    """A server that keeps these rows, of which so many are damaged in each key."""
    server = answering(GET_rows={"rows": list(entries), "totals": totals(*entries)})
    for entry in entries:
        condition = {"rows": entry["rows"] - damaged, "damaged": damaged} if entry["usable"] else None
        server.answers[f"GET /rows/{entry['key']}"] = httpx.Response(200, json=entry | {"condition": condition})
    return server


def comparing(first: Record, second: Record, computed: int | None = 3) -> FakeServer:
    """A server with the sets A and B: indices by list, a problem, or another answer."""
    server = FakeServer()
    for name, lists in (("A", first), ("B", second)):
        entries = []
        for split, held in lists.items():
            wrong = held if isinstance(held, dict) and "code" in held else None
            entries.append({"name": split, "base": "test", "state": "bad" if wrong else "ready", "problem": wrong})
            body = {"split": split, "base": "test", "indices": held} if isinstance(held, list) else held
            server.answers[f"GET /splits/{name}/{split}"] = httpx.Response(200, json=body)
        server.answers[f"GET /splits/{name}"] = httpx.Response(200, json={"name": name, "splits": entries})
    cost = {"ok": True, "totals": {"total": 8, "computed": computed}, "problems": []}
    server.answers["POST /jobs/plan"] = httpx.Response(200, json=cost)
    return server
