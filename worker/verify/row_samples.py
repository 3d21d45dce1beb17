"""The check of the samples that a file's rows claim to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import Check, error_check
from worker.verify.json_values import first_rows

LONGEST_BASE = 200
"""Characters of a file's base that are repeated to people."""


def check_samples(arrays: Mapping[str, NDArray[Any]], indices: NDArray[np.int64], base: str) -> Check:
    """Check that the file's samples are those of the split.

    Needs `sample_index` or `base` among the arrays; the split's `indices` are [N].
    """
    wrong: list[str] = []
    measured: dict[str, Any] = {}
    evidence: list[dict[str, int]] = []
    if "base" in arrays:
        measured["base"] = _text(arrays["base"])
        if measured["base"] != base:
            wrong.append(f"its base is {measured['base']!r}; {base!r} is right")
    if "sample_index" in arrays:
        samples = arrays["sample_index"]
        measured["sample_index"] = f"{samples.dtype} {list(samples.shape)}"
        if samples.dtype != np.int64 or samples.shape != indices.shape:
            wrong.append(f"its sample_index is {measured['sample_index']}; int64 [{len(indices)}] is right")
        else:
            differing = samples != indices  # [N]
            measured["differing_rows"] = int(differing.sum())
            if differing.any():
                wrong.append(f"{measured['differing_rows']} of {len(indices)} rows name another sample")
            evidence = [
                {"row": row, "found": int(samples[row]), "expected": int(indices[row])}
                for row in first_rows(differing)
            ]
    expected = {"base": base, "sample_index": f"int64 [{len(indices)}]", "differing_rows": 0}
    message = (
        f"The file contradicts the split's list: {'; '.join(wrong)}." if wrong else "The samples are the split's own."
    )
    return error_check("samples", not wrong, measured, {name: expected[name] for name in measured}, message, evidence)


def _text(base: NDArray[Any]) -> str:
    """Return a text [] as printable Unicode, and anything else as its dtype and shape."""
    if base.ndim or base.dtype.kind != "U":
        return f"{base.dtype} {list(base.shape)}"
    # Not str(): a file may hold numbers that are no characters, at which NumPy raises a SystemError.
    encoding = "utf-32-be" if base.dtype.str.startswith(">") else "utf-32-le"
    return base.tobytes().decode(encoding, errors="replace").rstrip("\0")[:LONGEST_BASE]
