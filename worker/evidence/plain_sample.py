"""Compare a sample of every job's rows with a plain forward pass of another implementation."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray

from app.domain.checks import Check
from app.domain.numerics import NumericsKey, RowSource, row_source
from app.domain.requests import Precision
from app.domain.revisions import PLAIN, code_digest
from app.files.row_files import KeptRows
from worker.compute.logit_source import ExpertFile, LogitSource
from worker.compute.plain_forward import plain_logits
from worker.context import Context
from worker.datasets.pools import Pool
from worker.verify.consistency import check_plain_forward

FEWEST, MOST = 2, 32
"""Rows that are computed plainly for a unit with computed rows."""
ROWS_EACH = 4000
"""Computed rows for each further row of the sample: some 0.5 % of a job's time on a CPU."""
COMPARED = 256
"""Rows of the sample that are compared at most."""

Rows = dict[int, NDArray[np.float32]]
"""Image → its plain logits [C]."""


@dataclass
class PlainSample:
    """The plain rows of one expert. Lives as long as a claim.

    They are kept from job to job like other rows, so a job over known rows computes none of them again.
    """

    expert: ExpertFile
    context: Context
    reuse: bool
    _pools: dict[str, tuple[int, KeptRows | None, Rows]] = field(default_factory=dict)
    """Digest of pixels → classes, where plain rows are kept, and the rows."""

    def check(
        self, supply: LogitSource, pool: Pool, indices: NDArray[np.int64], computed: int, precision: Precision
    ) -> Check:
        """Compare the split's rows, then its base's, with plain ones.

        Args:
            supply: where the job's rows come from; those of the split are there.
            pool: whose images.
            indices: [N] int64, the split.
            computed: rows that were computed for it.
            precision: of the job's rows.

        Raises:
            JobError: the expert cannot be loaded.
        """
        if pool.pixels_sha256 not in self._pools:
            source = self._source(pool)
            kept = self._open(source, pool)
            self._pools[pool.pixels_sha256] = (source.classes, kept, self._recalled(kept))
        classes, kept, rows = self._pools[pool.pixels_sha256]
        distinct = np.unique(indices)
        if computed:  # each unit's own new rows: an engine may err from now on
            fresh = np.intersect1d(distinct, np.concatenate(supply.computed[pool.base]))
            self._compute(pool, kept, rows, fresh, min(FEWEST + computed // ROWS_EACH, MOST))
        elif not np.isin(distinct, list(rows)).any():
            self._compute(pool, kept, rows, distinct, 1)
        sampled = supply.kept(pool, np.array(sorted(rows), np.int64))
        inside = np.isin(sampled, indices)
        # Those of this very split come first.
        compared = np.sort(np.concatenate([sampled[inside], sampled[~inside]])[:COMPARED])
        plain = np.array([rows[int(image)] for image in compared], np.float32).reshape(-1, classes)
        in_split = int(np.isin(compared, indices).sum())
        return check_plain_forward(precision, supply.take(pool, compared), plain, compared, in_split)

    def _source(self, pool: Pool) -> RowSource:
        arithmetic = self.context.arithmetic
        numerics = NumericsKey(
            precision="fp32",
            device=arithmetic.device,
            model=arithmetic.model,
            capability=arithmetic.capability,
            engine="plain",
            engine_version=torch.__version__,
            revision=code_digest(PLAIN, version("torchvision")),
            batch="any",
        )
        transform = self.expert.transform.model_dump(mode="json")
        return row_source(self.expert.passport.to_dict(), pool.pixels_sha256, transform, numerics)

    def _open(self, source: RowSource, pool: Pool) -> KeptRows | None:
        try:
            kept = self.context.kept.open(source, len(pool.images), {**self.expert.seen, "base": pool.base})
            kept.touch()
            return kept
        except OSError:  # a full disk: they are computed for this claim alone
            return None

    def _recalled(self, kept: KeptRows | None) -> Rows:
        if kept is None or not self.reuse:
            return {}
        places = kept.places()
        whole, logits = kept.read(places)
        return dict(zip(places[whole].tolist(), logits[whole], strict=True))

    def _compute(self, pool: Pool, kept: KeptRows | None, rows: Rows, images: NDArray[np.int64], count: int) -> None:
        """Compute plain rows until `count` images have one."""
        known = np.isin(images, list(rows))
        wanted = count - int(known.sum())
        candidates = images[~known]
        if wanted <= 0 or not candidates.size:
            return
        chosen = candidates[np.linspace(0, candidates.size - 1, min(wanted, candidates.size)).astype(np.int64)]
        network = self.context.model_cache.network(self.expert.path, self.expert.passport, self.expert.assumptions)
        if self.context.device.type != "cpu":
            network = copy.deepcopy(network).to(self.context.device)
        self.context.heartbeat.beat_if_counted()
        logits = plain_logits(network, pool.images[chosen], self.expert.transform)
        self.context.heartbeat.beat_if_counted()
        rows.update(zip(chosen.tolist(), logits, strict=True))
        if kept is not None:
            try:
                kept.write(chosen, logits)
            except OSError:  # a full disk: they are there for this claim
                return
