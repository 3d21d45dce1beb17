"""The disk accounted for once the service has stopped: what is there is what is referred to, to the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx

from app.settings import Settings
from tests.chaos import verdict
from tests.chaos.installation import Installation
from tests.chaos.user import Reference, Wanted
from tests.integration.workspace import serving

EVERYTHING = {"jobs_older_than_s": 0, "rows_older_than_s": 0, "rows_max_bytes": 0}
KEPT_TABLES = {"workers", "store", "totals", "inspections", "rates", "sqlite_sequence"}
"""Tables that have rows though there are no jobs."""


def left(installation: Installation, reference: Reference, excused: set[Path]) -> Iterator[str]:
    """Collect what is left over, and account for the rest; then collect everything, and see that nothing is left.

    Args:
        installation: whose service has stopped.
        reference: what an undisturbed run wrote.
        excused: see `verdict.shown`.
    """
    settings = installation.workspace.settings
    verdict.age(settings)
    with serving(settings) as http:
        _collect(http, {})
        referred = verdict.referred(settings)
        yield from verdict.objects(settings, referred)
        yield from _uploads(settings)
        yield from verdict.rows(settings)
        yield from verdict.leftovers(settings)
        yield from verdict.shown(settings, reference, excused)
        _collect(http, EVERYTHING)
        for folder in (settings.objects_dir, settings.uploads_dir, settings.rows_dir):
            for path in folder.rglob("*"):
                if not path.is_dir():
                    yield f"left though everything was to go: {path.relative_to(settings.outputs_dir)}"
    yield from _empty(settings.store_path)


def excused(settings: Settings, stopped: list[tuple[float, float, Wanted]], kills: list[float]) -> set[Path]:
    """Results of jobs that were stopped while a worker was killed: a file of theirs may lack its manifest."""
    return {
        settings.outputs_dir / job.request["output_dir"] / expert
        for since, until, job in stopped
        if any(since <= kill <= until for kill in kills)
        for expert in job.request["experts"]
    }


def _collect(http: httpx.Client, limits: dict[str, int]) -> None:
    done = http.post("/gc", json=limits).raise_for_status().json()
    assert not done["kept_back"], done


def _uploads(settings: Settings) -> Iterator[str]:
    with sqlite3.connect(settings.store_path) as db:
        asked = "SELECT json_extract(request, '$.upload') FROM jobs WHERE kind = 'verification'"
        referred = {upload for (upload,) in db.execute(asked) if upload is not None}
    db.close()
    found = {path.name for path in settings.uploads_dir.iterdir()}
    for upload in sorted(found ^ referred):
        yield f"the upload {upload} {'has no job' if upload in found else 'is gone'}"


def _empty(store: Path) -> Iterator[str]:
    db = sqlite3.connect(store)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for name in sorted(set(names) - KEPT_TABLES):
        rows = db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        if rows:
            yield f"the store has {rows} {name} left though every job was to go"
    db.close()
