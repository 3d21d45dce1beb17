"""Checks of the files that a job wrote, as they lie on disk now: its own file, and the copy under `outputs/`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.domain.checks import Check, error_check, warning_check
from app.domain.jobs import Job, Unit
from app.files.artifacts import artifact_path
from app.files.disk import file_sha256
from app.settings import Settings


def file_checks(settings: Settings, job: Job, unit: Unit) -> list[Check]:
    """Check the files of a unit; each is read once.

    `stored-file` and `shown-file` for a unit that is done; else `shown-file` if there is another file in its place.
    """
    shown = settings.outputs_dir / job.recompute.output_dir / unit.expert / f"{unit.split}_logits.npz"
    if unit.artifact is None:
        if not unit.state.ended or not shown.exists():
            return []
        writer = _manifest(shown).get("job", "no manifest names it")
        owner = "this job, but its unit did not finish" if writer == job.id else f"another job ({writer})"
        return [warning_check("shown-file", False, None, None, f"{shown} is of {owner}; this unit {unit.state}.")]
    expected = unit.artifact.sha256
    stored = artifact_path(settings.objects_dir, expected)
    return [_compare("stored-file", stored, expected), _compare_shown(shown, expected, job)]


def _compare(check_id: str, path: Path, expected: str) -> Check:
    digest = _sha256(path)
    if digest == expected:
        return error_check(check_id, True, digest, expected, f"{path} is as it was written.")
    what = "is gone" if digest is None else "has been changed since it was written"
    return error_check(check_id, False, digest, expected, f"{path} {what}. Run the job again.")


def _compare_shown(path: Path, expected: str, job: Job) -> Check:
    """Compare the copy under `outputs/`; one that is gone, or a later job's, is a warning."""
    check = _compare("shown-file", path, expected)
    if check.verdict == "passed":
        return check
    if check.measured is None:
        # Its owner may have moved it away, and nothing there can be taken for a result.
        return replace(check, level="warning")
    manifest = _manifest(path)
    if manifest.get("job") != job.id and manifest.get("sha256") == check.measured:
        return replace(check, level="warning", message=f"{path} is now that of a later job ({manifest['job']}).")
    return check


def _manifest(path: Path) -> dict[str, Any]:
    """Read job and sha256 from the manifest beside a file; empty unless it names both."""
    try:
        manifest = json.loads(path.with_suffix(".json").read_bytes())
        return {"job": manifest["job"], "sha256": manifest["file"]["sha256"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _sha256(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None
