"""Exports to Parquet through pyarrow, which the extra `export` installs."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relogit.export.sources import Source, SplitLogits
from relogit.extras import load_extra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEY = b"relogit"  # of the metadata in a file's schema


def write_parquet(source: Source, folder: Path) -> None:
    """Write `<split>.parquet`, one row for each sample, in the order of the list.

    Columns: `sample_id` string, `base` string, `sample_index` int64, `label` int64, and of each expert
    `logits/<expert>` fixed_size_list<float32>[C] and `prediction/<expert>` int64. Under `relogit` the schema's
    metadata have JSON: the job, its lists, versions, and the sha256 of each file and checkpoint.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    pa, pq = load_extra("pyarrow", "export"), load_extra("pyarrow.parquet", "export")
    described = source.describe()
    for part in source.splits():
        files = [file for file in described["sources"] if file["split"] == part.split]
        versions = {name: version(name) for name in ("relogit", "pyarrow", "numpy")}
        metadata = json.dumps({**described, "sources": files, "versions": versions}).encode()
        table = _table(pa, part).replace_schema_metadata({KEY: metadata})
        pq.write_table(table, folder / f"{part.split}.parquet")


def _table(pa: Any, part: SplitLogits) -> Any:
    columns = {
        "sample_id": pa.array(part.samples.sample_ids, pa.string()),
        "base": pa.array([part.samples.base] * len(part.targets), pa.string()),
        "sample_index": pa.array(part.samples.indices, pa.int64()),
        "label": pa.array(part.targets, pa.int64()),
    }
    for expert, arrays in part.experts.items():
        columns[f"logits/{expert}"] = _lists(pa, arrays.logits)
        columns[f"prediction/{expert}"] = pa.array(arrays.predictions, pa.int64())
    return pa.table(columns)


def _lists(pa: Any, logits: NDArray[np.float32]) -> Any:
    """Return logits [N, C] as an array of fixed-size lists."""
    flat = pa.array(logits.reshape(-1), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, logits.shape[1])
