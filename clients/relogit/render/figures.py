"""Views of a result's further figures: calibration by group, scores, shifted priors, confusion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from relogit.render.tables import NONE, Record, count, in_percent, new_table, number_of

SCORES = {"msp": "MSP", "entropy": "entropy", "margin": "margin", "max_logit": "max logit", "energy": "energy"}
AREAS = {"aurc": "overall", "balanced_aurc": "balanced", "worst_group_aurc": "worst group"}
PAIRS_SHOWN = 3
NARROW = {"forward": "F", "backward": "B"}
HEADINGS = {
    "calibration": "calibration by group",
    "shifted_priors": "accuracies under shifted priors",
    "scores": "comparison of scores",
    "confusion": "confusion by group",
}


def further_lines(analysis: Record) -> list[RenderableType]:
    """Show the further figures of one result.

    Servers of older versions have none of them.
    """
    views = {
        "calibration": _calibration_table,
        "scores": _score_table,
        "shifted_priors": _prior_table,
        "confusion": _confusion_table,
    }
    lines: list[RenderableType] = []
    for name, view in views.items():
        if analysis.get(name) is not None:
            lines += [Text(""), *view(analysis[name])]
    reasons = analysis.get("reasons") or {}
    missing: dict[str, list[str]] = {}
    for name, heading in HEADINGS.items():
        if name in reasons:
            missing.setdefault(reasons[name], []).append(heading)
    lines += [Text(f"No {' and '.join(names)}: {reason}", style="dim") for reason, names in missing.items()]
    return lines


def share(value: float | None) -> str:
    """Format a share in percent, without the sign."""
    return NONE if value is None else f"{in_percent(value):.2f}"


def _calibration_table(calibration: Mapping[str, Record | None]) -> Iterator[RenderableType]:
    rows = [
        {
            "calibration": group,
            "n": count(figures["rows"]),
            "ECE": f"{figures['ece']:.4f}",
            "mean confidence": share(figures["confidence"]),
            "accuracy": share(figures["accuracy"]),
        }
        for group, figures in calibration.items()
        if figures is not None
    ]
    yield new_table(rows, ["n", "ECE", "mean confidence", "accuracy"])


def _score_table(comparison: Record) -> Iterator[RenderableType]:
    scores = {item["score"]: item for item in comparison["scores"]}
    headings = {name: SCORES.get(name, name) for name in scores}
    rows = [
        {
            "AURC by": heading,
            **{headings[name]: NONE if item[area] is None else f"{item[area]:.4f}" for name, item in scores.items()},
        }
        for area, heading in AREAS.items()
    ]
    yield new_table(rows, list(headings.values()))
    yield Text(comparison["message"], style="dim")
    for reason in dict.fromkeys(item["reason"] for item in scores.values() if item["reason"]):
        names = [headings[name] for name, item in scores.items() if item["reason"] == reason]
        yield Text(f"No {' and '.join(names)}: {reason}", style="dim")


def _prior_table(priors: Record) -> Iterator[RenderableType]:
    row = {}
    for item in priors["accuracies"]:
        letter = NARROW.get(item["direction"])
        row["uniform" if letter is None else f"{letter}-{item['ratio']:g}"] = share(item["accuracy"])
    yield Text("Accuracy in % under shifted test priors (F: forward, B: backward, and ratio)")
    yield new_table([row], list(row))
    if priors["absent_classes"]:
        absent = priors["absent_classes"]
        classes = "1 class has no row and is" if absent == 1 else f"{absent:,} classes have no row and are"
        least = min(item["covered"] for item in priors["accuracies"])
        yield Text(
            f"{classes} left out; the others' prior, {share(least)} % or more, is scaled up to 1.",
            style="yellow",
        )


def _confusion_table(confusion: Record) -> Iterator[RenderableType]:
    if confusion["groups"] is not None:
        rows = [
            {
                "rows of": group,
                "n": count(figures["rows"]),
                "right": share(figures["right"]),
                "as another head": share(figures["as_head"]),
                "as another tail": share(figures["as_tail"]),
            }
            for group, figures in confusion["groups"].items()
            if figures is not None
        ]
        yield new_table(rows, ["n", "right", "as another head", "as another tail"])
    pairs = [
        f"{pair['label']} as {pair['predicted']} ({number_of(pair['rows'], 'row')}, {pair['share']:.0%})"
        for pair in confusion["pairs"][:PAIRS_SHOWN]
    ]
    if pairs:
        yield Text(f"Most often confused: class {', '.join(pairs)}.", style="dim")
