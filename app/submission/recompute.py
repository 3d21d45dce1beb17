"""From a request to a plan that can be queued, or to every single thing that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from app.catalog.bases import FileId, file_id
from app.catalog.catalog import Catalog
from app.catalog.checkpoints import check_classes, check_precision_range, check_temperature
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.normalisation import refusal
from app.catalog.split_lists import Split
from app.domain.errors import Conflict, Refused, RequestError
from app.domain.jobs import UnitPlan
from app.domain.names import check_name
from app.domain.numerics import ComputeEnvironment
from app.domain.requests import BatchSize, Calibration, Grounds, Precision, RecomputeRequest, Standards
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest, evidence_base
from app.store.inspections import InspectionStore

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
    precision: Precision
    reuse: bool
    weights: str | None
    standards: Standards


@dataclass(frozen=True, slots=True)
class ExpertFile:
    """An expert that was found and that nothing is known against."""

    name: str
    path: Path
    identity: FileId
    """Of the file, as it was when its passport was looked up."""
    passport: Mapping[str, Any] | None
    """What a worker found in the file; None where none has read it yet."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A request held against what is on disk and what is known: what of it is right, and what is not."""

    problems: list[RequestError]
    """Each with a `pointer` into the request."""
    dataset: Dataset | None = None
    experts: tuple[ExpertFile, ...] = ()
    """Those that are right, in the order given, each once."""
    splits: tuple[Split, ...] = ()
    """Those that are right, in the order given, each once."""
    request: RecomputeRequest | None = None
    """With every default filled in; None where a folder, the prefix or the data set is wrong."""
    unused_overrides: tuple[str, ...] = ()
    """Of the data set: those that match no checkpoint."""


class Problems:
    """Collects what is wrong, so that one answer names all of it."""

    def __init__(self) -> None:
        self.found: list[RequestError] = []

    def refusal(self) -> RequestError:
        """The error to raise: a sole conflict with what is there as itself, anything else as a refusal."""
        return self.found[0] if len(self.found) == 1 and isinstance(self.found[0], Conflict) else Refused(self.found)

    def guard(self, where: str, attempt: Callable[[], T]) -> T | None:
        """The attempt's result; None when it fails, with the problem noted at that place of the request."""
        try:
            return attempt()
        except RequestError as error:
            error.details.setdefault("pointer", f"#/{where}")
            if error.message not in {known.message for known in self.found}:
                self.found.append(error)
            return None


def plan(
    order: RecomputeOrder,
    catalog: Catalog,
    inspections: InspectionStore,
    compute_environments: Sequence[ComputeEnvironment] = (),
) -> tuple[RecomputeRequest, list[UnitPlan]]:
    """Check a request against what is on disk and what is known.

    Args:
        order: the request.
        catalog: what is on disk.
        facts: what workers found out.
        arithmetics: how the living workers compute; where none lives, any precision is taken.

    Returns:
        The request with every default filled in, and its units: experts in the order given, and within each
        the splits in the order given.

    Raises:
        Refused: with a problem for each wrong item.
    """
    found = examine(order, catalog, inspections, compute_environments)
    if found.problems:
        raise Refused(found.problems)
    assert found.request is not None
    units = [UnitPlan(e.name, s.name, s.indices.size, s.sha256) for e in found.experts for s in found.splits]
    return found.request, units


def examine(
    order: RecomputeOrder,
    catalog: Catalog,
    inspections: InspectionStore,
    compute_environments: Sequence[ComputeEnvironment] = (),
) -> Examined:
    """As `plan`, but what is wrong hides nothing of what is right."""
    problems = Problems()
    outputs = catalog.settings.outputs_dir
    output_dir = problems.guard("output_dir", lambda: _output_dir(outputs, order.output_dir))
    problems.guard("precision", lambda: _check_precision(order.precision, compute_environments))
    prefix = problems.guard(
        "checkpoint_prefix", lambda: check_name("checkpoint_prefix", order.checkpoint_prefix, may_be_empty=True)
    )
    dataset = problems.guard("dataset", lambda: catalog.dataset(order.dataset))
    if dataset is None:
        return Examined(problems.found)

    experts_folder = problems.guard(
        "experts_dir", lambda: catalog.experts_folder(order.dataset, dataset, order.experts_dir)
    )
    names: tuple[str, ...] = ()
    experts: list[ExpertFile] = []
    if experts_folder is not None and prefix is not None:
        names, experts = _experts(order, dataset, experts_folder, catalog, inspections, problems)

    splits_folder = problems.guard("splits_dir", lambda: catalog.splits_folder(dataset, order.splits_dir))
    splits: list[Split] = []
    if splits_folder is not None:
        splits = _splits(order, dataset, splits_folder, catalog, problems)
    if experts_folder is None or prefix is None or splits_folder is None or output_dir is None:
        return Examined(problems.found, dataset, tuple(experts), tuple(splits))
    for expert in experts:
        problems.guard("output_dir", partial(_check_writable, outputs / output_dir / expert.name))

    request = RecomputeRequest(
        dataset=order.dataset,
        experts=names,
        splits=order.splits,
        checkpoint_prefix=prefix,
        experts_dir=experts_folder.name,
        splits_dir=splits_folder.name,
        output_dir=output_dir,
        batch_size=order.batch_size,
        calibration=order.calibration,
        declaration=dataset.model_dump(mode="json"),
        precision=order.precision,
        reuse=order.reuse,
        standards=order.standards,
        weights=order.weights,
        grounds=problems.guard("dataset", lambda: _grounds(dataset, experts, splits, catalog)) or Grounds(),
    )
    for expert in experts:
        problems.guard("experts", partial(_check_normalisation, expert, request, dataset, catalog, inspections))
    unused = tuple(catalog.unused_overrides(dataset, experts_folder))
    return Examined(problems.found, dataset, tuple(experts), tuple(splits), request, unused)


