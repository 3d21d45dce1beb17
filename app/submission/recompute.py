"""Check a recompute request against what is on disk and what workers have reported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from app.catalog.bases import FileId, file_id
from app.catalog.catalog import Catalog
from app.catalog.checkpoints import check_classes, check_precision_range, check_temperature
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.normalisation import refusal
from app.catalog.split_lists import Split
from app.domain.errors import Refused, RequestError
from app.domain.jobs import UnitPlan
from app.domain.names import check_name
from app.domain.numerics import ComputeEnvironment
from app.domain.requests import Grounds, Precision, RecomputeRequest
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest, evidence_base
from app.store.inspections import InspectionStore
from app.submission.bodies import RecomputeBody, StandardsBody
from app.submission.problems import Problems, check_prefix

INTERNAL_NAME = ".relogit"


@dataclass(frozen=True, slots=True)
class ExpertFile:
    """An expert whose checkpoint is there, and of which no problem is known."""

    name: str
    path: Path
    identity: FileId
    """Of the file, as it was when its passport was looked up."""
    passport: Mapping[str, Any] | None
    """What a worker read in the file; None where none has read it yet."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A request beside what is on disk: what of it is right, and what is not."""

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


def plan(
    body: RecomputeBody,
    catalog: Catalog,
    inspections: InspectionStore,
    compute_environments: Sequence[ComputeEnvironment] = (),
) -> tuple[RecomputeRequest, list[UnitPlan]]:
    """Check and complete a request and divide it into units.

    Where no worker lives, any precision is taken. Experts and the splits of each keep the order given.

    Raises:
        Refused: with a problem for each wrong item.
    """
    examined = examine(body, catalog, inspections, compute_environments)
    if examined.problems:
        raise Refused(examined.problems)
    assert examined.request is not None
    units = [
        UnitPlan(expert.name, split.name, split.indices.size, split.sha256)
        for expert in examined.experts
        for split in examined.splits
    ]
    return examined.request, units


def examine(
    body: RecomputeBody,
    catalog: Catalog,
    inspections: InspectionStore,
    compute_environments: Sequence[ComputeEnvironment] = (),
) -> Examined:
    """Check all parts of a request and collect the problems."""
    return _Examination(body, catalog, inspections).run(compute_environments)


