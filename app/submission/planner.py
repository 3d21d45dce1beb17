"""What a job would reuse, compute and write, and all that would make it fail. No device is touched.

Passports, pixels and rates come from the store, where workers record them; `questions_of` lists what to request.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.catalog import Catalog
from app.catalog.split_lists import Split
from app.domain.errors import RequestError
from app.domain.numerics import SAMPLED, ComputeEnvironment, NumericsKey, row_source
from app.files.row_store import RowStore
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest, evidence_base
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import PoolRequest
from app.store.inspections import Inspection, InspectionStore
from app.store.rates import RateStore, rate_key
from app.submission.plans import Memory, Plan, PlannedUnit
from app.submission.recompute import Examined, ExpertFile, RecomputeOrder, examine

UNIT_S = 0.03
BYTES_PER_S = 150e6
"""Writing, reading back, verifying and showing a file: measured 27 ms for 0.8 MB, 58 ms for 8, 233 ms for 42."""

FLOAT_BYTES, INT_BYTES, SUM_BYTES = 4, 8, 8


class _Unknown(Exception):
    """A figure cannot be known yet; the message says why."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a plan is made from, besides the request."""

    catalog: Catalog
    inspections: InspectionStore
    rates: RateStore
    rows: RowStore
    compute_environments: Sequence[ComputeEnvironment]
    """How the living workers compute."""

    def examine(self, order: RecomputeOrder) -> Examined:
        """The request, held against what is known now."""
        return examine(order, self.catalog, self.inspections, self.compute_environments)


def questions_of(found: Examined, catalog: Catalog, weights: str | None = None) -> list[InspectionRequest]:
    """What a plan needs from a worker: what is in the checkpoints, and what the bases' pixels are."""
    if found.dataset is None:
        return []
    experts: list[InspectionRequest] = [
        PassportRequest.of(expert.path, found.dataset, weights) for expert in found.experts
    ]
    experts += normalisation_questions(found, catalog)
    return experts + [_pool_question(found, base, catalog) for base in _bases(found.splits)]


def normalisation_questions(found: Examined, catalog: Catalog) -> list[InspectionRequest]:
    """Return what is asked about the mean and std of each expert; [] where no split or base is right."""
    if found.dataset is None or found.request is None or not found.splits:
        return []
    base, request = evidence_base(split.base for split in found.splits), found.request
    return [
        NormalisationRequest.of(expert.path, request.dataset, found.dataset, base, catalog, request.weights)
        for expert in found.experts
    ]


def make_plan(order: RecomputeOrder, site: Site) -> Plan:
    """Plan a request with what is known now.

    Args:
        order: the request.
        site: where.
    """
    found = site.examine(order)
    plan = Plan(list(found.problems), [], found.request, None)
    numerics = None
    ways = [way for way in site.compute_environments if order.precision in way.precisions]
    if ways:
        batch = ways[0].batch(order.batch_size)
        numerics = ways[0].numerics(order.precision, batch)
        plan.arithmetic = {name: getattr(numerics, name) for name in ("engine", "engine_version", "model")}
        plan.arithmetic |= {"capability": numerics.capability, "precision": order.precision, "batch": batch}
    plan.problems += [unused_override(key, order.dataset) for key in found.unused_overrides]
    _warn_of_workers(plan, site)
    if order.precision != "fp32":
        plan.warn(
            "compared-with-fp32",
            f"To see what {order.precision} costs, verification computes up to {SAMPLED:,} images of each unit in "
            "fp32 as well, unless such rows are kept; they are not in these figures.",
        )
    if found.dataset is not None and found.experts and found.splits:
        plan.normalisation = _normalisation(found, site)
        try:
            _Sums(found, plan, numerics, order.reuse, site).add()
        except RequestError as error:
            # A base that cannot be read at all. It is named already, unless it was changed at this very moment.
            if error.message not in {problem.message for problem in plan.problems}:
                plan.problems.append(error)
                error.details.setdefault("pointer", "#/dataset")
        _check_disk(plan, site.catalog.settings.outputs_dir)
    return plan


