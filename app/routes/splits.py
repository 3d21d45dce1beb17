"""Splits: which index lists there are, and how many samples of each class they hold."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Response

from app.datasets import DEFAULT_DATASET
from app.errors import NotFound, RequestError
from app.facts import Question
from app.questions import audit_question, split_question
from app.routes.asking import answers
from app.routes.jobs import MAX_WAIT_S
from app.schemas import ImportBody, JobView, SplitsBody
from app.services import Used
from app.splits_import import import_splits
from app.splits_intake import plan_splits

router = APIRouter(tags=["splits"])


@router.post("/splits", status_code=202)
def create_splits(body: SplitsBody, used: Used, response: Response) -> JobView:
    """Check a request for a new set of splits and queue it. It is a job like any other, and takes a second or so."""
    job = used.jobs.submit(plan_splits(body.order(), used.catalog))
    response.headers["Location"] = f"/jobs/{job.id}"
    return JobView.of(job)


@router.post("/splits/import", status_code=201)
def take_over(body: ImportBody, used: Used, response: Response) -> dict[str, Any]:
    """Write lists that somebody else made as a set of splits. What is doubtful about them is said, not refused."""
    described = import_splits(body.order(), used.catalog)
    response.headers["Location"] = f"/splits?dataset={quote(body.dataset)}&splits_dir={quote(described['name'])}"
    return described


@router.get("/splits/{name:path}/audit")
async def audit_splits(
    name: Annotated[str, Path(description="Of the folder, below the data directory.")],
    used: Used,
    dataset: Annotated[str, Query(description="A data set of `datasets.toml`.")] = DEFAULT_DATASET,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for a worker, 60 at most.")] = 10.0,
) -> dict[str, Any]:
    """What is wrong with a set of splits, or misleads: each list's checks, and those of the lists together.

    A worker looks when it is first asked; `state` is `ready`, or `pending` while it does. Errors in `lists` refuse a
    job that names them.
    """

    def look_around() -> Question:
        declared = used.catalog.dataset(dataset)
        folder = used.catalog.splits_folder(declared, name)
        if not used.catalog.split_names(folder):
            raise NotFound("no-splits", f"There is no index list (NAME_indices.json) in {name!r}.")
        return audit_question(declared, folder, used.catalog)

    [fact] = await answers(used, [await run_sync(look_around)], min(wait, MAX_WAIT_S))
    if fact.error is not None:
        raise RequestError.from_dict(fact.error)
    shown = {"name": name, "dataset": dataset, "state": "pending" if fact.answer is None else "ready"}
    return shown | (fact.answer or {"verdict": None, "checks": [], "lists": {}})


@router.get("/splits/{name:path}/{split}")
def get_split(
    name: Annotated[str, Path(description="Of the folder, below the data directory.")],
    split: Annotated[str, Path(description="Of the list.")],
    used: Used,
    dataset: Annotated[str, Query(description="A data set of `datasets.toml`.")] = DEFAULT_DATASET,
) -> dict[str, Any]:
    """One index list, checked against the base that it points into: base, sha256 of its file, and the indices."""
    declared = used.catalog.dataset(dataset)
    found = used.catalog.read_split(declared, used.catalog.splits_folder(declared, name), split)
    shown = {"name": name, "split": split, "dataset": dataset, "base": found.base, "sha256": found.sha256}
    return shown | {"size": int(found.indices.size), "indices": found.indices.tolist()}


@router.get("/datasets")
def list_datasets(used: Used) -> dict[str, Any]:
    """The data sets that `datasets.toml` declares."""
    declared = used.catalog.datasets()
    return {"datasets": [{"name": name, **dataset.model_dump()} for name, dataset in declared.items()]}


@router.get("/splits")
async def list_splits(
    used: Used,
    dataset: Annotated[str, Query(description="A data set of `datasets.toml`.")] = DEFAULT_DATASET,
    splits_dir: Annotated[str | None, Query(description="Below the data directory; the data set's own.")] = None,
) -> dict[str, Any]:
    """Every index list of a folder: where it points, its size, its class counts, or what is wrong with it."""

    def look_around() -> tuple[str, list[dict[str, Any]], list[Question | None]]:
        declared = used.catalog.dataset(dataset)
        folder = used.catalog.splits_folder(declared, splits_dir)
        entries: list[dict[str, Any]] = []
        questions: list[Question | None] = []
        for name in used.catalog.split_names(folder):
            entry: dict[str, Any] = {"name": name, "base": None, "size": None, "sha256": None, "state": "bad",
                                     "classes": None, "class_counts": None, "problem": None}  # fmt: skip
            question = None
            try:
                base = used.catalog.base_of(declared, folder, name)
                entry["base"] = base
                split = used.catalog.read_split(declared, folder, name)
                entry.update(size=int(split.indices.size), sha256=split.sha256, state="unread")
                identity = used.catalog.bases.identity(declared, base)
                question = split_question(declared, identity, folder.name, name, split.sha256)
            except RequestError as error:
                entry["problem"] = error.to_dict()
            entries.append(entry)
            questions.append(question)
        return folder.name, entries, questions

    folder_name, entries, questions = await run_sync(look_around)
    facts = iter(await answers(used, [question for question in questions if question is not None]))
    for entry, question in zip(entries, questions, strict=True):
        fact = next(facts) if question is not None else None
        if fact is not None and fact.known:
            entry.update(fact.answer or {}, state="bad" if fact.error else "ready", problem=fact.error)
    return {"dataset": dataset, "splits_dir": folder_name, "splits": entries}
