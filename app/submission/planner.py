"""Plan a job: what it would reuse, compute and write, and all that would make it fail. No device is touched.

What only a worker knows (passports, pixels, rates) comes from inspections; `inspections_of` lists those to request
before a plan is made.
"""

from __future__ import annotations

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
from app.submission.bodies import RecomputeBody
from app.submission.plans import Memory, Plan, PlannedUnit
from app.submission.recompute import Examined, ExpertFile, examine

UNIT_S = 0.03
BYTES_PER_S = 150e6
"""To write, read back, verify and publish a file: measured 27 ms for 0.8 MB, 58 ms for 8, 233 ms for 42."""

FLOAT_BYTES, INT_BYTES, SUM_BYTES = 4, 8, 8
ARCHIVE_BYTES = 766  # of the zip directory and the array headers


class _Unknown(Exception):
    """A figure that cannot be known yet; the message says why."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a plan is made from, besides the request."""

    catalog: Catalog
    inspections: InspectionStore
    rates: RateStore
    rows: RowStore
    compute_environments: Sequence[ComputeEnvironment]
    """How the living workers compute."""

    def examine(self, body: RecomputeBody) -> Examined:
        """Check the request against what is known now."""
        return examine(body, self.catalog, self.inspections, self.compute_environments)


def inspections_of(examined: Examined, catalog: Catalog, weights: str | None = None) -> list[InspectionRequest]:
    """List a plan's inspections: passports, normalisation, pixels."""
    if examined.dataset is None:
        return []
    requests: list[InspectionRequest] = [
        PassportRequest.of(expert.path, examined.dataset, weights) for expert in examined.experts
    ]
    requests += _normalisation_requests(examined, catalog)
    return requests + [PoolRequest.of(examined.dataset, base, catalog) for base in _bases(examined.splits)]


def _normalisation_requests(examined: Examined, catalog: Catalog) -> list[NormalisationRequest]:
    """List the normalisation inspections, if any split is valid."""
    if examined.dataset is None or examined.request is None or not examined.splits:
        return []
    base, request = evidence_base(split.base for split in examined.splits), examined.request
    return [
        NormalisationRequest.of(expert.path, request.dataset, examined.dataset, base, catalog, request.weights)
        for expert in examined.experts
    ]


def make_plan(body: RecomputeBody, site: Site) -> Plan:
    """Plan a request with what is known now."""
    examined = site.examine(body)
    plan = Plan(list(examined.problems), [], examined.request, None)
    numerics = _add_numerics(plan, body, site)
    plan.problems += [_unused_override(key, body.dataset) for key in examined.unused_overrides]
    _warn_of_workers(plan, site)
    if body.precision != "fp32":
        plan.warn(
            "compared-with-fp32",
            f"To see what {body.precision} costs, verification computes up to {SAMPLED:,} images of each unit in "
            "fp32 as well, unless such rows are kept; they are not in these figures.",
        )
    if examined.dataset is not None and examined.experts and examined.splits:
        answers = site.inspections.look_up(_normalisation_requests(examined, site.catalog))
        plan.normalisation = {e.name: known.answer for e, known in zip(examined.experts, answers, strict=False)}
        try:
            _UnitPlanner(examined, plan, numerics, body.reuse, site).add()
        except RequestError as error:
            # A base that cannot be read at all. It is named already, unless it was changed at this very moment.
            if error.message not in {problem.message for problem in plan.problems}:
                plan.problems.append(error)
                error.details.setdefault("pointer", "#/dataset")
        _check_disk(plan, site.catalog.settings.outputs_dir)
    return plan


def _unused_override(key: str, dataset: str) -> RequestError:
    """Build the error for an override that matches no file."""
    return RequestError(
        "override-unused",
        f"The override {key!r} of the data set {dataset} matches no checkpoint file, so nothing takes it. Name it "
        "after a file without its suffix, such as best_ce, or with * for any characters; or take it out.",
        pointer="#/dataset",
    )