def unused_override(key: str, dataset: str) -> RequestError:
    """Name an override that matches no checkpoint file: a misspelt name would otherwise pass in silence."""
    return RequestError(
        "override-unused",
        f"The override {key!r} of the data set {dataset} matches no checkpoint file, so nothing takes it. Name it "
        "after a file without its suffix, such as best_ce, or with * for any characters; or take it out.",
        pointer="#/dataset",
    )


def npz_bytes(rows: int, classes: int) -> int:
    """Size of the file that `np.savez` writes of logits, targets and predictions. Exact below 4 GiB."""
    arrays = {"logits": ("<f4", (rows, classes)), "targets": ("<i8", (rows,)), "predictions": ("<i8", (rows,))}
    total = 22  # the archive's end record
    for name, (dtype, shape) in arrays.items():
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
        total += stream.tell() + int(np.prod(shape)) * np.dtype(dtype).itemsize
        # Local header with its ZIP64 field, and the directory's entry, each with the member's name.
        total += 30 + 20 + 46 + 2 * len(f"{name}.npy")
    return total


def _normalisation(found: Examined, site: Site) -> dict[str, dict[str, Any] | None]:
    """Return what is known of each expert's mean and std; None where no worker has found it out."""
    inspections = site.inspections.look_up(normalisation_questions(found, site.catalog))
    return {expert.name: fact.answer for expert, fact in zip(found.experts, inspections, strict=False)}


