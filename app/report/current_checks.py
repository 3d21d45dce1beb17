"""Checks of a job's surroundings as they are now: its files on disk, and an audit of its splits."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.catalog.bases import FileId, file_id
from app.catalog.catalog import Catalog
from app.catalog.datasets import read_declaration
from app.domain.checks import Check, Result, error_check, skipped, warning_check
from app.domain.errors import RequestError
from app.domain.jobs import Artifact, Job, Unit
from app.files.artifacts import artifact_path
from app.files.disk import file_sha256
from app.settings import Settings
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import AuditRequest
from app.store.inspections import Inspection

OF_LISTS = ("same-picture", "balance", "row-order", "as-described")
"""Checks of a list that only an audit makes; the others are made for each result."""


def file_checks(settings: Settings, job: Job, unit: Unit) -> list[Check]:
    """Check a unit's files, reading each once.

    `stored-file` and `shown-file` for a unit that is done; else `shown-file` if there is another file in its place.
    """
    shown = shown_path(settings, job, unit)
    if unit.artifact is None:
        if not unit.state.ended or not shown.exists():
            return []
        writer = _manifest(shown).get("job", "no manifest names it")
        owner = "this job, but its unit did not finish" if writer == job.id else f"another job ({writer})"
        return [warning_check("shown-file", False, None, None, f"{shown} is of {owner}; this unit {unit.state}.")]
    expected = unit.artifact.sha256
    stored = artifact_path(settings.objects_dir, expected)
    return [_compare("stored-file", stored, expected), _compare_shown(shown, expected, job)]


def shown_path(settings: Settings, job: Job, unit: Unit) -> Path:
    """Return where a unit's file is published."""
    return settings.outputs_dir / job.units_request.output_dir / unit.expert / f"{unit.split}_logits.npz"


def publisher(shown: Path) -> str | None:
    """Return the id of the job that a published file's manifest names."""
    job = _manifest(shown).get("job")
    return job if isinstance(job, str) else None


def is_as_published(shown: Path, artifact: Artifact) -> bool:
    """Tell whether a published file and its manifest are those of a result.

    The manifest is written last. So a file is read only if it changed after its manifest, and once for each state.
    """
    try:
        state, manifest_state = file_id(shown), shown.with_suffix(".json").stat()
        if state[1] != artifact.size or _manifest(shown).get("sha256") != artifact.sha256:
            return False
        return shown.stat().st_ctime_ns <= manifest_state.st_ctime_ns or _digest_of(state) == artifact.sha256
    except OSError:
        return False


@lru_cache(maxsize=1024)  # by content's state: size, times and inode
def _digest_of(state: FileId) -> str:
    return file_sha256(Path(state[0]))


def _compare(check_id: str, path: Path, expected: str) -> Check:
    digest = _sha256(path)
    if digest == expected:
        return error_check(check_id, True, digest, expected, f"{path} is as it was written.")
    what = "is gone" if digest is None else "has been changed since it was written"
    return error_check(check_id, False, digest, expected, f"{path} {what}. Run the job again.")


def _compare_shown(path: Path, expected: str, job: Job) -> Check:
    """Compare the copy under `outputs/` with the digest.

    A lost copy, or that of a later job, is only a warning.
    """
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
    """Read a manifest's job and sha256, if it has both."""
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


def audit_request(job: Job, catalog: Catalog) -> InspectionRequest | None:
    """Return the request to audit a job's splits, if readable.

    Folders of images are not decoded for it, which may take hours; only `GET /splits/{name}/audit` compares those.
    """
    request = job.logits_request
    if request is None:
        return None
    try:
        dataset = read_declaration(request.declaration)
        folder = catalog.splits_folder(dataset, request.splits_dir)
        return AuditRequest.of(dataset, folder, catalog, pictures=dataset.kind != "imagefolder")
    except RequestError:
        return None


def audit_warnings(job: Job, audit: Inspection, results: Sequence[Result]) -> list[Check]:
    """Return the audit failures that concern the job, as warnings.

    Without an answer, or for lists that were changed since, it is one skipped check with the reason.
    """
    if job.logits_request is None:
        return []
    name = job.logits_request.splits_dir
    if audit.answer is None:
        pending = "A worker is still looking at them; ask again in a moment."
        why = audit.error["message"] if audit.error else pending
        return [skipped("splits", "warning", f"The splits {name!r} as a whole were not looked at: {why}")]
    if changed := changed_lists(job, results, audit.answer["sha256"]):
        lists = ", ".join(map(repr, changed))
        message = f"The splits {name!r} as a whole are not looked at: {lists} was changed since."
        return [skipped("splits", "warning", message)]
    splits = {unit.split for unit in job.units} | {result.split for result in results}
    whole = [Check.from_dict(check) for check in audit.answer["checks"]]
    checks = [check for check in whole if _concerns(check, splits, results)]
    for split in sorted(splits):
        of_list = (Check.from_dict(check) for check in audit.answer["lists"].get(split, []))
        checks += [_named(check, split) for check in of_list if check.id in OF_LISTS]
    return [replace(check, level="warning") for check in checks if check.verdict == "failed"]


def changed_lists(job: Job, results: Sequence[Result], digests: Mapping[str, str | None]) -> list[str]:
    """List the job's splits with changed index files, sorted."""
    taken = {(unit.split, unit.split_sha256) for unit in job.units}
    sources = ((result.split, result.source) for result in results)
    taken |= {(split, source.split_sha256) for split, source in sources if source and source.split_sha256}
    return sorted({split for split, sha256 in taken if digests.get(split) != sha256})


def _concerns(check: Check, splits: Collection[str], results: Sequence[Result]) -> bool:
    """Tell whether a check adds to the job's own.

    An overlap of lists that the job does not use adds nothing.
    """
    if check.id in ("overlap", "same-picture") and check.verdict == "failed":
        shared = len(set(splits).intersection(check.measured["splits"]))
        return shared == 1 or (shared == 2 and check.id == "same-picture")
    if check.id == "class-weights":
        own = (own for result in results for own in result.report.checks if own.id == check.id)
        return all(own_check.verdict == "skipped" for own_check in own)
    return True


def _named(check: Check, split: str) -> Check:
    return check if repr(split) in check.message else replace(check, message=f"{split!r}: {check.message}")
