"""A fake server with a verified job of two experts over two splits, and their arrays."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray

import relogit
from relogit.job import Logits
from tests.unit.fake_server import JOB_ID, FakeServer, job, unit

LISTS = {"val": [7, 2, 5], "test": [0, 9, 4, 3]}
EXPERTS = ("ce", "ls")
CLASSES = 3


@dataclass(frozen=True)
class World:
    """A job's server, and what it serves."""

    server: FakeServer
    arrays: dict[tuple[str, str], Logits]
    """By (expert, split)."""
    artifacts: list[dict[str, Any]]

    @property
    def job(self) -> relogit.Job:
        """The handle of the job."""
        return relogit.Client("http://server.test", transport=self.server.transport).job(JOB_ID)


def world(
    experts: tuple[str, ...] = EXPERTS,
    lists: dict[str, list[int]] = LISTS,
    *,
    state: str = "succeeded",
    **fields: Any,
) -> World:
    """Make a server whose job has these experts over these lists."""
    units = [unit(split, expert=expert) for expert in experts for split in lists]
    server = FakeServer(job(state, units=units, **fields))
    random = np.random.default_rng(0)
    arrays, artifacts = {}, []
    targets = {split: random.integers(0, CLASSES, len(indices)) for split, indices in lists.items()}
    for expert in experts:
        for split, indices in lists.items():
            logits = (random.normal(size=(len(indices), CLASSES)) * 9).astype(np.float32)
            arrays[expert, split] = Logits(logits, targets[split], logits.argmax(axis=1))
            body = packed(arrays[expert, split])
            artifacts.append(artifact(expert, split, body, len(indices)))
            where = f"GET /jobs/{JOB_ID}/artifacts/{expert}/{split}"
            server.answers[where] = httpx.Response(200, content=body)
    server.answers[f"GET /jobs/{JOB_ID}/artifacts"] = httpx.Response(200, json={"artifacts": artifacts})
    for split, indices in lists.items():
        answer_list(server, split, indices)
    return World(server, arrays, artifacts)


def answer_list(server: FakeServer, split: str, indices: list[int], **fields: Any) -> None:
    """Let the server have this index list."""
    body = {"split": split, "base": "test", "sha256": f"list-{split}", "indices": indices, **fields}
    server.answers[f"GET /splits/set/{split}"] = httpx.Response(200, json=body)


def packed(arrays: Logits) -> bytes:
    """Write arrays as an artifact's bytes."""
    body = io.BytesIO()
    np.savez(body, logits=arrays.logits, targets=arrays.targets, predictions=arrays.predictions)
    return body.getvalue()


def artifact(expert: str, split: str, body: bytes, rows: int) -> dict[str, Any]:
    """Describe a file, as `GET /jobs/<id>/artifacts` does."""
    sha256 = hashlib.sha256(body).hexdigest()
    manifest = {
        "schema": 2,
        "job": JOB_ID,
        "expert": expert,
        "split": {"name": split, "sha256": f"list-{split}", "size": rows, "folder": "set"},
        "file": {"sha256": sha256, "bytes": len(body), "logits": [rows, CLASSES]},
        "checkpoint": {"file": f"best_{expert}.pth", "folder": "experts", "sha256": f"weights-{expert}"},
        "dataset": {"name": "digits_lt", "base": "test", "classes": CLASSES, "sha256": "pool"},
        "calibration": {"mode": "none", "divided_by": None},
        "compute": {"precision": "fp32"},
        "versions": {"relogit": "0.1.0", "numpy": "2.0"},
    }
    path = f"logits_fixed/{quote(expert)}/{split}_logits.npz"
    place = {"expert": expert, "split": split, "path": path, "bytes": len(body), "sha256": sha256}
    return {**place, "manifest": manifest}


def same_bits(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Tell whether two arrays have one dtype, shape and bytes."""
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
