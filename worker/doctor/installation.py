"""Checks of settings, folders and job store. They change no file."""

from __future__ import annotations

import difflib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import DotEnvSettingsSource

from app.settings import PREFIX, Settings, explain
from app.store.liveness import is_held
from app.store.schema import MIGRATIONS, SCHEMA_VERSION
from worker.doctor import Finding, Level

OTHER_VARIABLES = {"RELOGIT_SERVER", "RELOGIT_REALDATA", "RELOGIT_USER"}
"""Of the client, the tests and docker/compose.yaml."""


def check_settings() -> tuple[Settings, list[Finding]]:
    """Check the settings; return them with defaults for invalid values."""
    findings = []
    try:
        settings = Settings()
    except ValidationError as error:
        invalid = {str(item["loc"][0]) for item in error.errors()}
        defaults: dict[str, Any] = {name: Settings.model_fields[name].default for name in invalid}
        settings = Settings(**defaults)
        message = " ".join(explain(error).split("\n"))
        findings.append(Finding("problem", "settings", message, "Correct it: the service does not start with it."))
    names = {name.upper() for name in (*os.environ, *DotEnvSettingsSource(Settings).env_vars)}
    variables = {name for name in names if name.startswith(PREFIX)} - OTHER_VARIABLES
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name in sorted(variables.difference(known)):
        similar = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        remedy = f"Did you mean {similar[0]}?" if similar else f"Remove it. The settings are {', '.join(known)}."
        message = f"{name}, in the environment or .env, is not a setting and has no effect."
        findings.append(Finding("warning", "settings", message, remedy))
    return settings, findings or [
        Finding("ok", "settings", f"Set and valid: {', '.join(sorted(variables)) or 'none'}.")
    ]


def check_folders(settings: Settings) -> Iterator[Finding]:
    """Check that data and checkpoints can be read."""
    for name, path in (("DATA_DIR", settings.data_dir), ("CHECKPOINTS_DIR", settings.checkpoints_dir)):
        if os.access(path, os.R_OK | os.X_OK) and path.is_dir():
            yield Finding("ok", "folders", f"{path} can be read.")
        else:
            wrong = "is not a folder that this user can read" if os.access(path, os.F_OK) else "does not exist"
            remedy = f"Put the files there, or correct {PREFIX}{name}."
            yield Finding("problem", "folders", f"{path} {wrong}.", remedy)


def check_outputs(settings: Settings) -> Iterator[Finding]:
    """Check that results can be written and have room."""
    path, internal = settings.outputs_dir.resolve(), settings.internal_dir
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    unwritable = [file for file in (existing, internal, *internal.glob("*")) if not _writable(file)]
    if not existing.is_dir():
        yield Finding("problem", "outputs", f"{existing} is not a folder.", "Correct RELOGIT_OUTPUTS_DIR.")
    elif unwritable:
        message = f"This user cannot write to {', '.join(map(str, unwritable))}."
        yield Finding("problem", "outputs", message, "chown it to the user that runs the service.")
    elif existing != path:
        remedy = "If there are results already, correct RELOGIT_OUTPUTS_DIR."
        yield Finding("warning", "outputs", f"{path} does not exist; the service creates it.", remedy)
    else:
        yield Finding("ok", "outputs", f"{path} can be written to.")
    free, least = shutil.disk_usage(existing).free, settings.min_free_bytes
    message = f"{free / 1e9:.1f} GB are free in {existing}; relogit needs {least / 1e9:.1f} (RELOGIT_MIN_FREE_BYTES)."
    remedy = "Make room; `relogit gc` and `relogit rows prune` remove what is kept."
    level: Level = "problem" if free < least else "warning" if free < 5 * least else "ok"
    yield Finding(level, "space", message, "" if level == "ok" else remedy)


def check_store(settings: Settings) -> Iterator[Finding]:
    """Check the job store; report live services and workers."""
    path = settings.store_path
    if path.exists():
        yield check_database(path)
    else:
        yield Finding("ok", "store", f"There is no job store yet; the service creates {path}.")
    service = is_held(settings.internal_dir / "service.lock")
    workers = sum(is_held(lock) for lock in settings.locks_dir.glob("*.lock"))
    message = f"{'A' if service else 'No'} service is alive on these outputs; workers alive: {workers}."
    if service == (workers > 0):
        yield Finding("ok", "service", message)
    else:
        remedy = "python -m app starts both, python -m worker a worker; their logs say why one ended."
        yield Finding("warning", "service", message, remedy)


def check_database(path: Path) -> Finding:
    """Check the job store's integrity and schema version."""
    remedy = "Stop the service and move the file away with its -wal and -shm: a new one is made, and results stay."
    # Without a log nobody has it open; "immutable" then keeps SQLite from creating one.
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            integrity = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return Finding("problem", "store", f"The job store {path} cannot be read: {error}.", remedy)
    if integrity != "ok":
        return Finding("problem", "store", f"The job store {path} is damaged: {integrity}.", remedy)
    if not min(MIGRATIONS) <= version <= SCHEMA_VERSION:
        message = f"{path} has schema {version}; this relogit reads {min(MIGRATIONS)} to {SCHEMA_VERSION}."
        remedy = "Install the version of relogit that wrote it, or point RELOGIT_OUTPUTS_DIR elsewhere."
        return Finding("problem", "store", message, remedy)
    return Finding("ok", "store", f"The job store is whole; its schema is {version}.")


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) or not os.access(path, os.F_OK)
