"""What an audit of a job's splits warns of, beside what the job's own checks say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.domain.errors import RequestError
from app.domain.jobs import Job
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import AuditRequest
from app.store.inspections import Inspection

Check = dict[str, Any]

OF_LISTS = ("same-picture", "balance", "row-order", "as-described")
"""Checks of a list that only an audit makes; the others are made for each result."""


def question_about(job: Job, catalog: Catalog) -> InspectionRequest | None:
    """The audit of the splits that a job takes, as they lie on disk now; None where they cannot be looked at.

    Folders of images are not decoded for it, which may take hours: only `GET /splits/{name}/audit` compares those.
    """
    request = job.logits_request
    if request is None:
        return None
    dataset = Dataset.model_validate(request.declaration)
    try:
        folder = catalog.splits_folder(dataset, request.splits_dir)
        return AuditRequest.of(dataset, folder, catalog, pictures=dataset.kind != "imagefolder")
    except RequestError:
        return None


def warnings_for(job: Job, fact: Inspection, results: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Checks of level `warning` for the job as a whole: those that failed, or one that is skipped with the reason.

    Args:
        job: whose splits they are.
        fact: the answer to `question_about`, if it is there.
        results: of the job's verification.
    """
    if job.logits_request is None:
        return []
    where = job.logits_request.splits_dir
    if fact.answer is None:
        why = fact.error["message"] if fact.error else "A worker is still looking at them; ask again in a moment."
        return [_check("skipped", f"The splits {where!r} as a whole were not looked at: {why}")]
    if changed := changed_lists(job, results, fact.answer["sha256"]):
        lists = ", ".join(map(repr, changed))
        return [_check("skipped", f"The splits {where!r} as a whole are not looked at: {lists} was changed since.")]
    used = {unit.split for unit in job.units} | {result["split"] for result in results}
    found = [check for check in fact.answer["checks"] if not _beside(check, used, results)]
    for split in sorted(used):
        of_list = fact.answer["lists"].get(split, [])
        found += [_named(check, split) for check in of_list if check["id"] in OF_LISTS]
    return [{**check, "level": "warning"} for check in found if check["verdict"] == "failed"]


def changed_lists(job: Job, results: Sequence[Mapping[str, Any]], today: Mapping[str, str | None]) -> list[str]:
    """Lists that are not what they were for the job: what is said of the set now says nothing of it. Sorted.

    Args:
        job: that took them.
        results: of its verification, where it verified files.
        today: sha256 of the files as they are now, by the list's name.
    """
    taken = {(unit.split, unit.split_sha256) for unit in job.units}
    taken |= {(result["split"], result["split_sha256"]) for result in results if result.get("split_sha256")}
    return sorted({split for split, sha256 in taken if today.get(split) != sha256})


def _beside(check: Check, used: set[str], results: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it is of no list that the job takes, or the job's own checks say the same."""
    if check["id"] in ("overlap", "same-picture") and check["verdict"] == "failed":
        theirs = len(used.intersection(check["measured"]["splits"]))
        return theirs == 0 or (theirs == 2 and check["id"] == "overlap")
    if check["id"] == "class-weights":
        made = [own for result in results for own in result["checks"] if own["id"] == check["id"]]
        return any(own["verdict"] != "skipped" for own in made)
    return False


def _named(check: Check, split: str) -> Check:
    named = repr(split) in check["message"]
    return check if named else check | {"message": f"{split!r}: {check['message']}"}


def _check(verdict: str, message: str) -> Check:
    made: Check = {"id": "splits", "level": "warning", "verdict": verdict, "message": message}
    return made | {"measured": None, "expected": None, "evidence": []}
