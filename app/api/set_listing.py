"""Which sets of splits there are, and what each holds: from the disk alone, no worker is asked."""

from __future__ import annotations

from typing import Any

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_sets import Description, read_description
from app.domain.errors import RequestError
from app.store.inspection_requests import split_question
from app.store.inspections import InspectionRequest

MADE_WITH = ("made_by", "made_at", "profile", "imbalance_factor", "seed", "test_shares", "expert_share", "dataset")
"""What a listing shows of a `splits.json`; the rest is about single lists."""


def list_sets(dataset_name: str, catalog: Catalog) -> list[dict[str, Any]]:
    """The sets of a data set: each folder directly below the data directory, or declared, with index lists in it.

    One that is another data set's, as `datasets.toml` or its `splits.json` says, is left out. Where nothing says
    whose it is (not `claimed`), it may be this one's.

    Raises:
        RequestError: `unknown-dataset`, or `data-dir-missing`.
    """
    dataset = catalog.dataset(dataset_name)
    owners: dict[str, list[str]] = {}
    for name, declared in catalog.datasets().items():
        owners.setdefault(declared.splits, []).append(name)
    root = catalog.settings.data_dir
    below = [path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    listed = []
    for name in sorted({*below, *owners}):
        folder = Folder(name, root / name)
        described, problem = _read(folder)
        splits = catalog.split_names(folder)
        owner = described.dataset.name if described and described.dataset else None
        whose = owners.get(name) or ([owner] if owner else [])
        if splits and (dataset_name in whose or not whose):
            lists = [_brief(look_at_list(dataset, folder, split, catalog)[0]) for split in splits]
            head = {"name": name, "own": name == dataset.splits, "claimed": bool(whose)}
            listed.append(head | {"description": _made(described), "problem": problem, "splits": lists})
    return listed


def look_at_list(
    dataset: Dataset, folder: Folder, split: str, catalog: Catalog
) -> tuple[dict[str, Any], InspectionRequest | None]:
    """One list as a set shows it, and the question whose answer completes it; None where it cannot be used."""
    entry: dict[str, Any] = {"name": split, "base": None, "size": None, "sha256": None, "state": "bad",
                             "classes": None, "class_counts": None, "problem": None}  # fmt: skip
    try:
        base = catalog.base_of(dataset, folder, split)
        entry["base"] = base
        found = catalog.read_split(dataset, folder, split)
        entry.update(size=int(found.indices.size), sha256=found.sha256, state="unread")
        identity = catalog.bases.identity(dataset, base)
        return entry, split_question(dataset, identity, folder.name, split, found.sha256)
    except RequestError as error:
        return entry | {"problem": error.to_dict()}, None


def describe_set(folder: Folder) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """How the set was made, as its `splits.json` says, if it has one; and what is wrong with that file, if it is."""
    described, problem = _read(folder)
    return _made(described), problem


def _read(folder: Folder) -> tuple[Description | None, dict[str, Any] | None]:
    try:
        return read_description(folder.path), None
    except RequestError as error:
        return None, error.to_dict()


def _made(described: Description | None) -> dict[str, Any] | None:
    return None if described is None else described.model_dump(include=set(MADE_WITH))


def _brief(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("name", "base", "size", "problem")}
