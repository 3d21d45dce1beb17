"""From a request to a plan that can be queued, or to every single thing that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.catalog import Catalog, Folder, Split, check_classes, check_temperature
from app.datasets import Dataset
from app.errors import Refused, RequestError
from app.facts import FactStore
from app.jobs import BatchSize, Calibration, JobRequest, UnitPlan
from app.names import check_name
from app.questions import passport_question

INTERNAL_NAME = ".relogit"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecomputeOrder:
    """A recompute request as it came: None where the default is meant."""

    dataset: str
    experts: tuple[str, ...] | None
    checkpoint_prefix: str
    splits: tuple[str, ...]
    experts_dir: str | None
    splits_dir: str | None
    output_dir: str
    batch_size: BatchSize
    calibration: Calibration


class _Problems:
    """Collects what is wrong, so that one answer names all of it."""

    def __init__(self) -> None:
        self.found: list[RequestError] = []

    def guard(self, where: str, attempt: Callable[[], T]) -> T | None:
        """The attempt's result; None when it fails, with the problem noted at that place of the request."""
        try:
            return attempt()
        except RequestError as error:
            error.details.setdefault("pointer", f"#/{where}")
            if error.message not in {known.message for known in self.found}:
                self.found.append(error)
            return None

    def raise_any(self) -> None:
        if self.found:
            raise Refused(self.found)


def plan(order: RecomputeOrder, catalog: Catalog, facts: FactStore) -> tuple[JobRequest, list[UnitPlan]]:
    """Check a request against what is on disk and what is known.

    Returns:
        The request with every default filled in, and its units: experts in the order given, and within each
        the splits in the order given.

    Raises:
        Refused: with a problem for each wrong item.
    """
    problems = _Problems()
    outputs = catalog.settings.outputs_dir
    output_dir = problems.guard("output_dir", lambda: _output_dir(outputs, order.output_dir))
    prefix = problems.guard(
        "checkpoint_prefix", lambda: check_name("checkpoint_prefix", order.checkpoint_prefix, may_be_empty=True)
    )
    dataset = problems.guard("dataset", lambda: catalog.dataset(order.dataset))
    if dataset is None:
        problems.raise_any()
    assert dataset is not None

    experts_folder = problems.guard(
        "experts_dir", lambda: catalog.experts_folder(order.dataset, dataset, order.experts_dir)
    )
    experts: tuple[str, ...] = ()
    if experts_folder is not None and prefix is not None:
        experts = _experts(order, dataset, experts_folder, catalog, facts, problems)

    splits_folder = problems.guard("splits_dir", lambda: catalog.splits_folder(dataset, order.splits_dir))
    splits: list[Split] = []
    if splits_folder is not None:
        splits = _splits(order, dataset, splits_folder, catalog, problems)
    problems.raise_any()
    assert prefix is not None
    assert experts_folder is not None
    assert splits_folder is not None
    assert output_dir is not None

    request = JobRequest(
        dataset=order.dataset,
        experts=experts,
        splits=order.splits,
        checkpoint_prefix=prefix,
        experts_dir=experts_folder.name,
        splits_dir=splits_folder.name,
        output_dir=output_dir,
        batch_size=order.batch_size,
        calibration=order.calibration,
        declaration=dataset.model_dump(mode="json"),
    )
    units = [UnitPlan(e, s.name, s.indices.size, s.sha256) for e in experts for s in splits]
    return request, units


def _output_dir(outputs: Path, name: str) -> str:
    if name == INTERNAL_NAME:
        raise RequestError("reserved-name", f"output_dir {name!r} is relogit's own folder; choose another name.")
    path = outputs / check_name("output_dir", name)
    if path.exists() and not (path.is_dir() and os.access(path, os.W_OK)):
        raise RequestError("output-dir-unusable", f"{path} is there, but is no folder that can be written to.")
    return name


def _experts(
    order: RecomputeOrder, dataset: Dataset, folder: Folder, catalog: Catalog, facts: FactStore, problems: _Problems
) -> tuple[str, ...]:
    prefix = order.checkpoint_prefix
    there = catalog.experts(folder, prefix)
    if not there:
        where = "checkpoint_prefix" if catalog.experts(folder, "") else "experts_dir"
        problems.found.append(catalog.unknown_prefix(folder, prefix))
        problems.found[-1].details["pointer"] = f"#/{where}"
        for i, name in enumerate(order.experts or ()):
            problems.guard(f"experts/{i}", partial(check_name, "expert", name))
        return ()
    names = tuple(there) if order.experts is None else order.experts
    if order.experts is not None:
        _distinct("experts", names, problems)
    classes = problems.guard("dataset", lambda: catalog.bases.classes(dataset))
    for i, name in enumerate(names):
        problems.guard(
            f"experts/{i}" if order.experts is not None else "experts",
            lambda name=name: _check_expert(order, dataset, folder, name, classes, catalog, facts),  # type: ignore[misc]
        )
    return names


def _check_expert(
    order: RecomputeOrder,
    dataset: Dataset,
    folder: Folder,
    name: str,
    classes: int | None,
    catalog: Catalog,
    facts: FactStore,
) -> None:
    path = catalog.checkpoint(folder, order.checkpoint_prefix, check_name("expert", name))
    [fact] = facts.look_up([passport_question(path, dataset, name)])
    if fact.error is not None:
        raise RequestError.from_dict(fact.error)
    if fact.answer is not None:
        if classes is not None:
            check_classes(path.name, fact.answer["classes"], order.dataset, classes)
        if order.calibration == "checkpoint":
            check_temperature(path.name, fact.answer["temperature"])


def _splits(
    order: RecomputeOrder, dataset: Dataset, folder: Folder, catalog: Catalog, problems: _Problems
) -> list[Split]:
    _distinct("splits", order.splits, problems)
    found = []
    for i, name in enumerate(order.splits):
        split = problems.guard(f"splits/{i}", lambda name=name: catalog.read_split(dataset, folder, name))  # type: ignore[misc]
        if split is not None:
            found.append(split)
    return found


def _distinct(where: str, names: Sequence[str], problems: _Problems) -> None:
    if not names:
        problems.found.append(
            RequestError("empty-list", f"{where} is empty; name at least one.", pointer=f"#/{where}")
        )
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            error = RequestError("repeated-name", f"{name!r} stands twice in {where}.", pointer=f"#/{where}/{i}")
            problems.found.append(error)
        seen.add(name)
