"""What lies on disk now of what a job wrote: its own file, and the copy under `outputs/`.

The checks have the form of the worker's, and are made anew whenever a verification is asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.domain.jobs import Job, Unit
from app.files.artifacts import artifact_path
from app.files.disk import file_sha256
from app.settings import Settings


def file_checks(settings: Settings, job: Job, unit: Unit) -> list[dict[str, Any]]:
    """`stored-file` (error) and `shown-file` for a unit that is done; for one that failed, whether an older file
    lies where its own would be. Reads every file once.
    """
    shown = settings.outputs_dir / job.recompute.output_dir / unit.expert / f"{unit.split}_logits.npz"
    if unit.artifact is None:
        if not unit.state.ended or not shown.exists():
            return []
        writer = _manifest(shown).get("job", "somebody without a manifest")
        whose = "this job, but its unit did not finish" if writer == job.id else f"another job ({writer})"
        message = f"{shown} is of {whose}; this unit {unit.state}."
        return [_check("shown-file", "warning", None, None, message, passed=False)]
    expected = unit.artifact.sha256
    stored = artifact_path(settings.objects_dir, expected)
    return [_compare("stored-file", "error", stored, expected), _compare_shown(shown, expected, job)]


def _compare(check: str, level: str, path: Path, expected: str) -> dict[str, Any]:
    found = _sha256(path)
    if found == expected:
        return _check(check, level, found, expected, f"{path} is as it was written.", passed=True)
    what = "is gone" if found is None else "has been changed since it was written"
    return _check(check, level, found, expected, f"{path} {what}. Run the job again.", passed=False)


def _compare_shown(path: Path, expected: str, job: Job) -> dict[str, Any]:
    check = _compare("shown-file", "error", path, expected)
    if check["verdict"] == "passed":
        return check
    if check["measured"] is None:
        # Moved away by its owner, perhaps: nothing there can be taken for a result.
        return check | {"level": "warning"}
    manifest = _manifest(path)
    if manifest.get("job") != job.id and manifest.get("sha256") == check["measured"]:
        return check | {"level": "warning", "message": f"{path} is now that of a later job ({manifest['job']})."}
    return check


def _manifest(path: Path) -> dict[str, Any]:
    """Job and file's sha256, as far as the manifest beside the file says."""
    try:
        manifest = json.loads(path.with_suffix(".json").read_bytes())
        return {"job": manifest["job"], "sha256": manifest["file"]["sha256"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _sha256(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def _check(
    check: str, level: str, measured: str | None, expected: str | None, message: str, *, passed: bool
) -> dict[str, Any]:
    verdict = "passed" if passed else "failed"
    return {"id": check, "level": level, "verdict": verdict, "measured": measured, "expected": expected,
            "message": message, "evidence": []}  # fmt: skip
