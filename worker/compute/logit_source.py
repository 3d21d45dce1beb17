"""The logits of one expert over any pool: kept rows are read, missing rows are computed."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from app.catalog.datasets import Transform
from app.domain.errors import JobError
from app.domain.fault_points import reach
from app.domain.numerics import ComputeEnvironment, NumericsKey, RowSource, row_source
from app.domain.requests import BatchSize, Precision
from app.files.row_store import RowStore
from app.store.rates import Rate, RateStore, rate_key
from worker.compute.engines.engine import Engine, NoMemory, Setup
from worker.compute.inference import forward_rows
from worker.compute.model_cache import ModelCache
from worker.compute.rows import Rows, not_kept
from worker.datasets.pools import Pool
from worker.experts.loading import Assumptions, Passport

MEASURED_S = 0.5
"""Seconds of the shortest computation whose rate is recorded; shorter ones measure it badly."""


class ComputeResources(Protocol):
    """The worker's resources that a logit source needs."""

    @property
    def device(self) -> torch.device:
        """The device that engines run on."""

    @property
    def arithmetic(self) -> ComputeEnvironment:
        """The worker's compute environment."""

    @property
    def model_cache(self) -> ModelCache:
        """The cache of loaded networks and engines."""

    @property
    def kept(self) -> RowStore:
        """The rows that are kept on disk."""

    @property
    def rates(self) -> RateStore:
        """The store that records measured rates."""


@dataclass(frozen=True)
class ExpertFile:
    """The checkpoint that a logit source computes with."""

    path: Path
    assumptions: Assumptions
    passport: Passport
    transform: Transform
    seen: dict[str, str]
    """Labels that `relogit rows` shows for the kept rows: expert, file and data set."""


