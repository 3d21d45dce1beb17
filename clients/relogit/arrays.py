"""Functions of logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute probabilities [N, C] float64 of logits [N, C]."""
    import numpy as np  # here, because the import takes longer than most commands

    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    odds: NDArray[np.float64] = np.exp(shifted)
    odds /= odds.sum(axis=1, keepdims=True)
    return odds
