"""Rows of several experts' logits, and what rejectors and figures need of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 2**19
"""Logits of a block in float64, 4 MiB: whatever N is, temporaries stay this small."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExpertRows:
    """The logits of E experts for the same N rows.

    Attributes:
        logits: E arrays [N, C] of any float dtype, finite.
        labels: [N] int64, 0…C−1.
        weights: [N] float64, not negative, mean 1.
    """

    logits: tuple[NDArray[np.floating[Any]], ...]
    labels: NDArray[np.int64]
    weights: Floats

    @property
    def experts(self) -> int:
        """E, at least 1."""
        return len(self.logits)

    @property
    def classes(self) -> int:
        """C, at least 1."""
        return int(self.logits[0].shape[1])

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Yield slices of rows, with their logits z [n, E, C] float64."""
        rows = len(self.labels)
        step = max(1, BLOCK_VALUES // (self.experts * self.classes))
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            yield part, np.stack([values[part] for values in self.logits], axis=1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class ClassGroups:
    """A partition of the classes.

    Attributes:
        names: of the K groups.
        of_class: [C] int64, 0…K−1.
    """

    names: tuple[str, ...]
    of_class: NDArray[np.int64]


class Combiner(Protocol):
    """A combination of E experts with fixed parameters."""

    def log_mix(self, logits: Floats) -> tuple[Floats, Floats | None]:
        """Combine z [n, E, C] to log η [n, C], with expert weights [n, E] where it has any."""


@dataclass(frozen=True, eq=False)
class RowSummary:
    """What rejectors and figures need of N rows' η, a distribution over C classes in K groups.

    Attributes:
        labels: [N] int64.
        weights: [N] float64, not negative, mean 1.
        groups: [N] int64, the label's group.
        group_max: [N, K] float64, M_k = max_{y∈G_k} η_y.
        group_class: [N, K] int64, the class of that maximum, the first of equals.
        group_mass: [N, K] float64, P_k = Σ_{y∈G_k} η_y.
        predictions: [N] int64, argmax η, the first of equals.
        confidence: [N] float64, max η.
        margin: [N] float64, the largest minus the second largest η; max η with one class.
        negative_entropy: [N] float64, Σ η log η, in nats.
        nll: [N] float64, −log η of the label, finite.
        expert_weights: [N, E] float64, or None.
        energy: [N] float64, logsumexp z of the only expert; None for several.
    """

    labels: NDArray[np.int64]
    weights: Floats
    groups: NDArray[np.int64]
    group_max: Floats
    group_class: NDArray[np.int64]
    group_mass: Floats
    predictions: NDArray[np.int64]
    confidence: Floats
    margin: Floats
    negative_entropy: Floats
    nll: Floats
    expert_weights: Floats | None = None
    energy: Floats | None = None