@dataclass
class LogitSource:
    """The rows of one expert. Lives as long as a claim.

    Attributes:
        expert: the checkpoint that computes the rows.
        wanted: upper bound on a physical batch, as requested.
        precision: the precision that the network computes in.
        reuse: whether kept rows are read.
        context: the worker's resources.
        batch: images of a physical batch; smaller after memory ran out.
        notes: deviations from the request.
    """

    expert: ExpertFile
    wanted: BatchSize
    precision: Precision
    reuse: bool
    context: ComputeResources
    batch: int = 0
    notes: list[str] = field(default_factory=list)
    computed: dict[str, list[NDArray[np.int64]]] = field(default_factory=dict)
    """Base → images whose rows were computed in this claim, batch by batch."""
    _rows: dict[str, Rows] = field(default_factory=dict)
    _sources: dict[tuple[str, int], RowSource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.batch = self.context.arithmetic.batch(self.wanted)
        self.numerics  # noqa: B018 — raises for an unsupported precision before anything is computed

    @property
    def numerics(self) -> NumericsKey:
        """The numerics key of the rows that are computed now."""
        return self.context.arithmetic.numerics(self.precision, self.batch)

    def source(self, pool: Pool) -> RowSource:
        """Return everything that the rows over a pool depend on."""
        key = (pool.pixels_sha256, self.batch)
        if key not in self._sources:
            transform = self.expert.transform.model_dump(mode="json")
            self._sources[key] = row_source(
                self.expert.passport.to_dict(), pool.pixels_sha256, transform, self.numerics
            )
        return self._sources[key]

    def fill(self, pool: Pool, indices: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Make a pool's rows available, computing missing ones.

        Args:
            pool: the images.
            indices: [N] int64 into the pool, may repeat.

        Yields:
            How many of the N entries are available, and how many images were computed for them: once at the
            beginning, then after each batch.

        Raises:
            JobError: `out-of-memory` if one image does not fit; what `forward_rows` raises.
        """
        entries = np.bincount(indices, minlength=len(pool.images))  # entries of each image, counted once
        computed, before = 0, None
        while True:
            rows = self._rows_over(pool)
            if rows is not before:
                computed, before = 0, rows  # rows of larger batches may have other bits, so they do not count
            missing = rows.missing(indices)
            available = rows.count(indices)
            yield available, computed
            if not missing.size:
                return
            out_of_memory = None
            try:
                for batch in self._compute(rows, pool, missing):
                    available += int(entries[batch].sum())
                    computed += batch.size
                    yield available, computed
            except NoMemory as error:
                out_of_memory = str(error)
            if out_of_memory is not None:  # not in the handler, where the error would keep its tensors alive
                self._halve(out_of_memory)

    def _compute(self, rows: Rows, pool: Pool, missing: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        # The rate excludes the time to make the engine, because the next job reuses it.
        engine = self._engine(pool)
        started = time.monotonic()
        try:
            for batch, logits in forward_rows(engine, pool.images, missing, self.expert.passport.classes):
                reach("rows.computed", self.source(pool).key, batch, self.reuse)
                rows.put(batch, logits)
                self.computed.setdefault(pool.base, []).append(batch)
                yield batch
        finally:
            rows.flush()
        self._record_rate(pool, missing.size, time.monotonic() - started)

    def take(self, pool: Pool, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return raw logits [N, C] float32; call `fill` before.

        Row n belongs to `indices[n]`.
        """
        return self._rows_over(pool).take(indices)

    def differing(self, pool: Pool, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return places [n] int64 whose rows differ from kept ones."""
        return self._rows_over(pool).differing(indices)

    def drop_differing(self, pool: Pool, indices: NDArray[np.int64]) -> None:
        """Keep neither version of rows whose bits differ."""
        self._rows_over(pool).drop_differing(indices)

    def kept(self, pool: Pool, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return distinct, ascending indices whose rows need no computing."""
        distinct = np.unique(indices)
        return np.setdiff1d(distinct, self._rows_over(pool).missing(distinct), assume_unique=True)

    def all_notes(self, pool: Pool) -> tuple[str, ...]:
        """List the deviations from the request over this pool."""
        note = self._rows_over(pool).note
        return (*self.notes, *([note] if note else []))

    def _rows_over(self, pool: Pool) -> Rows:
        # Keyed by what the rows depend on: smaller batches may give other bits, and the two must not mix.
        source = self.source(pool)
        key = source.key
        if key not in self._rows:
            row_labels = {**self.expert.seen, "base": pool.base}
            kept, note = None, None
            try:
                kept = self.context.kept.open(source, len(pool.images), row_labels)
                kept.touch()
            except OSError as error:
                note = not_kept(error)
            self._rows[key] = Rows(len(pool.images), source.classes, kept, reuse=self.reuse)
            self._rows[key].note = note
        return self._rows[key]

    def prepare(self, pool: Pool) -> None:
        """Load the engine that computes rows over a pool.

        Raises:
            JobError: the expert cannot be loaded.
            NoMemory: the expert does not fit.
        """
        self._engine(pool)

    def _engine(self, pool: Pool) -> Engine:
        height, width, channels = pool.images.shape[1:]
        setup = Setup(
            transform=self.expert.transform,
            image=(height, width, channels),
            batch=self.batch,
            precision=self.precision,
            device=self.context.device,
            threads=torch.get_num_threads(),
        )
        return self.context.model_cache.engine(self.expert.path, self.expert.passport, self.expert.assumptions, setup)

    def _halve(self, error: str) -> None:
        self.context.model_cache.drop_engines()
        if self.batch == 1:
            raise JobError("out-of-memory", f"The device's memory is too small for a single image: {error}")
        smaller = self.batch // 2
        self.notes.append(f"out of memory at {self.batch} images a batch; went on with {smaller}")
        self.batch = smaller
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _record_rate(self, pool: Pool, images: int, seconds: float) -> None:
        if seconds < MEASURED_S:
            return
        key = rate_key(self.expert.passport.network, pool.images.shape[1:], self.numerics)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.context.rates.record(key, Rate(images / seconds, peak))