def _check_normalisation(
    expert: ExpertFile, request: RecomputeRequest, dataset: Dataset, catalog: Catalog, inspections: InspectionStore
) -> None:
    """Refuse an expert that is known to contradict its declared mean and std; a worker finds out the others."""
    base = evidence_base(request.grounds.bases.values())
    question = NormalisationRequest.of(expert.path, request.dataset, dataset, base, catalog, request.weights)
    [fact] = inspections.look_up([question])
    acknowledged = dataset.override(expert.path.stem).normalisation_acknowledged
    if fact.answer and (error := refusal(fact.answer, request.dataset, expert.path.stem, acknowledged=acknowledged)):
        raise error


def _grounds(dataset: Dataset, experts: Sequence[ExpertFile], splits: Sequence[Split], catalog: Catalog) -> Grounds:
    return Grounds(
        bases={split.name: split.base for split in splits},
        data={base: catalog.bases.identity(dataset, base) for base in {split.base for split in splits}},
        checkpoints={expert.name: expert.identity for expert in experts},
        contents={expert.name: expert.passport["sha256"] for expert in experts if expert.passport is not None},
    )


def _check_precision(precision: Precision, compute_environments: Sequence[ComputeEnvironment]) -> None:
    offered = list(dict.fromkeys(p for arithmetic in compute_environments for p in arithmetic.precisions))
    if offered and precision not in offered:
        raise RequestError(
            "precision-unavailable",
            f"No worker that is alive computes in {precision}; there is {', '.join(offered)}.",
            available=offered,
        )


def _output_dir(outputs: Path, name: str) -> str:
    if name == INTERNAL_NAME:
        raise RequestError("reserved-name", f"output_dir {name!r} is relogit's own folder; choose another name.")
    _check_writable(outputs / check_name("output_dir", name))
    return name


def _check_writable(path: Path) -> None:
    if path.exists() and not (path.is_dir() and os.access(path, os.W_OK)):
        raise RequestError("output-dir-unusable", f"{path} is there, but is no folder that can be written to.")


def _experts(
    order: RecomputeOrder,
    dataset: Dataset,
    folder: Folder,
    catalog: Catalog,
    inspections: InspectionStore,
    problems: Problems,
) -> tuple[tuple[str, ...], list[ExpertFile]]:
    prefix = order.checkpoint_prefix
    there = catalog.experts(folder, prefix)
    if not there:
        where = "checkpoint_prefix" if catalog.experts(folder, "") else "experts_dir"
        problems.found.append(catalog.unknown_prefix(folder, prefix))
        problems.found[-1].details["pointer"] = f"#/{where}"
        for i, name in enumerate(order.experts or ()):
            problems.guard(f"experts/{i}", partial(check_name, "expert", name))
        return (), []
    names = tuple(there) if order.experts is None else order.experts
    if order.experts is not None:
        _distinct("experts", names, problems)
    classes = problems.guard("dataset", lambda: catalog.bases.classes(dataset))

    def look(name: str) -> ExpertFile:
        path = catalog.checkpoint(folder, prefix, check_name("expert", name), there)
        dataset.check_override(path.stem, name)
        identity = file_id(path)
        [fact] = inspections.look_up([PassportRequest.of(path, dataset, order.weights)])
        if fact.error is not None:
            raise RequestError.from_dict(fact.error)
        if fact.answer is not None:
            if classes is not None:
                check_classes(path.name, fact.answer["classes"], order.dataset, classes)
            if order.calibration == "checkpoint":
                check_temperature(path.name, fact.answer["temperature"])
            check_precision_range(path.name, fact.answer["largest_parameter"], order.precision)
        return ExpertFile(name, path, identity, fact.answer)

    found: dict[str, ExpertFile] = {}
    for i, name in enumerate(names):
        expert = problems.guard(f"experts/{i}" if order.experts is not None else "experts", partial(look, name))
        if expert is not None:
            found.setdefault(name, expert)
    return names, list(found.values())


def _splits(
    order: RecomputeOrder, dataset: Dataset, folder: Folder, catalog: Catalog, problems: Problems
) -> list[Split]:
    _distinct("splits", order.splits, problems)
    found: dict[str, Split] = {}
    for i, name in enumerate(order.splits):
        split = problems.guard(f"splits/{i}", partial(catalog.read_split, dataset, folder, name))
        if split is not None:
            found.setdefault(name, split)
    return list(found.values())


def _distinct(where: str, names: Sequence[str], problems: Problems) -> None:
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
