"""Finds out what a checkpoint says about its declared mean and std, with statistics kept once for each pool."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from app.catalog.datasets import Transform
from app.domain.revisions import NORMALISING, code_digest
from app.files.disk import replacing
from worker.compute.engines.torch_engine import computing_threads
from worker.datasets.pools import Pool
from worker.normalisation import PatchStatistics, channel_order, judge_normalisation, patch_statistics, stem_of

IMAGES_AT_ONCE = 10


class NormalisationInspector:
    """Judges declared normalisations. Lives as long as the worker; safe to use from any thread.

    Args:
        folder: where the statistics of pools are kept; some 200 KB each.
        beat: called now and then while a pool is measured, or a network runs, which takes seconds.
    """

    def __init__(self, folder: Path, beat: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._beat = beat
        self._lock = threading.Lock()
        self._statistics: dict[str, PatchStatistics] = {}

    def inspect(
        self, network: nn.Module, pool: Pool, declared: Transform, others: Mapping[str, Transform]
    ) -> dict[str, Any]:
        """Judge a declared normalisation.

        Args:
            network: the expert as it stands, in eval mode, float32, on the CPU.
            pool: images like those of the training, with labels.
            declared: the normalisation in question.
            others: further candidates by name, such as those of other data sets.

        Returns:
            JSON-able: the evidence (see `NormalisationEvidence`), `channel_order`, and the `base` it was found on.
        """
        evidence = judge_normalisation(stem_of(network), self.statistics(pool), declared, others)

        # One thread: several wait for each other at each layer of so few images, beside a busy neighbour for seconds.
        alone = computing_threads(1, 1)

        def forward(part: Tensor) -> Tensor:
            with torch.inference_mode():
                rows: Tensor = network(part)
                return rows

        def logits(images: Tensor) -> Tensor:
            rows = []
            for part in torch.split(images, IMAGES_AT_ONCE):
                self._beat()
                rows.append(alone.submit(forward, part).result())
            return torch.cat(rows)

        order = channel_order(logits, pool.images, pool.labels, declared)
        return {**evidence.to_dict(), "channel_order": order.to_dict(), "base": pool.base}

    def statistics(self, pool: Pool) -> PatchStatistics:
        """Return the statistics of a pool: kept ones, or measured now and kept."""
        key = f"{pool.pixels_sha256}-{code_digest(NORMALISING)}"
        with self._lock:  # two threads that ask for one pool must not measure it twice
            if key not in self._statistics:
                self._statistics[key] = self._read(key) or self._measure(key, pool)
            return self._statistics[key]

    def _read(self, key: str) -> PatchStatistics | None:
        try:
            with np.load(self._folder / f"{key}.npz", allow_pickle=False) as arrays:
                return PatchStatistics.from_arrays(dict(arrays))
        except (OSError, ValueError, KeyError, EOFError):  # not there, or damaged: it is measured again
            return None

    def _measure(self, key: str, pool: Pool) -> PatchStatistics:
        measured = patch_statistics(pool.images, self._beat)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._folder / f"{key}.npz") as stream:
                np.savez(stream, **measured.to_arrays())  # type: ignore[arg-type]  # no array is called allow_pickle
        except OSError:  # a full disk: they are there for this process
            return measured
        return measured
