"""Checks of where verified files come from: whether they were made alike, and whether that is known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.domain.checks import MAX_EVIDENCE, Check, error_check, skipped, warning_check
from worker.verify.manifest_checks import plain_entry

Place = tuple[str, str]
"""Expert and split of a result."""

TRANSFORM_ID = "manifest-transform"
OF_EXPERT = ("transform", "calibration", "precision", "tensors_sha256")
"""What the logits of an expert depend on besides the images: equal in all manifests of the expert."""
OF_SPLIT = ("calibration", "precision")
"""What experts of a split usually have in common; each may have its own mean and std."""
MAX_CHANNELS = 16
NAMED = 5  # results, in a sentence


def preparation(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Read what logits depend on besides the images.

    OF_EXPERT by name, each only where it is well-formed: `transform` with `mean`, `std` and `scale`; `calibration`
    with `mode` and `divided_by`; `precision`; `tensors_sha256` of the checkpoint.
    """
    stated: dict[str, Any] = {}
    transform = _part(manifest, "transform")
    mean, std = _numbers(transform.get("mean")), _numbers(transform.get("std"))
    if mean is not None and std is not None:
        stated["transform"] = {"mean": mean, "std": std, "scale": plain_entry(manifest, "transform", "scale")}
    mode, divided_by = plain_entry(manifest, "calibration", "mode"), _part(manifest, "calibration").get("divided_by")
    if mode is not None and (divided_by is None or _is_number(divided_by)):
        divisor = None if divided_by is None else float(divided_by)
        stated["calibration"] = {"mode": mode, "divided_by": divisor}
    for name, part, entry in (
        ("precision", "compute", "precision"),
        ("tensors_sha256", "checkpoint", "tensors_sha256"),
    ):
        value = plain_entry(manifest, part, entry)
        if value is not None:
            stated[name] = value
    return stated


def check_preparations(stated: Mapping[Place, Mapping[str, Any]]) -> list[Check]:
    """Compare manifests within each expert and within each split.

    An expert's splits must agree in OF_EXPERT, an error; the experts of a split should agree in OF_SPLIT, a warning.
    Manifests (`preparation` of each result that has one) are not compared in what they do not state. A skipped check
    where no expert and no split has two; nothing without manifests.
    """
    by_expert: dict[str, dict[str, Mapping[str, Any]]] = {}
    by_split: dict[str, dict[str, Mapping[str, Any]]] = {}
    for (expert, split), values in stated.items():
        by_expert.setdefault(expert, {})[split] = values
        by_split.setdefault(split, {})[expert] = values
    groups = (("expert", by_expert), ("split", by_split))
    checks = [_check_alike(kind, *item) for kind, by in groups for item in by.items() if len(item[1]) > 1]
    if stated and not checks:
        checks.append(skipped(TRANSFORM_ID, "error", "There is one manifest only; two are needed to compare."))
    return checks


def check_provenance(results: int, unknown: Sequence[Place]) -> Check:
    """Check that results have fitting manifests or recomputed rows.

    Never a failure: files without either (`unknown`) may be right, but what these checks cannot notice has to be
    said.
    """
    if not unknown:
        message = "Each file has the manifest that it was written with, or rows of it were recomputed."
        return warning_check("provenance", True, {"results": results, "unknown": 0}, {"unknown": 0}, message)
    more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
    named = ", ".join(f"{expert} / {split}" for expert, split in unknown[:NAMED])
    check = skipped(
        "provenance",
        "warning",
        f"Nothing shows from which checkpoint and images the rows of {named}{more} come: rows that changed places "
        "within a class, or a tenth of all rows moved, would pass unnoticed; `--recompute N` with the checkpoint, or "
        "the manifest that relogit writes, would show it.",
    )
    places = [{"expert": expert, "split": split} for expert, split in unknown[:MAX_EVIDENCE]]
    return replace(check, evidence=tuple(places))


def _check_alike(kind: str, name: str, stated: Mapping[str, Mapping[str, Any]]) -> Check:
    """Check that the manifests of an expert or split agree."""
    compared, holders, make = (
        (OF_EXPERT, "splits", error_check) if kind == "expert" else (OF_SPLIT, "experts", warning_check)
    )
    differing, unstated = _compare(stated, compared, holders)
    message = f"The {len(stated)} manifests of the {kind} {name!r} agree in {_listed(compared)}."
    if differing:
        harm = (
            ". Recompute them all in one way." if kind == "expert" else ": what compares them compares that as well."
        )
        message = (
            f"The {holders} of {name!r} were not made alike: their manifests differ in {_listed(differing)}{harm}"
        )
    measured = {kind: name, "manifests": len(stated), "differing": differing} | unstated
    return make(TRANSFORM_ID, not differing, measured, {"differing": {}}, message + _missing(unstated))


def _compare(
    stated: Mapping[str, Mapping[str, Any]], names: Sequence[str], holders: str
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Find what manifests differ in, or only some state.

    Returns:
        The distinct values of each difference with their holders, and how many do not state what others do.
    """
    differing: dict[str, list[dict[str, Any]]] = {}
    unstated: dict[str, int] = {}
    for name in names:
        groups: dict[str, tuple[Any, list[str]]] = {}
        for holder, values in stated.items():
            if name in values:
                key = json.dumps(values[name], sort_keys=True)
                groups.setdefault(key, (values[name], []))[1].append(holder)
        if len(groups) > 1:
            of = [{"value": value, holders: having[:MAX_EVIDENCE]} for value, having in groups.values()]
            differing[name] = of[:MAX_EVIDENCE]
        silent = sum(name not in values for values in stated.values())
        if groups and silent:
            unstated[name] = silent
    return differing, {"unstated": unstated} if unstated else {}


def _missing(unstated: Mapping[str, Any]) -> str:
    if not unstated:
        return ""
    counts = ", ".join(f"{name} in {count}" for name, count in unstated["unstated"].items())
    return f" Not stated, so not compared: {counts} of them."


def _part(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = manifest.get(name)
    return part if isinstance(part, dict) else {}


def _numbers(value: object) -> list[float] | None:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CHANNELS or not all(map(_is_number, value)):
        return None
    return [float(item) for item in value]


def _is_number(value: object) -> bool:
    """Tell whether a JSON number, no bool or NaN, fits float64."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else str(last)
