"""Warnings of a job that come from an audit of its splits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from app.catalog.catalog import Catalog
from app.catalog.datasets import read_declaration
from app.domain.checks import Check, Result, skipped
from app.domain.errors import RequestError
from app.domain.jobs import Job
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import AuditRequest
from app.store.inspections import Inspection

OF_LISTS = ("same-picture", "balance", "row-order", "as-described")
"""Checks of a list that only an audit makes; the others are made for each result."""


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
    """Return an audit's failed checks that concern the job, as warnings.

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
    """List the job's splits whose index files have other digests now, sorted."""
    taken = {(unit.split, unit.split_sha256) for unit in job.units}
    sources = ((result.split, result.source) for result in results)
    taken |= {(split, source.split_sha256) for split, source in sources if source and source.split_sha256}
    return sorted({split for split, sha256 in taken if digests.get(split) != sha256})


def _concerns(check: Check, splits: Collection[str], results: Sequence[Result]) -> bool:
    """Tell whether a check concerns the job and is not its own."""
    if check.id in ("overlap", "same-picture") and check.verdict == "failed":
        shared = len(set(splits).intersection(check.measured["splits"]))
        return shared == 1 or (shared == 2 and check.id == "same-picture")
    if check.id == "class-weights":
        own = (own for result in results for own in result.report.checks if own.id == check.id)
        return all(own_check.verdict == "skipped" for own_check in own)
    return True


def _named(check: Check, split: str) -> Check:
    return check if repr(split) in check.message else replace(check, message=f"{split!r}: {check.message}")
