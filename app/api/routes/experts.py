"""Experts: which checkpoints there are, and what a worker found in them."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query

from app.api.dependencies import Services, Used
from app.api.waiting import answers
from app.catalog.checkpoints import check_classes
from app.catalog.datasets import DEFAULT_BASE, DEFAULT_DATASET
from app.catalog.normalisation import proposal
from app.domain.errors import NotFound, RequestError
from app.domain.names import check_name
from app.store.inspection_requests import normalisation_question, passport_question
from app.store.inspections import Inspection, InspectionRequest

router = APIRouter(prefix="/experts", tags=["experts"])

DatasetName = Annotated[str, Query(description="A data set of `datasets.toml`.")]
Prefix = Annotated[str, Query(description="What stands before the expert's name in its file name.")]
FolderName = Annotated[str | None, Query(description="Below the checkpoint directory; the data set's own.")]


@router.get("")
async def list_experts(
    used: Used, dataset: DatasetName = DEFAULT_DATASET, prefix: Prefix = "best_", experts_dir: FolderName = None
) -> dict[str, Any]:
    """Every expert under a prefix with its passport, or with what is wrong with its file.

    Workers read the files; what none has read within ten seconds is shown as `unread`.
    """
    return await _describe(used, dataset, prefix, experts_dir, None)


@router.get("/{name}")
async def get_expert(
    name: str,
    used: Used,
    dataset: DatasetName = DEFAULT_DATASET,
    prefix: Prefix = "best_",
    experts_dir: FolderName = None,
) -> dict[str, Any]:
    """Describe one expert: its passport, and what its checkpoint says about its mean and std.

    `normalisation` is null where the images are not there or no worker has looked within ten seconds, and for image
    folders, which are decoded for jobs only; `proposal` has lines for `datasets.toml` where they would fit better.
    """
    entry: dict[str, Any] = (await _describe(used, dataset, prefix, experts_dir, name))["experts"][0]
    entry |= {"normalisation": None, "proposal": []}
    if entry["state"] != "ready":
        return entry

    def ask() -> InspectionRequest | None:
        declared = used.catalog.dataset(dataset)
        path = used.catalog.checkpoint(used.catalog.experts_folder(dataset, declared, experts_dir), prefix, name)
        if declared.kind == "imagefolder":
            return None
        try:
            return normalisation_question(path, dataset, declared, DEFAULT_BASE, used.catalog)
        except RequestError:  # the images are not there
            return None

    question = await run_sync(ask)
    if question is not None:
        [fact] = await answers(used, [question])
        if fact.answer is not None:
            stem = PurePath(entry["file"]).stem
            entry |= {"normalisation": fact.answer, "proposal": proposal(fact.answer, dataset, stem)}
    return entry


async def _describe(
    used: Services, dataset_name: str, prefix: str, experts_dir: str | None, only: str | None
) -> dict[str, Any]:
    def look_around() -> tuple[list[str], str, int | None, list[dict[str, Any]], list[InspectionRequest | None]]:
        dataset = used.catalog.dataset(dataset_name)
        folder = used.catalog.experts_folder(dataset_name, dataset, experts_dir)
        check_name("prefix", prefix, may_be_empty=True)
        try:
            classes = used.catalog.bases.classes(dataset)
        except RequestError:
            classes = None  # the images are not there: the files can be described all the same
        entries: list[dict[str, Any]] = []
        questions: list[InspectionRequest | None] = []
        there = used.catalog.experts(folder, prefix)
        if only is None and not there and used.catalog.experts(folder, ""):
            raise _not_found(used.catalog.unknown_prefix(folder, prefix))
        for name in there if only is None else [only]:
            entry: dict[str, Any] = {"name": name, "file": None, "state": "bad", "passport": None, "problem": None}
            entry["transform"] = None
            question = None
            try:
                path = used.catalog.checkpoint(folder, prefix, name)
                entry["file"] = path.name
                dataset.check_override(path.stem, name)
                source = "data set" if dataset.override(path.stem).mean is None else "override"
                entry["transform"] = {**dataset.transform(path.stem).model_dump(mode="json"), "from": source}
                question = passport_question(path, dataset)
            except RequestError as error:
                if only is not None and error.code in ("unknown-expert", "unknown-prefix"):
                    raise _not_found(error) from error
                entry["problem"] = error.to_dict()
            entries.append(entry)
            questions.append(question)
        unused = used.catalog.unused_overrides(dataset, folder)
        return unused, folder.name, classes, entries, questions

    unused, folder_name, classes, entries, questions = await run_sync(look_around)
    asked = [question for question in questions if question is not None]
    inspections = iter(await answers(used, asked))
    for entry, question in zip(entries, questions, strict=True):
        if question is not None:
            _fill(entry, next(inspections), dataset_name, classes)
    return {
        "dataset": dataset_name,
        "experts_dir": folder_name,
        "prefix": prefix,
        "experts": entries,
        "unused_overrides": unused,
    }


def _not_found(error: RequestError) -> NotFound:
    return NotFound(error.code, error.message, **error.details)


def _fill(entry: dict[str, Any], fact: Inspection, dataset_name: str, classes: int | None) -> None:
    entry["passport"] = fact.answer
    entry["problem"] = fact.error
    entry["state"] = "unread" if not fact.known else "bad" if fact.error else "ready"
    if fact.answer is not None and classes is not None:
        try:
            check_classes(entry["file"], fact.answer["classes"], dataset_name, classes)
        except RequestError as error:
            entry["state"], entry["problem"] = "bad", error.to_dict()
