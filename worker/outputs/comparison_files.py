"""The files of a comparison: pairs, flips and classes as CSV, everything as JSON, and the pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields

from app.domain.comparisons import FIGURES, ClassRecall, ComparisonOutcome, Flip, PairComparison

FIGURE_COLUMNS = ("a", "b", "difference", "low", "high")
MCNEMAR_COLUMNS = ("both_right", "only_a", "only_b", "both_wrong", "p", "p_holm", "pairs")
PAIRING_COLUMNS = ("rows", "samples", "left_out_a", "left_out_b")
CLASS_COLUMNS = tuple(item.name for item in fields(ClassRecall))
FLIP_COLUMNS = tuple(item.name for item in fields(Flip) if item.name != "picture")


def comparison_files(outcome: ComparisonOutcome, pictures: Mapping[str, str]) -> dict[str, bytes]:
    """Write all files, by name; equal outcomes have equal bytes."""
    files = {
        "pairs.csv": _table(_pair_header(outcome), (_pair_line(pair, outcome) for pair in outcome.pairs)),
        "flips.csv": _table(("split", "a", "b", "base", *FLIP_COLUMNS), _flip_lines(outcome.pairs)),
        "classes.csv": _table(("split", "a", "b", *_class_header()), _class_lines(outcome.pairs)),
        "comparison.json": json.dumps(outcome.to_dict(), indent=2, allow_nan=False).encode() + b"\n",
    }
    if pictures:
        files["pictures.json"] = json.dumps(dict(pictures), indent=0).encode() + b"\n"
    return files


def _pair_header(outcome: ComparisonOutcome) -> Sequence[str]:
    figures = [f"{name}_{column}" for name in FIGURES for column in FIGURE_COLUMNS]
    flips = [f"{name}_flips" for name in ("all", *outcome.group_names)]
    logits = ("largest_delta", "mean_delta", "logit_scale")
    cause = ("cause", "cause_value", "cause_sentence")
    return ("split", "a", "b", "base", *PAIRING_COLUMNS, *MCNEMAR_COLUMNS, *figures, *logits, *flips, *cause)


def _pair_line(pair: PairComparison, outcome: ComparisonOutcome) -> Iterator[object]:
    yield from (pair.split, pair.a, pair.b, pair.base)
    yield from (getattr(pair.pairing, name) for name in PAIRING_COLUMNS)
    yield from (getattr(pair.mcnemar, name) for name in MCNEMAR_COLUMNS)
    for name in FIGURES:
        figure = pair.figure(name)
        gap = figure.difference
        yield from (figure.a, figure.b, *((None,) * 3 if gap is None else (gap.value, gap.low, gap.high)))
    yield from (None,) * 3 if pair.logits is None else (pair.logits.largest, pair.logits.mean, pair.logits.scale)
    flips = {group.name: group.flips for group in pair.flips}
    yield from (flips.get(name) for name in ("all", *outcome.group_names))
    yield from (pair.cause.kind, pair.cause.value, pair.cause.sentence)


def _flip_lines(pairs: Sequence[PairComparison]) -> Iterator[Iterable[object]]:
    for pair in pairs:
        for flip in pair.largest_flips:
            yield pair.split, pair.a, pair.b, pair.base, *(getattr(flip, name) for name in FLIP_COLUMNS)


def _class_header() -> Iterator[str]:
    shown = {"number": "class", "a": "recall_a", "b": "recall_b"}
    return (shown.get(name, name) for name in CLASS_COLUMNS)


def _class_lines(pairs: Sequence[PairComparison]) -> Iterator[Iterable[object]]:
    for pair in pairs:
        for recall in pair.classes:
            yield pair.split, pair.a, pair.b, *asdict(recall).values()


def _table(header: Iterable[str], lines: Iterable[Iterable[object]]) -> bytes:
    """Write CSV; None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue().encode()
