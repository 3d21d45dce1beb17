"""Sets of splits: created, imported, listed; what each holds, its lists and its audit."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Response

from app.api.dependencies import Services, Used
from app.api.routes.jobs import MAX_WAIT_S
from app.api.schemas import ImportBody, JobView, SplitsBody
from app.api.set_listing import describe_set, list_sets, look_at_list
from app.api.tracing import Traceparent
from app.api.waiting import answers
from app.catalog.datasets import DEFAULT_DATASET, Dataset
from app.catalog.folders import Folder
from app.domain.errors import NotFound, RequestError
from app.domain.names import check_name
from app.domain.requests import HEAD_THRESHOLD
from app.store.inspection_requests import audit_question, groups_question
from app.store.inspections import InspectionRequest
from app.submission.split_import import import_splits
from app.submission.splits import plan_splits

SetName = Annotated[str, Path(description="Of the folder, below the data directory.")]
DatasetName = Annotated[str, Query(description="A data set of `datasets.toml`.")]

router = APIRouter(tags=["splits"])


@router.post("/splits", status_code=202)
def create_splits(body: SplitsBody, used: Used, trace: Traceparent, response: Response) -> JobView:
    """Check a request for a new set of splits and queue it. It is a job like any other, and takes a second or so."""
    job = used.jobs.submit(plan_splits(body.order(), used.catalog), terms=body.terms(trace))
    response.headers["Location"] = f"/jobs/{job.id}"
    return JobView.of(job)


@router.post("/splits/import", status_code=201)
def take_over(body: ImportBody, used: Used, response: Response) -> dict[str, Any]:
    """Write lists that somebody else made as a set of splits. What is doubtful about them is said, not refused."""
    described = import_splits(body.order(), used.catalog)
    response.headers["Location"] = f"/splits/{quote(described['name'])}?dataset={quote(body.dataset)}"
    return described


@router.get("/splits")
def list_splits(used: Used, dataset: DatasetName = DEFAULT_DATASET) -> dict[str, Any]:
    """The sets of splits of a data set, and the lists in each. `own` is the one that its jobs take by default.

    Folders directly below the data directory, and those that `datasets.toml` names.
    """
    return {"dataset": dataset, "sets": list_sets(dataset, used.catalog)}


@router.get("/splits/{name:path}/audit")
async def audit_splits(
    name: SetName,
    used: Used,
    dataset: DatasetName = DEFAULT_DATASET,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for a worker, 60 at most.")] = 10.0,
) -> dict[str, Any]:
    """What is wrong with a set of splits, or misleads: each list's checks, and those of the lists together.

    A worker looks when it is first asked; `state` is `ready`, or `pending` while it does. Errors in `lists` refuse a
    job that names them.
    """

    def look_around() -> InspectionRequest:
        declared = used.catalog.dataset(dataset)
        return audit_question(declared, _set_folder(used, declared, name), used.catalog)

    [fact] = await answers(used, [await run_sync(look_around)], min(wait, MAX_WAIT_S))
    if fact.error is not None:
        raise RequestError.from_dict(fact.error)
    shown = {"name": name, "dataset": dataset, "state": "pending" if fact.answer is None else "ready"}
    return shown | (fact.answer or {"verdict": None, "checks": [], "lists": {}})


@router.get("/splits/{name:path}/{split}")
async def get_split(
    name: SetName,
    split: Annotated[str, Path(description="Of the list.")],
    used: Used,
    dataset: DatasetName = DEFAULT_DATASET,
) -> dict[str, Any]:
    """One index list, checked against the base that it points into: base, sha256 of its file, and the indices.

    Where there is no such list, but a set in a folder of that name, it is the set, as `GET /splits/{name}`.
    """
    declared = await run_sync(used.catalog.dataset, dataset)

    def read() -> dict[str, Any] | None:
        # Both names are checked before they become a path.
        folder, path = used.catalog.splits_folder(declared, name), check_name("split", split)
        below = Folder(f"{folder.name}/{path}", folder.path / path)
        if not used.catalog.split_path(folder, path).is_file() and used.catalog.split_names(below):
            return None
        found = used.catalog.read_split(declared, folder, split)
        shown = {"name": name, "split": split, "dataset": dataset, "base": found.base, "sha256": found.sha256}
        return shown | {"size": int(found.indices.size), "indices": found.indices.tolist()}

    return await run_sync(read) or await look_at_set(used, dataset, declared, f"{name}/{split}")


@router.get("/splits/{name}")
async def get_set(name: SetName, used: Used, dataset: DatasetName = DEFAULT_DATASET) -> dict[str, Any]:
    """One set of splits: where each list points, its size and class counts or what is wrong with it, and the groups
    of classes that its train counts make.

    A worker counts classes when it is first asked; until then a list is `unread`.
    """
    return await look_at_set(used, dataset, await run_sync(used.catalog.dataset, dataset), name)


async def look_at_set(
    used: Services, dataset: str, declared: Dataset, name: str, head_threshold: int = HEAD_THRESHOLD
) -> dict[str, Any]:
    """What `GET /splits/{name}` answers, for a data set as it was declared."""

    def look_around() -> tuple[dict[str, Any], list[dict[str, Any]], list[InspectionRequest | None]]:
        folder = _set_folder(used, declared, name)
        described, problem = describe_set(folder)
        head = {"name": name, "dataset": dataset, "own": name == declared.splits, "description": described}
        found = [look_at_list(declared, folder, split, used.catalog) for split in used.catalog.split_names(folder)]
        groups = None if problem else groups_question(declared, folder, used.catalog, head_threshold)
        return (
            head | {"problem": problem},
            [entry for entry, _ in found],
            [groups, *(question for _, question in found)],
        )

    head, entries, questions = await run_sync(look_around)
    inspections = iter(await answers(used, [question for question in questions if question is not None]))
    found = [None if question is None else next(inspections) for question in questions]
    for entry, fact in zip(entries, found[1:], strict=True):
        if fact is not None and fact.known:
            entry.update(fact.answer or {}, state="bad" if fact.error else "ready", problem=fact.error)
    groups = None if found[0] is None else (found[0].answer or {}).get("groups")
    return head | {"splits": entries, "groups": groups}


def _set_folder(used: Services, declared: Dataset, name: str) -> Folder:
    folder = used.catalog.splits_folder(declared, name)
    if not used.catalog.split_names(folder):
        raise NotFound("no-splits", f"There is no index list (NAME_indices.json) in {name!r}.")
    return folder


@router.get("/datasets")
def list_datasets(used: Used) -> dict[str, Any]:
    """The data sets that `datasets.toml` declares."""
    declared = used.catalog.datasets()
    return {"datasets": [{"name": name, **dataset.model_dump()} for name, dataset in declared.items()]}
