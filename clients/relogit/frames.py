"""Data frames of logits, through pandas, which the extra `export` installs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from relogit.arrays import softmax
from relogit.extras import load_extra
from relogit.sample_index import SampleIndex

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

COLUMNS = (
    "expert", "split", "base", "sample_index", "label", "prediction", "correct", "confidence", "margin",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FrameRows:
    """The rows of one expert over one split."""

    expert: str
    split: str
    samples: SampleIndex
    logits: NDArray[np.float32]
    """[N, C]."""
    targets: NDArray[np.int64]
    predictions: NDArray[np.int64]


def data_frame(parts: Iterable[FrameRows]) -> pd.DataFrame:
    """Build a frame with one row for each expert, split and sample.

    Raises:
        MissingExtra: pandas is not installed.
    """
    pandas = load_extra("pandas", "export")
    frames = [_frame(pandas, part) for part in parts]
    frame: pd.DataFrame = pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame(columns=COLUMNS)
    return frame.astype(dict.fromkeys(("expert", "split", "base"), "category"))


def _frame(pandas: ModuleType, part: FrameRows) -> pd.DataFrame:
    import numpy as np  # here, because the import takes longer than most commands

    probabilities = softmax(part.logits)  # [N, C]
    ordered = np.sort(probabilities, axis=1)
    second = ordered[:, -2] if ordered.shape[1] > 1 else 0.0
    columns = {
        "expert": part.expert,
        "split": part.split,
        "base": part.samples.base,
        "sample_index": part.samples.indices,
        "label": part.targets,
        "prediction": part.predictions,
        "correct": part.predictions == part.targets,
        "confidence": ordered[:, -1],
        "margin": ordered[:, -1] - second,
    }
    frame: pd.DataFrame = pandas.DataFrame(columns, columns=list(COLUMNS))
    return frame