def npz_bytes(rows: int, classes: int) -> int:
    """Estimate the bytes of logits, targets and predictions."""
    return rows * (classes * FLOAT_BYTES + 2 * INT_BYTES) + ARCHIVE_BYTES


def _add_numerics(plan: Plan, body: RecomputeBody, site: Site) -> NumericsKey | None:
    """Add and return a suitable worker's numerics, if any."""
    able = [environment for environment in site.compute_environments if body.precision in environment.precisions]
    if not able:
        return None
    batch = able[0].batch(body.batch_size)
    numerics = able[0].numerics(body.precision, batch)
    plan.arithmetic = {name: getattr(numerics, name) for name in ("engine", "engine_version", "model")}
    plan.arithmetic |= {"capability": numerics.capability, "precision": body.precision, "batch": batch}
    return numerics


class _UnitPlanner:
    """Adds units and memory to a plan; at least one expert and one split of the request are right."""

    def __init__(self, examined: Examined, plan: Plan, numerics: NumericsKey | None, reuse: bool, site: Site) -> None:
        assert examined.dataset is not None
        self._examined, self._plan, self._numerics, self._reuse, self._site = examined, plan, numerics, reuse, site
        self._dataset = examined.dataset
        self._sizes = {base: site.catalog.bases.size(examined.dataset, base) for base in _bases(examined.splits)}
        self._classes = site.catalog.bases.classes(examined.dataset)
        self._pools = {base: self._pool(base) for base in self._sizes}
        self._fresh = self._fresh_rows()
        self._peaks: list[int] = []
        self._owners: dict[str, str] = {}
        """Key of rows → the first expert that they are computed for."""

    def add(self) -> None:
        """Add units for pairs with readable bases, then the memory."""
        for expert in self._examined.experts:
            for split, fresh in zip(self._examined.splits, self._fresh, strict=True):
                # Pixels that cannot be read fail the unit: there is nothing to plan.
                if self._pools[split.base].error is None:
                    self._plan.units.append(self._unit(expert, split, fresh))
        self._add_memory()

    def _pool(self, base: str) -> Inspection:
        """Look up a base's pixels and note any problem."""
        [inspection] = self._site.inspections.look_up([PoolRequest.of(self._dataset, base, self._site.catalog)])
        if inspection.error is not None:
            first = next(i for i, split in enumerate(self._examined.splits) if split.base == base)
            self._plan.problems.append(RequestError.from_dict(inspection.error))
            self._plan.problems[-1].details["pointer"] = f"#/splits/{first}"
        return inspection

    def _fresh_rows(self) -> list[NDArray[np.int64]]:
        """List each split's distinct rows that no earlier split has."""
        covered = {base: np.zeros(size, np.bool_) for base, size in self._sizes.items()}
        fresh = []
        for split in self._examined.splits:
            distinct = np.unique(split.indices)
            fresh.append(distinct[~covered[split.base][distinct]])
            covered[split.base][distinct] = True
        return fresh

    def _unit(self, expert: ExpertFile, split: Split, fresh: NDArray[np.int64]) -> PlannedUnit:
        total, new, reasons = int(split.indices.size), fresh.size, {}
        reused = computed = seconds = computing_s = None
        try:
            new -= self._kept(expert, split.base, fresh)
            computed = new if self._reuse else fresh.size
            reused = total - computed
            computing_s = computed / self._rate(expert, split.base) if computed else 0.0
        except _Unknown as unknown:
            missing = ("reused", "computed", "seconds") if computed is None else ("seconds",)
            reasons = dict.fromkeys(missing, str(unknown))
        written = 2 * npz_bytes(total, self._classes) + new * (self._classes * FLOAT_BYTES + SUM_BYTES)
        if computing_s is not None:
            seconds = UNIT_S + written / BYTES_PER_S + computing_s
        return PlannedUnit(expert.name, split.name, total, reused, computed, seconds, written, reasons)

    def _kept(self, expert: ExpertFile, base: str, indices: NDArray[np.int64]) -> int:
        """Count the rows that are kept."""
        passport, pool = self._known(expert, base)
        if self._numerics is None:
            raise _Unknown("There is no worker that could compute this.")
        transform = self._dataset.transform(expert.path.stem).model_dump(mode="json")
        source = row_source(passport, pool["pixels_sha256"], transform, self._numerics)
        if self._owners.setdefault(source.key, expert.name) != expert.name:
            return indices.size  # the same weights under another name: that expert's units will have kept them
        try:
            rows = self._site.rows.look(source, self._sizes[base])
            return rows.count(indices) if rows else 0
        except OSError:  # removed at this moment
            return 0

    def _rate(self, expert: ExpertFile, base: str) -> float:
        """Look up the measured rate, in images a second."""
        passport, pool = self._known(expert, base)
        assert self._numerics is not None
        rate = self._site.rates.get(rate_key(passport["network"], pool["images"][1:], self._numerics))
        if rate is None:
            network, precision = passport["network"]["architecture"], self._numerics.precision
            raise _Unknown(f"No worker has computed with a {network} in {precision} for long enough to time it.")
        self._peaks.append(rate.peak_bytes)
        return rate.images_per_s

    def _known(self, expert: ExpertFile, base: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """Return the expert's passport and the base's pixel inspection."""
        if expert.passport is None:
            raise _Unknown(f"No worker has read {expert.path.name} yet.")
        if (pool := self._pools[base].answer) is None:
            raise _Unknown(f"No worker has decoded the base {base!r} yet.")
        return expert.passport, pool

    def _add_memory(self) -> None:
        answers = [inspection.answer for inspection in self._pools.values()]
        pools = None if None in answers else sum(int(np.prod(a["images"])) for a in answers if a is not None)
        passports = [expert.passport for expert in self._examined.experts]
        weights = None if None in passports else sum(FLOAT_BYTES * p["parameters"] for p in passports if p)
        largest = max(split.indices.size for split in self._examined.splits)
        rows = sum(self._sizes.values()) + largest
        logits = rows * self._classes * FLOAT_BYTES + largest * 2 * INT_BYTES
        needed = None if pools is None or weights is None else pools + logits + weights
        host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self._plan.memory = Memory(pools, logits, weights, needed, max(self._peaks, default=None), host)
        most = max(needed or 0, *self._peaks, 0)
        if most > host:
            detail = f"A worker would take {_gigabytes(most)} of memory; this machine has {_gigabytes(host)}."
            self._plan.warn("memory-short", f"{detail} Take smaller bases, or a machine with more.")


def _warn_of_workers(plan: Plan, site: Site) -> None:
    if not site.compute_environments:
        supervised = site.catalog.settings.workers != 0
        hint = "The service is starting one: ask again." if supervised else "Start one with: python -m worker"
        plan.warn("no-worker", f"No worker is alive, so neither kept rows nor the time can be known. {hint}")
    if len(site.compute_environments) > 1:
        plan.warn(
            "workers-differ", f"Workers compute in {len(site.compute_environments)} ways; this is the plan of one."
        )


def _check_disk(plan: Plan, outputs: Path) -> None:
    needed, free = sum(unit.bytes for unit in plan.units), shutil.disk_usage(outputs).free
    if needed > free:
        message = (
            f"The job would write {_gigabytes(needed)}, but {outputs} has room for {_gigabytes(free)}. Make room "
            "there (`relogit rows prune` removes kept rows), or ask for fewer experts and splits."
        )
        plan.problems.append(RequestError("disk-too-full", message, pointer="#/output_dir"))


def _bases(splits: Sequence[Split]) -> list[str]:
    return list(dict.fromkeys(split.base for split in splits))


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB"
