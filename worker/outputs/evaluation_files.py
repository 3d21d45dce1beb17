"""The files of an evaluation: decisions, curves and figures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import numpy as np

from app.domain.evaluations import CoveragePoint, Evaluation
from app.domain.outcomes import EvaluationOutcome
from worker.combine.decisions import Decisions

BANDED = ("overall", "balanced", "worst", "gap")


def decisions_file(decisions: Decisions) -> bytes:
    """Write `predictions`, `score` and `accepted` [κ, N] as .npz.

    `predictions` int64 and `score` float64 are [N] where they are the same for every coverage, else [κ, N].
    """
    same = decisions.score.strides[0] == 0
    buffer = io.BytesIO()
    np.savez(
        buffer,
        predictions=decisions.predictions[0] if same else decisions.predictions,
        score=decisions.score[0] if same else decisions.score,
        accepted=decisions.accepted,
    )
    return buffer.getvalue()


def curves_file(evaluation: Evaluation) -> bytes:
    """Write errors and acceptance over coverage as CSV, one line a point.

    `by` is `coverage` where the coverage is met on the test rows, and `threshold` where a stored one decides.
    """
    groups = evaluation.group_names
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ends = [f"{name}_{end}" for name in BANDED for end in ("low", "high")]
    of_groups = [f"{group}_{what}" for what in ("error", "acceptance") for group in groups]
    writer.writerow(["method", "by", "kappa", "coverage", *BANDED, *of_groups, *ends])
    for method in evaluation.methods:
        for by, points in (("coverage", method.at_coverage), ("threshold", method.at_threshold or ())):
            for point in points:
                writer.writerow([method.name, by, *_line(point)])
    return text.getvalue().encode()


def summary_file(outcome: EvaluationOutcome) -> bytes:
    """Write the whole outcome as JSON; equal outcomes have equal bytes."""
    return json.dumps(outcome.to_dict(), indent=2, allow_nan=False).encode() + b"\n"


def _line(point: CoveragePoint) -> Iterator[object]:
    yield from (point.kappa, point.coverage, *(getattr(point, name) for name in BANDED))
    yield from (*point.group_errors, *point.group_acceptance)
    for name in BANDED:
        yield from point.bands.get(name) or (None, None)
