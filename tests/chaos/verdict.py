"""What has to hold once the kills are over and every job has had time to end. Each function returns what does not."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.labels import read_labels
from app.domain.jobs import UnitState, final_state
from app.domain.requests import SplitsRequest
from app.files.disk import ORPHAN_AGE_S
from app.files.row_store import RowStore
from app.settings import Settings
from app.store.database import Database
from app.store.jobs import JobStore
from app.store.transitions import read_job
from app.submission.splits import draw_lists
from tests.chaos.user import SHARED_SET, Reference, User

LEFTOVER = re.compile(r"\..*\.(part|old|tmp)")


def jobs(user: User) -> Iterator[str]:
    """Every accepted job ended as it should, and the API hands out the right bytes."""
    for job in user.accepted:
        if job.state == "cancelled" and job.cancelled:
            continue
        if job.state != "succeeded":
            yield f"{job.kind} {job.id} {job.state}: {job.error}"
        elif job.kind == "recompute":
            try:
                user.check_files(job)
            except Exception as error:  # noqa: BLE001 — whatever it is, the service is at fault, and there are more
                yield f"{job.kind} {job.id}: {type(error).__name__}: {error}"
        elif job.kind == "verification":
            found = user.wire.get(f"/jobs/{job.id}")
            if found["verdict"] != "passed":
                yield f"verification {job.id} of right files: {found['verdict']}"


def store(path: Path, computed_for: dict[tuple[str, str, str], int]) -> Iterator[str]:
    """The store is sound, nothing in it is open, every job's state is that of its units, and these count right.

    Args:
        path: of the store.
        computed_for: rows that were computed for each unit that an armed process verified.
    """
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    try:
        sound = [tuple(row) for row in db.execute("PRAGMA integrity_check")]
        if sound != [("ok",)]:
            yield f"the store is damaged: {sound}"
        for row in db.execute("PRAGMA foreign_key_check"):
            yield f"the store has a loose end: {tuple(row)}"
        for row in db.execute("SELECT * FROM tasks WHERE state != 'ended'"):
            yield f"a task is {row['state']} for ever: {tuple(row)}"
        for row in db.execute("SELECT * FROM workers"):
            yield f"a worker is on record though none is there: {row['id']}"
        for row in db.execute("SELECT id FROM jobs").fetchall():
            yield from _job(db, row["id"], computed_for)
    finally:
        db.close()


def _job(db: sqlite3.Connection, job_id: str, computed_for: dict[tuple[str, str, str], int]) -> Iterator[str]:
    job = read_job(db, job_id)
    if not job.state.ended or job.finished_at is None:
        yield f"job {job.id} is {job.state}"
        return
    report = job.verification
    carried_out = job.request.kind != "recompute" and report is not None and report.error is None
    verified = carried_out or (report is not None and report.verdict == "passed")
    right = final_state(job, verified=verified)
    if job.state is not right:
        yield f"job {job.id} is {job.state}, by its units {right}"
    for unit in job.units:
        name = f"({unit.expert}, {unit.split}) of job {job.id}"
        if not unit.state.ended:
            yield f"{name} is {unit.state}"
        if unit.state is UnitState.SUCCEEDED and not unit.done == unit.reused + unit.computed == unit.total:
            yield f"{name} counts {unit.reused} + {unit.computed} = {unit.done} rows of {unit.total}"
        computed = computed_for.get((job.id, unit.expert, unit.split), unit.computed)
        if unit.state is UnitState.SUCCEEDED and computed != unit.computed:
            yield f"{name} counts {unit.computed} rows as computed, and {computed} were"
        if (unit.state is UnitState.SUCCEEDED) != (unit.artifact is not None):
            yield f"{name} is {unit.state} and has {unit.artifact}"


def objects(settings: Settings, referred: frozenset[str]) -> Iterator[str]:
    """The immutable files are those that jobs refer to, each with the content that its name says."""
    found = {path.stem: path for path in settings.objects_dir.rglob("*.npz")}
    for digest in sorted(referred - found.keys()):
        yield f"the object {digest} is gone"
    for digest in sorted(found.keys() - referred):
        yield f"nobody refers to the object {digest}"
    for digest, path in found.items():
        if _sha256(path) != digest:
            yield f"the object {digest} is torn"


def shown(settings: Settings, reference: Reference, excused: set[Path]) -> Iterator[str]:
    """Every file under outputs is whole, what an undisturbed run wrote, and described by the manifest beside it.

    Args:
        settings: of the service.
        reference: what an undisturbed run wrote.
        excused: files in these folders may have no manifest; see `between_renames`.
    """
    for path in sorted(settings.outputs_dir.rglob("*_logits.npz")):
        if ".relogit" in path.parts or "given" in path.parts:
            continue
        described = _described(path)
        if described != _sha256(path) and not (described is None and path.parent in excused):
            yield f"{path} is not what its manifest describes"
        if _sha256(path) not in reference.values():
            yield f"{path} is nothing that an undisturbed run wrote"
        with np.load(path, allow_pickle=False) as arrays:
            if sorted(arrays.files) != ["logits", "predictions", "targets"]:
                yield f"{path} holds {arrays.files}"


def between_renames(settings: Settings, user: User, kills: list[dict[str, Any]]) -> set[Path]:
    """Folders in which a file may lie without a manifest: its worker was killed between the two renames, and its job
    was cancelled before another worker took it up.
    """
    cancelled = {job.id: job for job in [*user.accepted, *user.deleted] if job.cancelled}
    torn = [claim.split() for kill in kills if kill["label"] == "publish.shown" for claim in kill["claims"]]
    return {
        settings.outputs_dir / cancelled[words[0]].request["output_dir"] / words[2]
        for words in torn
        if words[0] in cancelled and words[1] == "recompute"
    }


def _described(path: Path) -> str | None:
    try:
        return str(json.loads(path.with_suffix(".json").read_bytes())["file"]["sha256"])
    except FileNotFoundError:
        return None


def leftovers(settings: Settings) -> Iterator[str]:
    """Nothing half-written lies anywhere: what a killed process left is swept when the service starts, once old."""
    for root in (settings.outputs_dir, settings.data_dir):
        for path in sorted(root.rglob("*")):
            if LEFTOVER.fullmatch(path.name):
                yield f"left over: {path.relative_to(root.parent)}"
    for folder in (settings.rows_dir, settings.locks_dir):
        for path in sorted(folder.glob(".*") if folder == settings.rows_dir else folder.glob("*")):
            yield f"left over: {path.relative_to(settings.outputs_dir.parent)}"


def rows(settings: Settings) -> Iterator[str]:
    """No kept row is damaged: the kills come between two writes, and what is not whole does not claim to be there."""
    kept = RowStore(settings.rows_dir)
    for entry in kept.entries():
        condition = kept.condition(entry.key)
        if condition is None or condition.damaged:
            yield f"the rows {entry.key}: {condition}"


def splits(settings: Settings, user: User) -> Iterator[str]:
    """Every set is there whole, with the lists that its request draws; one that was overwritten is of one request."""
    catalog = Catalog(settings)
    asked: dict[str, list[dict[str, Any]]] = {}
    for request in user.sets:
        asked.setdefault(request["name"], []).append(request)
    for path in sorted(settings.data_dir.iterdir()):
        if path.is_dir() and (path.name.startswith("set_") or path.name == SHARED_SET) and path.name not in asked:
            yield f"the set {path.name} is there, but no request created it"
    for name, candidates in asked.items():
        found = {path.name: path.read_bytes() for path in (settings.data_dir / name).glob("*_indices.json")}
        if not any(found == drawn(catalog, request) for request in candidates):
            yield f"the set {name} is not what any of its {len(candidates)} requests draws"


def drawn(catalog: Catalog, asked: dict[str, Any]) -> dict[str, bytes]:
    """The lists of a set as its request draws them: content by file name."""
    dataset: Dataset = catalog.dataset("tiny")
    bases = {base: read_labels(catalog.bases, dataset, base) for base in ("train", "test")}
    request = SplitsRequest(
        train_base="train",
        test_base="test",
        profile="exponential",
        test_shares=(8, 1, 1),
        **asked,
    )
    lists, _ = draw_lists(request, bases, catalog.bases.classes(dataset))
    return {
        f"{name}_indices.json": json.dumps(indices.tolist(), separators=(",", ":")).encode()
        for name, indices in lists.items()
    }


def age(settings: Settings) -> None:
    """Let two sweeping times pass: everything internal, and all that is hidden, becomes so much older."""
    db = sqlite3.connect(settings.store_path)
    with db:
        db.execute("UPDATE store SET created_at = created_at - ?", (10 * ORPHAN_AGE_S,))
    db.close()
    then = time.time() - 2 * ORPHAN_AGE_S
    for root in (settings.outputs_dir, settings.data_dir):
        for path in root.rglob("*"):
            if path.name != settings.store_path.name:
                os.utime(path, (then, then))


def referred(settings: Settings) -> frozenset[str]:
    """sha256 of every artifact that a job refers to."""
    database = Database(settings.store_path)
    try:
        return JobStore(database).artifacts()
    finally:
        database.close()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
