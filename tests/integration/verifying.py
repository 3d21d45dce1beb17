"""What tests of verifying share: files of logits, and what a client sends and gets."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import numpy as np
import torch
from numpy.typing import NDArray

from tests.integration.workspace import CLASSES, Service, Workspace


def indices(workspace: Workspace, split: str) -> NDArray[np.int64]:
    return np.asarray(json.loads((workspace.splits / f"{split}_indices.json").read_text()), np.int64)


def logits_for(labels: NDArray[np.int64], seed: int = 0) -> NDArray[np.float32]:
    """Of an expert that is right on most of these labels, and sure of it."""
    rng = np.random.default_rng(seed)
    believed = np.where(rng.random(len(labels)) < 0.8, labels, rng.integers(0, CLASSES, len(labels)))
    logits = rng.normal(size=(len(labels), CLASSES)).astype(np.float32)
    logits[np.arange(len(labels)), believed] += 5
    return logits


def npz(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> bytes:
    body = io.BytesIO()
    np.savez(body, logits=logits, targets=targets, predictions=logits.argmax(-1))
    return body.getvalue()


def good(workspace: Workspace, split: str = "many", seed: int = 0) -> bytes:
    """A right file for a split."""
    labels = workspace.images("test")[1][indices(workspace, split)]
    return npz(logits_for(labels, seed), labels)


def torch_bytes(value: object) -> bytes:
    body = io.BytesIO()
    torch.save(value, body)
    return body.getvalue()


def upload(service: Service, files: dict[str, bytes]) -> str:
    answer = httpx.post(f"{service.url}/uploads")
    assert answer.status_code == 201
    for name, body in files.items():
        assert httpx.put(f"{service.url}{answer.headers['Location']}/{name}", content=body).status_code == 204
    return str(answer.json()["id"])


def verify(service: Service, **request: Any) -> dict[str, Any]:
    """The verification, when it has ended."""
    answer = httpx.post(f"{service.url}/verifications", json={"dataset": "tiny", **request})
    assert answer.status_code == 202, answer.text
    location = answer.headers["Location"]
    seen: dict[str, Any] = answer.json()
    while seen["state"] in ("queued", "running"):
        seen = httpx.get(f"{service.url}{location}?wait=20", timeout=60).json()
    return seen


def checks_of(found: dict[str, Any], expert: str, split: str = "many") -> dict[str, dict[str, Any]]:
    [result] = [r for r in found["results"] if (r["expert"], r["split"]) == (expert, split)]
    return {check["id"]: check for check in result["checks"]}


def failed(found: dict[str, Any], expert: str, split: str = "many", level: str = "error") -> set[str]:
    checks = checks_of(found, expert, split).values()
    return {check["id"] for check in checks if check["verdict"] == "failed" and check["level"] == level}


def analysis(service: Service, job: str, part: str) -> dict[tuple[str, str], dict[str, Any]]:
    answer = httpx.get(f"{service.url}/jobs/{job}/analysis?part={part}&wait=30", timeout=60).json()
    assert answer["complete"], answer
    return {(result["expert"], result["split"]): result for result in answer["results"]}