class _Examination:
    """One request being checked; every problem is noted at its place."""

    def __init__(self, body: RecomputeBody, catalog: Catalog, inspections: InspectionStore) -> None:
        self._body, self._catalog, self._inspections = body, catalog, inspections
        self._problems = Problems()

    def run(self, compute_environments: Sequence[ComputeEnvironment]) -> Examined:
        """Check the parts in the order of the request's fields."""
        body, catalog, guard = self._body, self._catalog, self._problems.guard
        outputs = catalog.settings.outputs_dir
        output_dir = guard("output_dir", lambda: _output_dir(outputs, body.output_dir))
        guard("precision", lambda: _check_precision(body.precision, compute_environments))
        prefix = guard("checkpoint_prefix", lambda: check_prefix(body.checkpoint_prefix))
        dataset = guard("dataset", lambda: catalog.dataset(body.dataset))
        if dataset is None:
            return Examined(self._problems.errors)
        experts_folder = guard("experts_dir", lambda: catalog.experts_folder(body.dataset, dataset, body.experts_dir))
        names: tuple[str, ...] = ()
        experts: list[ExpertFile] = []
        if experts_folder is not None and prefix is not None:
            names, experts = self._experts(dataset, experts_folder)
        splits_folder = guard("splits_dir", lambda: catalog.splits_folder(dataset, body.splits_dir))
        splits = [] if splits_folder is None else self._splits(dataset, splits_folder)
        parts = (self._problems.errors, dataset, tuple(experts), tuple(splits))
        if experts_folder is None or prefix is None or splits_folder is None or output_dir is None:
            return Examined(*parts)
        for expert in experts:
            guard("output_dir", partial(_check_writable, outputs / output_dir / expert.name))
        grounds = guard("dataset", lambda: _grounds(dataset, experts, splits, catalog)) or Grounds()
        request = self._request(names, (experts_folder.name, splits_folder.name), dataset, grounds)
        for expert in experts:
            guard("experts", partial(self._check_normalisation, expert, request, dataset))
        return Examined(*parts, request, tuple(catalog.unused_overrides(dataset, experts_folder)))

    def _request(
        self, experts: tuple[str, ...], folders: tuple[str, str], dataset: Dataset, grounds: Grounds
    ) -> RecomputeRequest:
        """Fill in defaults; `folders` hold experts and splits."""
        body = self._body
        given = body.model_dump(exclude={"experts", "experts_dir", "splits_dir", *StandardsBody.model_fields})
        return RecomputeRequest(
            **given,
            experts=experts,
            experts_dir=folders[0],
            splits_dir=folders[1],
            declaration=dataset.model_dump(mode="json"),
            standards=body.standards(),
            grounds=grounds,
        )

    def _experts(self, dataset: Dataset, folder: Folder) -> tuple[tuple[str, ...], list[ExpertFile]]:
        """Return the requested names and the valid experts."""
        body = self._body
        files = self._catalog.experts(folder, body.checkpoint_prefix)
        if not files:
            self._note_unknown_prefix(folder)
            return (), []
        names = tuple(files) if body.experts is None else body.experts
        if body.experts is not None:
            self._check_distinct("experts", names)
        classes = self._problems.guard("dataset", lambda: self._catalog.bases.classes(dataset))

        def look_up(name: str) -> ExpertFile:
            path = self._catalog.checkpoint(folder, body.checkpoint_prefix, check_name("expert", name), files)
            return self._expert(name, path, dataset, classes)

        experts: dict[str, ExpertFile] = {}
        for i, name in enumerate(names):
            where = "experts" if body.experts is None else f"experts/{i}"
            if expert := self._problems.guard(where, partial(look_up, name)):
                experts.setdefault(name, expert)
        return names, list(experts.values())

    def _note_unknown_prefix(self, folder: Folder) -> None:
        prefix = self._body.checkpoint_prefix
        where = "checkpoint_prefix" if self._catalog.experts(folder, "") else "experts_dir"
        self._problems.add(where, self._catalog.unknown_prefix(folder, prefix))
        for i, name in enumerate(self._body.experts or ()):
            self._problems.guard(f"experts/{i}", partial(check_name, "expert", name))

    def _expert(self, name: str, path: Path, dataset: Dataset, classes: int | None) -> ExpertFile:
        """Check an expert's checkpoint by its passport, if known."""
        dataset.check_override(path.stem, name)
        identity = file_id(path)
        [inspection] = self._inspections.look_up([PassportRequest.of(path, dataset, self._body.weights)])
        if inspection.error is not None:
            raise RequestError.from_dict(inspection.error)
        passport = inspection.answer
        if passport is not None:
            if classes is not None:
                check_classes(path.name, passport["classes"], self._body.dataset, classes)
            if self._body.calibration == "checkpoint":
                check_temperature(path.name, passport["temperature"])
            check_precision_range(path.name, passport["largest_parameter"], self._body.precision)
        return ExpertFile(name, path, identity, passport)

    def _splits(self, dataset: Dataset, folder: Folder) -> list[Split]:
        names = self._body.splits
        self._check_distinct("splits", names)
        splits: dict[str, Split] = {}
        for i, name in enumerate(names):
            read = partial(self._catalog.read_split, dataset, folder, name)
            if split := self._problems.guard(f"splits/{i}", read):
                splits.setdefault(name, split)
        return list(splits.values())

    def _check_distinct(self, where: str, names: Sequence[str]) -> None:
        if not names:
            self._problems.add(where, RequestError("empty-list", f"{where} is empty; name at least one."))
        for i, name in enumerate(names):
            if name in names[:i]:
                self._problems.add(
                    f"{where}/{i}", RequestError("repeated-name", f"{name!r} stands twice in {where}.")
                )

    def _check_normalisation(self, expert: ExpertFile, request: RecomputeRequest, dataset: Dataset) -> None:
        """Refuse an expert known to contradict its mean and std."""
        base, stem = evidence_base(request.grounds.bases.values()), expert.path.stem
        [inspection] = self._inspections.look_up(
            [NormalisationRequest.of(expert.path, request.dataset, dataset, base, self._catalog, request.weights)]
        )
        if inspection.answer is None:
            return  # a worker checks it before it computes
        acknowledged = dataset.override(stem).normalisation_acknowledged
        if error := refusal(inspection.answer, request.dataset, stem, acknowledged=acknowledged):
            raise error


def _grounds(dataset: Dataset, experts: Sequence[ExpertFile], splits: Sequence[Split], catalog: Catalog) -> Grounds:
    return Grounds(
        bases={split.name: split.base for split in splits},
        data={base: catalog.bases.identity(dataset, base) for base in {split.base for split in splits}},
        checkpoints={expert.name: expert.identity for expert in experts},
        contents={expert.name: expert.passport["sha256"] for expert in experts if expert.passport is not None},
    )


def _check_precision(precision: Precision, compute_environments: Sequence[ComputeEnvironment]) -> None:
    offered = list(dict.fromkeys(p for environment in compute_environments for p in environment.precisions))
    if offered and precision not in offered:
        raise RequestError(
            "precision-unavailable",
            f"No living worker computes in {precision}; {', '.join(offered)} would have been right.",
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
