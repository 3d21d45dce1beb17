"""Views of split sets: which sets there are, and what each of their lists holds."""

from __future__ import annotations

from collections.abc import Sequence

from anyio.to_thread import run_sync

from app.api.dependencies import Services
from app.api.schemas import ErrorView
from app.api.split_schemas import ListSummary, ListView, SetOrigin, SetSummary, SetView
from app.api.waiting import await_inspections
from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_sets import Description, read_description
from app.domain.errors import NotFound, RequestError
from app.domain.standards import HEAD_THRESHOLD
from app.report.split_picture import ClassGroups, ShownList, ShownSet
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import GroupsRequest, SplitCountsRequest
from app.store.inspections import Inspection


def list_sets(dataset_name: str, catalog: Catalog) -> list[SetSummary]:
    """List a data set's split sets on disk.

    A set is a folder with index lists in it, directly below the data directory or declared in `datasets.toml`. Sets
    that `datasets.toml` or their `splits.json` gives to another data set are left out; where neither names one (the
    set is not `claimed`), the set may be this data set's.

    Raises:
        RequestError: `unknown-dataset`, or `data-dir-missing`.
    """
    dataset = catalog.dataset(dataset_name)
    owners: dict[str, list[str]] = {}
    for owner, declared in catalog.datasets().items():
        owners.setdefault(declared.splits, []).append(owner)
    root = catalog.settings.data_dir
    folders = [path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    summaries = []
    for name in sorted({*folders, *owners}):
        folder = Folder(name, root / name)
        description, problem = _describe(folder)
        owner_in_file = description.dataset.name if description and description.dataset else None
        set_owners = owners.get(name) or ([owner_in_file] if owner_in_file else [])
        splits = catalog.split_names(folder)
        if splits and (dataset_name in set_owners or not set_owners):
            lists = [read_list(dataset, folder, split, catalog)[0] for split in splits]
            summaries.append(
                SetSummary(
                    name=name,
                    own=name == dataset.splits,
                    claimed=bool(set_owners),
                    description=_origin(description),
                    problem=problem,
                    splits=[ListSummary.model_validate(view, from_attributes=True) for view in lists],
                )
            )
    return summaries


def read_list(
    dataset: Dataset, folder: Folder, split: str, catalog: Catalog
) -> tuple[ListView, InspectionRequest | None]:
    """Read an index list and build its class count request.

    The request is None if the list or its base is unusable; the view then has the problem.
    """
    view = ListView(
        name=split, base=None, size=None, sha256=None, state="bad", classes=None, class_counts=None, problem=None
    )
    try:
        view.base = base = catalog.base_of(dataset, folder, split)
        index_list = catalog.read_split(dataset, folder, split)
        view.size, view.sha256, view.state = int(index_list.indices.size), index_list.sha256, "unread"
        identity = catalog.bases.identity(dataset, base)
        return view, SplitCountsRequest(dataset, identity, folder.name, split, index_list.sha256)
    except RequestError as error:
        view.problem = ErrorView.model_validate(error.to_dict())
        return view, None


async def show_set(
    services: Services, dataset_name: str, dataset: Dataset, name: str, head_threshold: int = HEAD_THRESHOLD
) -> SetView:
    """Show a set of splits with class counts and groups.

    Raises:
        NotFound: `no-splits`.
        RequestError: the folder's name is invalid.
    """

    def read_set() -> tuple[SetView, list[InspectionRequest | None]]:
        folder = set_folder(services.catalog, dataset, name)
        description, problem = _describe(folder)
        names = services.catalog.split_names(folder)
        lists = [read_list(dataset, folder, split, services.catalog) for split in names]
        counting = None if problem else GroupsRequest.of(dataset, folder, services.catalog, head_threshold)
        shown = SetView(
            name=name,
            dataset=dataset_name,
            own=name == dataset.splits,
            description=_origin(description),
            problem=problem,
            splits=[view for view, _ in lists],
            groups=None,
        )
        return shown, [counting, *(request for _, request in lists)]

    shown, requests = await run_sync(read_set)
    inspections = iter(await await_inspections(services, [request for request in requests if request is not None]))
    groups, *counts = (None if request is None else next(inspections) for request in requests)
    for view, inspection in zip(shown.splits, counts, strict=True):
        if inspection is not None:
            _add_counts(view, inspection)
    if groups is not None and groups.answer is not None and groups.answer["groups"] is not None:
        shown.groups = ClassGroups(**groups.answer["groups"])
    return shown


def shown_set(view: SetView, changed: Sequence[str]) -> ShownSet:
    """Return a set as its picture takes it; `changed` lists are not those that a job took."""
    lists = []
    for item in view.splits:
        unread, problem = item.state == "unread", item.problem.message if item.problem else None
        lists.append(ShownList(item.name, item.base, item.size, item.class_counts, unread, problem))
    return ShownSet(view.name, lists, view.groups, changed)


def set_folder(catalog: Catalog, dataset: Dataset, name: str) -> Folder:
    """Return the folder of a set of splits.

    Raises:
        NotFound: `no-splits`, there is no index list in it.
        RequestError: its name is invalid.
    """
    folder = catalog.splits_folder(dataset, name)
    if not catalog.split_names(folder):
        raise NotFound("no-splits", f"There is no index list (NAME_indices.json) in {name!r}.")
    return folder


def _add_counts(view: ListView, inspection: Inspection) -> None:
    if inspection.error is not None:
        view.state, view.problem = "bad", ErrorView.model_validate(inspection.error)
    elif inspection.answer is not None:
        view.state = "ready"
        view.classes, view.class_counts = inspection.answer["classes"], inspection.answer["class_counts"]


def _describe(folder: Folder) -> tuple[Description | None, ErrorView | None]:
    """Read the set's `splits.json`, or return its error."""
    try:
        return read_description(folder.path), None
    except RequestError as error:
        return None, ErrorView.model_validate(error.to_dict())


def _origin(description: Description | None) -> SetOrigin | None:
    return None if description is None else SetOrigin.model_validate(description, from_attributes=True)
