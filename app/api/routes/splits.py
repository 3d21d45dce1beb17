"""Sets of splits: created, imported, listed and shown, with their lists and audits."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Response

from app.api.dependencies import ServicesDep
from app.api.parameters import MAX_WAIT_S, DatasetName, SetName
from app.api.set_views import list_sets, set_folder, show_set
from app.api.split_schemas import CreatedSet, DatasetList, DatasetView, ImportedSet, IndexList, SetList, SetView
from app.api.verdict_schemas import AuditView
from app.api.waiting import await_inspections
from app.catalog.datasets import DEFAULT_DATASET
from app.catalog.folders import Folder
from app.domain.errors import RequestError
from app.domain.names import check_name
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import AuditRequest
from app.submission.bodies import ImportBody, SplitsBody
from app.submission.split_import import import_splits
from app.submission.splits import create_splits

router = APIRouter(tags=["splits"])


@router.post("/splits", status_code=201)
def create_set(body: SplitsBody, services: ServicesDep, response: Response) -> CreatedSet:
    """Create a set of splits: a long-tailed train list, balanced test parts.

    The answer is its description, as its `splits.json` has it. It takes about a second.
    """
    created = CreatedSet.model_validate(create_splits(body, services.catalog))
    response.headers["Location"] = _location(body)
    return created


@router.post("/splits/import", status_code=201)
def import_set(body: ImportBody, services: ServicesDep, response: Response) -> ImportedSet:
    """Write index lists that already exist as a set of splits.

    What may be wrong with them stands in `doubtful`; only what cannot be used is refused.
    """
    imported = ImportedSet.model_validate(import_splits(body, services.catalog))
    response.headers["Location"] = _location(body)
    return imported


def _location(body: SplitsBody | ImportBody) -> str:
    return f"/splits/{quote(body.name)}?dataset={quote(body.dataset)}"


@router.get("/splits")
def list_splits(services: ServicesDep, dataset: DatasetName = DEFAULT_DATASET) -> SetList:
    """List the sets of splits of a data set.

    They are folders directly below the data directory, and those that `datasets.toml` names. `own` is the set that
    the data set's jobs take by default.
    """
    return SetList(dataset=dataset, sets=list_sets(dataset, services.catalog))


@router.get("/splits/{name:path}/audit", response_model_exclude_unset=True)
async def audit_splits(
    name: SetName,
    services: ServicesDep,
    dataset: DatasetName = DEFAULT_DATASET,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for a worker, 60 at most.")] = 10.0,
) -> AuditView:
    """Audit a set of splits: each list, and the lists together.

    A worker audits it on the first request; `state` is `pending` until then, and `ready` afterwards. A job that
    names a list with errors in `lists` is refused.
    """

    def request_audit() -> InspectionRequest:
        declared = services.catalog.dataset(dataset)
        return AuditRequest.of(declared, set_folder(services.catalog, declared, name), services.catalog)

    [audit] = await await_inspections(services, [await run_sync(request_audit)], min(wait, MAX_WAIT_S))
    if audit.error is not None:
        raise RequestError.from_dict(audit.error)
    return AuditView.of(name, dataset, audit.answer)


@router.get("/splits/{name:path}/{split}")
async def get_split(
    name: SetName,
    split: Annotated[str, Path(description="Of the list.")],
    services: ServicesDep,
    dataset: DatasetName = DEFAULT_DATASET,
) -> IndexList | SetView:
    """Show one index list with its indices, checked against its base.

    Where there is no such list but a set in a folder `{name}/{split}`, that set, as `GET /splits/{name}` shows it.
    """
    declared = await run_sync(services.catalog.dataset, dataset)

    def read() -> IndexList | None:
        # Both names are checked before they become a path.
        folder, path = services.catalog.splits_folder(declared, name), check_name("split", split)
        nested = Folder(f"{folder.name}/{path}", folder.path / path)
        if not services.catalog.split_path(folder, path).is_file() and services.catalog.split_names(nested):
            return None
        read_split = services.catalog.read_split(declared, folder, split)
        return IndexList(
            name=name,
            split=split,
            dataset=dataset,
            base=read_split.base,
            sha256=read_split.sha256,
            size=int(read_split.indices.size),
            indices=read_split.indices.tolist(),
        )

    return await run_sync(read) or await show_set(services, dataset, declared, f"{name}/{split}")


@router.get("/splits/{name}")
async def get_set(name: SetName, services: ServicesDep, dataset: DatasetName = DEFAULT_DATASET) -> SetView:
    """Show a set of splits: lists, class counts, groups of classes.

    A list has what is wrong with it in `problem`. A worker counts classes on the first request; until then a list
    is `unread`. The groups are those that the train counts make.
    """
    return await show_set(services, dataset, await run_sync(services.catalog.dataset, dataset), name)


@router.get("/datasets")
def list_datasets(services: ServicesDep) -> DatasetList:
    """List the data sets that `datasets.toml` declares."""
    declared = services.catalog.datasets()
    views = [DatasetView(name=name, **dataset.model_dump()) for name, dataset in declared.items()]
    return DatasetList(datasets=views)
