"""What a reader sees of an analysis: what may have gone wrong, and how exact the figures are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.checks import ACCURACIES, PROBABILITIES, Place, misfits, where
from relogit.render.tables import NONE, Record, number_of

AREAS = {  # of the curves that have no figure of their own
    "balanced_risk_coverage": "AURC balanced",
    "worst_group_risk_coverage": "AURC worst",
}
NOTHING = "There is nothing to analyse."
NOT_YET = "The server has not finished; ask again."


def cause_lines(verification: Record, causes: Record) -> list[Text]:
    """For results no better than chance: what was found when causes were tried. Each finding once."""
    wanted = misfits(verification)
    found: dict[str, list[Place]] = {}
    for entry in causes["results"]:
        place = (entry["expert"], entry["split"])
        if place in wanted and entry["state"] != "none":
            found.setdefault(missing(entry) or entry["analysis"]["message"], []).append(place)
    return [
        Text.assemble((f"cause    {where(places, verification)}", "bold red"), f": {message}")
        for message, places in found.items()
    ]


def statistics(verification: Record, answered: Record) -> list[RenderableType]:
    """For each result all its figures with their intervals, and how these were made."""
    entries = {(entry["expert"], entry["split"]): entry for entry in answered["results"]}
    shown: list[RenderableType] = []
    intervals: Record | None = None
    for result in verification["results"]:
        entry = entries.get((result["expert"], result["split"]), {"state": "none"})
        metrics = result["metrics"] or {}
        samples = f", {number_of(metrics['samples'], 'sample')}" if metrics.get("samples") is not None else ""
        shown += [Text(""), Text(f"{result['expert']} / {result['split']}{samples}", style="bold")]
        reason = missing(entry)
        if reason is not None:
            shown.append(Text(f"No intervals: {reason}", style="yellow"))
            continue
        intervals = entry["analysis"]["intervals"]
        shown.append(_figures(metrics, entry["analysis"]))
    return [*shown, *_method_lines(intervals)] if intervals else shown


def missing(entry: Record) -> str | None:
    """Why there is no analysis of a result; None if there is one."""
    if entry["state"] == "ready":
        return None
    if entry["state"] == "failed":
        return str(entry["error"]["message"])
    return NOTHING if entry["state"] == "none" else NOT_YET


def _figures(metrics: Record, analysis: Record) -> Table:
    """Accuracies on the left, probabilities and risks on the right."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")
    interval = f"{analysis['intervals']['level'] * 100:g} % interval"
    for heading, numbers in (("accuracy in %", 2), ("", 0), ("confidence", 2)):
        made.add_column(heading, no_wrap=True)
        for above in ("", interval)[:numbers]:
            made.add_column(above, justify="right", no_wrap=True)
    left = list(_cells(metrics, analysis, ACCURACIES, lambda share: f"{share * 100:.2f}"))
    right = list(_cells(metrics, analysis, PROBABILITIES, _number))
    for name, heading in AREAS.items():
        area = analysis["areas"].get(name)
        right.append((heading, NONE if area is None else _number(area), ""))
    blank = ("", "", "")
    for row in range(max(len(left), len(right))):
        one, other = (side[row] if row < len(side) else blank for side in (left, right))
        made.add_row(*one, "  ", *other)
    return made


def _cells(
    metrics: Record, analysis: Record, words: dict[str, str], said: Callable[[float], str]
) -> Iterator[tuple[str, str, str]]:
    """Name, value and interval of each figure."""
    for name, heading in words.items():
        value, bounds = metrics.get(name), analysis["intervals"]["figures"].get(name)
        yield heading, NONE if value is None else said(value), " to ".join(map(said, bounds or ()))


def _number(value: float) -> str:
    """In six places: only an NLL is ever above 10."""
    return f"{value:.{4 if value < 10 else 3}f}"


def _method_lines(intervals: Record) -> list[Text]:
    """How the intervals were made, and what they do not tell."""
    level, resamples, seed = intervals["level"] * 100, intervals["resamples"], intervals["seed"]
    lines = [
        "",
        f"Intervals: the middle {level:g} % of {resamples:,} resamples (seed {seed}). In each, every class",
        "draws as many of its own rows as it has, with replacement. They tell how far a",
        "figure hangs on the samples, not on the training. Repeats raise the ECE, which",
        "may thus lie below its interval. AURC: area under the risk over the coverage.",
    ]
    return [Text(line, style="dim") for line in lines]