class _Sums:
    """Fills a plan in, for a request of which at least one expert and one split are right."""

    def __init__(self, found: Examined, plan: Plan, numerics: NumericsKey | None, reuse: bool, site: Site) -> None:
        assert found.dataset is not None
        self._found, self._plan, self._numerics, self._reuse, self._site = found, plan, numerics, reuse, site
        self._dataset = found.dataset
        self._sizes = {base: site.catalog.bases.size(found.dataset, base) for base in _bases(found.splits)}
        self._classes = site.catalog.bases.classes(found.dataset)
        self._pools = {base: self._pool(base) for base in self._sizes}
        self._fresh = self._fresh_rows()
        self._peaks: list[int] = []
        self._owners: dict[str, str] = {}
        """Key of rows → the first expert that they are computed for."""

    def add(self) -> None:
        for expert in self._found.experts:
            for split, fresh in zip(self._found.splits, self._fresh, strict=True):
                # Pixels that cannot be read fail the unit: there is nothing to plan.
                if self._pools[split.base].error is None:
                    self._plan.units.append(self._unit(expert, split, fresh))
        self._add_memory()

    def _pool(self, base: str) -> Inspection:
        [fact] = self._site.inspections.look_up([_pool_question(self._found, base, self._site.catalog)])
        if fact.error is not None:
            first = next(i for i, split in enumerate(self._found.splits) if split.base == base)
            error = RequestError.from_dict(fact.error)
            error.details["pointer"] = f"#/splits/{first}"
            self._plan.problems.append(error)
        return fact

    def _fresh_rows(self) -> list[NDArray[np.int64]]:
        """Each split's distinct rows that are in no split before it over the same base: equal for all experts."""
        seen = {base: np.zeros(size, np.bool_) for base, size in self._sizes.items()}
        fresh = []
        for split in self._found.splits:
            distinct = np.unique(split.indices)
            fresh.append(distinct[~seen[split.base][distinct]])
            seen[split.base][distinct] = True
        return fresh

    def _unit(self, expert: ExpertFile, split: Split, fresh: NDArray[np.int64]) -> PlannedUnit:
        total, new, reasons = int(split.indices.size), fresh.size, {}
        computed = seconds = None
        try:
            new -= self._kept(expert, split.base, fresh)
            computed = new if self._reuse else fresh.size
        except _Unknown as unknown:
            reasons = dict.fromkeys(("reused", "computed", "seconds"), str(unknown))
        written = 2 * npz_bytes(total, self._classes) + new * (self._classes * FLOAT_BYTES + SUM_BYTES)
        if computed is not None:
            try:
                seconds = UNIT_S + written / BYTES_PER_S
                if computed:
                    seconds += computed / self._rate(expert, split.base)
            except _Unknown as unknown:
                seconds, reasons = None, {"seconds": str(unknown)}
        reused = None if computed is None else total - computed
        return PlannedUnit(expert.name, split.name, total, reused, computed, seconds, written, reasons)

    def _kept(self, expert: ExpertFile, base: str, indices: NDArray[np.int64]) -> int:
        """How many of the rows are kept."""
        passport, pool = self._known(expert, base)
        if self._numerics is None:
            raise _Unknown("There is no worker that could compute this.")
        transform = self._dataset.transform(expert.path.stem).model_dump(mode="json")
        source = row_source(passport, pool["pixels_sha256"], transform, self._numerics)
        if self._owners.setdefault(source.key, expert.name) != expert.name:
            return indices.size  # the same weights under another name: by then they are there
        try:
            rows = self._site.rows.look(source, self._sizes[base])
            return rows.count(indices) if rows else 0
        except OSError:  # removed at this moment
            return 0

    def _rate(self, expert: ExpertFile, base: str) -> float:
        """Images a second."""
        passport, pool = self._known(expert, base)
        assert self._numerics is not None
        rate = self._site.rates.get(rate_key(passport["network"], pool["images"][1:], self._numerics))
        if rate is None:
            network, precision = passport["network"]["architecture"], self._numerics.precision
            raise _Unknown(f"No worker has computed with a {network} in {precision} for long enough to time it.")
        self._peaks.append(rate.peak_bytes)
        return rate.images_per_s

    def _known(self, expert: ExpertFile, base: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """The expert's passport and the base's pixels."""
        passport, pool = expert.passport, self._pools[base].answer
        if passport is None:
            raise _Unknown(f"No worker has read {expert.path.name} yet.")
        if pool is None:
            raise _Unknown(f"No worker has decoded the base {base!r} yet.")
        return passport, pool

    def _add_memory(self) -> None:
        answers = [fact.answer for fact in self._pools.values()]
        pools = None if None in answers else sum(int(np.prod(a["images"])) for a in answers if a is not None)
        cards = [expert.passport for expert in self._found.experts]
        weights = None if None in cards else FLOAT_BYTES * sum(card["parameters"] for card in cards if card)
        row = self._classes * FLOAT_BYTES
        largest = max(split.indices.size for split in self._found.splits)
        logits = sum(self._sizes.values()) * row + largest * (row + 2 * INT_BYTES)
        parts = (pools, logits, weights)
        needed = None if None in parts else sum(part for part in parts if part is not None)
        host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        memory = Memory(pools, logits, weights, needed, max(self._peaks, default=None), host)
        self._plan.memory = memory
        most = max(memory.needed or 0, memory.measured or 0)
        if most > host:
            detail = f"A worker would take {_shown(most)} of memory; this machine has {_shown(host)}."
            self._plan.warn("memory-short", f"{detail} Take smaller bases, or a machine with more.")


def _warn_of_workers(plan: Plan, site: Site) -> None:
    if not site.compute_environments:
        cared_for = site.catalog.settings.workers != 0
        what = "The service is starting one: ask again." if cared_for else "Start one with: python -m worker"
        plan.warn("no-worker", f"No worker is alive, so neither kept rows nor the time can be known. {what}")
    if len(site.compute_environments) > 1:
        plan.warn(
            "workers-differ", f"Workers compute in {len(site.compute_environments)} ways; this is the plan of one."
        )


def _check_disk(plan: Plan, outputs: Path) -> None:
    wanted, free = sum(unit.bytes for unit in plan.units), shutil.disk_usage(outputs).free
    if wanted > free:
        message = (
            f"The job would write {_shown(wanted)}, but {outputs} has room for {_shown(free)}. Make room there "
            "(`relogit rows prune` removes kept rows), or ask for fewer experts and splits."
        )
        plan.problems.append(RequestError("disk-too-full", message, pointer="#/output_dir"))


def _bases(splits: Sequence[Split]) -> list[str]:
    return list(dict.fromkeys(split.base for split in splits))


def _pool_question(found: Examined, base: str, catalog: Catalog) -> InspectionRequest:
    assert found.dataset is not None
    return PoolRequest.of(found.dataset, base, catalog)


def _shown(size: int) -> str:
    return f"{size / 1e9:,.2f} GB"
