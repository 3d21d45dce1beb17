"""Judges the declared mean and std of a checkpoint, with statistics that are kept for each pool."""

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
from app.domain.syntax_trees import SYNTAX_TREES
from app.files.disk import replacing
from worker.compute.engines.torch_engine import computing_threads
from worker.datasets.pools import Pool
from worker.normalisation import PatchStatistics, channel_order, judge_normalisation, patch_statistics, stem_of

IMAGES_AT_ONCE = 10


class NormalisationInspector:
    """Judges declared normalisations. Lives as long as the worker; safe to use from any thread.

    Args:
        folder: where the statistics of pools are kept, about 200 KB each.
        heartbeat: called several times a second while a pool is measured or a network runs.
    """

    def __init__(self, folder: Path, heartbeat: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        self._statistics: dict[str, PatchStatistics] = {}

    def inspect(
        self, network: nn.Module, pool: Pool, declared: Transform, others: Mapping[str, Transform]
    ) -> dict[str, Any]:
        """Compare a declared normalisation with a checkpoint's evidence.

        Args:
            network: the expert as it stands, in eval mode, float32, on the CPU.
            pool: images like those of the training, with labels.
            declared: the normalisation to judge.
            others: further candidates by name.

        Returns:
            JSON-able: the evidence (see `NormalisationEvidence`), `channel_order`, and the `base` of the images.
        """
        evidence = judge_normalisation(stem_of(network), self.statistics(pool), declared, others)

        # One thread: with so few images, several threads would wait for each other at each layer, and beside other
        # computing processes for seconds.
        single_thread = computing_threads(1, 1)

        def forward(part: Tensor) -> Tensor:
            with torch.inference_mode():
                rows: Tensor = network(part)
                return rows

        def logits(images: Tensor) -> Tensor:
            rows = []
            for part in torch.split(images, IMAGES_AT_ONCE):
                self._heartbeat()
                rows.append(single_thread.submit(forward, part).result())
            return torch.cat(rows)

        order = channel_order(logits, pool.images, pool.labels, declared)
        return {**evidence.to_dict(), "channel_order": order.to_dict(), "base": pool.base}

    def statistics(self, pool: Pool) -> PatchStatistics:
        """Return a pool's statistics; measure and keep missing ones."""
        key = f"{pool.pixels_sha256}-{code_digest(NORMALISING)}"
        with self._lock:  # so that two threads do not measure one pool twice
            if key not in self._statistics:
                self._statistics[key] = self._read(key) or self._measure(key, pool)
            return self._statistics[key]

    def _read(self, key: str) -> PatchStatistics | None:
        try:
            with SYNTAX_TREES, np.load(self._folder / f"{key}.npz", allow_pickle=False) as arrays:
                return PatchStatistics.from_arrays(dict(arrays))
        except (OSError, ValueError, KeyError, EOFError):  # missing or damaged: it is measured again
            return None

    def _measure(self, key: str, pool: Pool) -> PatchStatistics:
        measured = patch_statistics(pool.images, self._heartbeat)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._folder / f"{key}.npz") as stream:
                np.savez(stream, **measured.to_arrays())  # type: ignore[arg-type]  # no array is called allow_pickle
        except OSError:  # such as a full disk: this process has them in memory
            return measured
        return measured
