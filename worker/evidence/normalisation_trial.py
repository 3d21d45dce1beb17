"""Try whether another normalisation of the same expert gives a file's logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.datasets import Dataset, Transform
from app.domain.comparisons import Cause
from app.domain.errors import JobError, RequestError
from app.files.disk import file_sha256
from worker.compare.manifest_facts import normalisation_text
from worker.compute.plain_forward import plain_logits
from worker.context import Context
from worker.evidence.stored_sample import checkpoint_path
from worker.experts.loading import Assumptions, Expert, load_expert
from worker.normalisation.candidates import LISTED
from worker.verify.manifest_checks import plain_entry
from worker.verify.provenance import preparation
from worker.verify.sample import relative_tolerance

ROWS = 8
"""Rows that are computed for each normalisation: those whose logits differ most."""


@dataclass(frozen=True, eq=False)
class KnownSide:
    """The side whose expert and normalisation its manifest states.

    Attributes:
        letter: A or B.
        logits: [N, C], paired with the other side's.
        dataset: as its job kept it.
        base: what the samples index.
    """

    letter: str
    logits: NDArray[np.floating[Any]]
    manifest: Mapping[str, Any]
    dataset: Dataset
    base: str


class NormalisationTrial:
    """Computes a few rows under each listed normalisation. Lives as long as a task.

    `check` is called before each forward pass, and raises where the work is to stop.
    """

    def __init__(self, context: Context, check: Callable[[], None]) -> None:
        self._context, self._check = context, check

    def cause(self, known: KnownSide, logits: NDArray[np.floating[Any]], samples: NDArray[np.int64]) -> Cause | str:
        """Name the normalisation that gives the other side's `logits` [N, C], or say what was excluded.

        `samples` [N] index the base. A normalisation is named only if the one that the manifest states gives the
        known side's rows, does not give the other's, and the named one does, each to the precision of the files.
        """
        try:
            return self._cause(known, logits, samples)
        except (JobError, RequestError) as error:
            return f"Other normalisations were not tried. {error.message}"

    def _cause(self, known: KnownSide, logits: NDArray[np.floating[Any]], samples: NDArray[np.int64]) -> Cause | str:
        if known.dataset.kind == "imagefolder":
            raise JobError("not-tried", "That would decode the whole base.")
        stated = preparation(known.manifest)
        if "transform" not in stated:
            raise JobError("not-tried", f"The manifest of {known.letter} states none.")
        own = Transform(mean=stated["transform"]["mean"], std=stated["transform"]["std"])
        divisor = (stated.get("calibration") or {}).get("divided_by") or 1.0
        expert = self._expert(known)
        file, other = expert.passport.file, "B" if known.letter == "A" else "A"
        rows = _largest_gaps(known.logits, logits, samples)
        theirs = logits[rows]
        pixels = self._context.pools.get(known.dataset, known.base).images[samples[rows]]
        stated_rows = self._rows(expert, pixels, own)
        if not _same(known.logits[rows], stated_rows / divisor):
            raise JobError("not-tried", f"{file} does not give the logits of {known.letter} any more.")
        if _same(theirs, stated_rows) or _same(theirs, stated_rows / divisor):
            return f"{file} gives {other}'s rows with the normalisation of {known.letter} as well."
        gaps: dict[str, float] = {}
        for name, transform in LISTED.items():
            values = self._rows(expert, pixels, transform)
            fitting = [_gap(theirs, scaled) for scaled in (values, values / divisor) if _same(theirs, scaled)]
            gaps |= {name: min(fitting)} if fitting else {}
        if not gaps:
            return f"{file} gives {other}'s rows with none of {len(LISTED)} usual normalisations."
        name = min(gaps, key=lambda key: gaps[key])
        value = normalisation_text(LISTED[name].mean, LISTED[name].std)
        sentence = (
            f"{other}'s logits are those of {file} with another normalisation, {name}: {value}; {known.letter} has "
            f"{normalisation_text(own.mean, own.std)}. Of the {len(rows)} rows that differ most, recomputed, at most "
            f"{gaps[name]:.2g} remains."
        )
        return Cause("other-normalisation", sentence, value, "recomputed")

    def _expert(self, known: KnownSide) -> Expert:
        path = checkpoint_path(self._context.settings.checkpoints_dir, known.manifest)
        if path is None:
            raise JobError("not-tried", f"The manifest of {known.letter} names no checkpoint.")
        self._check()
        try:
            digest = file_sha256(path)
        except OSError:
            digest = ""
        if digest != plain_entry(known.manifest, "checkpoint", "sha256"):
            raise JobError(
                "not-tried", f"The checkpoint of {known.letter}, {path.name}, is not there or was changed."
            )
        weights = plain_entry(known.manifest, "checkpoint", "weights")
        return load_expert(path, Assumptions(**known.dataset.assumptions(path.stem, weights)))

    def _rows(self, expert: Expert, pixels: NDArray[np.uint8], transform: Transform) -> NDArray[np.float64]:
        self._check()
        try:
            return plain_logits(expert.network, pixels, transform).astype(np.float64)
        except RuntimeError as error:
            raise JobError("not-tried", f"{expert.passport.file} cannot process these images: {error}.") from error


def _largest_gaps(
    a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], samples: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Choose ROWS rows of different samples with the largest |Δ|."""
    gaps = np.array([np.abs(x.astype(np.float64) - y).max() for x, y in zip(a, b, strict=True)])
    order = np.argsort(-gaps, kind="stable")
    distinct = np.sort(np.unique(samples[order], return_index=True)[1])
    return order[distinct][:ROWS]


def _same(stored: NDArray[np.floating[Any]], computed: NDArray[np.float64]) -> bool:
    """Tell whether stored rows are the computed ones to the precision of their file."""
    if stored.shape != computed.shape:
        return False
    gaps = np.abs(stored - computed).max(axis=1)
    return bool((gaps <= relative_tolerance(stored.dtype, None) * np.abs(computed).max(axis=1)).all())


def _gap(stored: NDArray[np.floating[Any]], computed: NDArray[np.float64]) -> float:
    return float(np.abs(stored - computed).max())
