"""Views of an analysis: causes of a low accuracy, and intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.checks import ACCURACIES, PROBABILITIES, Place, chance_results, places_in_words
from relogit.render.figures import further_lines
from relogit.render.tables import NONE, Record, in_percent, number_of

AREAS = {  # of the curves whose area is not a figure of the result: heading, and the name of its interval
    "balanced_risk_coverage": ("AURC balanced", "balanced_aurc"),
    "worst_group_risk_coverage": ("AURC worst", "worst_group_aurc"),
}
NOTHING = "There is nothing to analyse."
NOT_YET = "The server has not finished; ask again."


def cause_lines(verification: Record, causes: Record) -> list[Text]:
    """Show likely causes of results no better than chance."""
    chance = chance_results(verification)
    places_by_message: dict[str, list[Place]] = {}
    for entry in causes["results"]:
        place = (entry["expert"], entry["split"])
        if place in chance and entry["state"] != "none":
            places_by_message.setdefault(missing_reason(entry) or entry["analysis"]["message"], []).append(place)
    return [
        Text.assemble((f"cause    {places_in_words(places, verification)}", "bold red"), f": {message}")
        for message, places in places_by_message.items()
    ]


def statistics_lines(verification: Record, statistics: Record) -> list[RenderableType]:
    """Show each result's figures with intervals and their explanation."""
    lines: list[RenderableType] = []
    intervals: Record | None = None
    for result in verification["results"]:
        entry = entry_of(statistics, result)
        metrics = result["metrics"] or {}
        samples = f", {number_of(metrics['samples'], 'sample')}" if metrics.get("samples") is not None else ""
        lines += [Text(""), Text(f"{result['expert']} / {result['split']}{samples}", style="bold")]
        reason = missing_reason(entry)
        if reason is not None:
            lines.append(Text(f"No intervals: {reason}", style="yellow"))
            continue
        intervals = entry["analysis"]["intervals"]
        lines += [_figures_table(metrics, entry["analysis"]), *further_lines(entry["analysis"])]
    return [*lines, *_method_lines(intervals)] if intervals else lines


def entry_of(analysis: Record | None, result: Record) -> Record:
    """Find the entry of a result in an analysis."""
    place = (result["expert"], result["split"])
    entries = analysis["results"] if analysis else []
    return next((entry for entry in entries if (entry["expert"], entry["split"]) == place), {"state": "none"})


def missing_reason(entry: Record) -> str | None:
    """Explain why a result lacks its analysis, if it does."""
    if entry["state"] == "ready":
        return None
    if entry["state"] == "failed":
        return str(entry["error"]["message"])
    return NOTHING if entry["state"] == "none" else NOT_YET


def _figures_table(metrics: Record, analysis: Record) -> Table:
    """Put accuracies left, probabilities and risks right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")
    interval = f"{analysis['intervals']['level'] * 100:g} % interval"
    for heading, numbers in (("accuracy in %", 2), ("", 0), ("confidence", 2)):
        table.add_column(heading, no_wrap=True)
        for above in ("", interval)[:numbers]:
            table.add_column(above, justify="right", no_wrap=True)
    accuracies = list(_figure_cells(metrics, analysis, ACCURACIES, lambda share: f"{in_percent(share):.2f}"))
    confidences = list(_figure_cells(metrics, analysis, PROBABILITIES, _six_places))
    areas = {interval: analysis["areas"].get(name) for name, (_, interval) in AREAS.items()}
    confidences += _figure_cells(areas, analysis, {name: heading for heading, name in AREAS.values()}, _six_places)
    blank = ("", "", "")
    for row in range(max(len(accuracies), len(confidences))):
        left_cells, right_cells = (side[row] if row < len(side) else blank for side in (accuracies, confidences))
        table.add_row(*left_cells, "  ", *right_cells)
    return table


def _figure_cells(
    metrics: Record, analysis: Record, headings: dict[str, str], formatted: Callable[[float], str]
) -> Iterator[tuple[str, str, str]]:
    """Yield heading, value and interval of each figure."""
    for name, heading in headings.items():
        value, bounds = metrics.get(name), analysis["intervals"]["figures"].get(name)
        yield heading, NONE if value is None else formatted(value), " to ".join(map(formatted, bounds or ()))


def _six_places(value: float) -> str:
    return f"{value:.{4 if value < 10 else 3}f}"  # only an NLL is ever above 10


def _method_lines(intervals: Record) -> list[Text]:
    """Explain the method of the intervals and its limits."""
    level, resamples, seed = intervals["level"] * 100, intervals["resamples"], intervals["seed"]
    lines = [
        "",
        f"Intervals: the middle {level:g} % of {resamples:,} resamples (seed {seed}). Each draws as",
        "many rows of every class as the class has, with replacement. They cover the",
        "choice of samples, not the training. Repeated rows raise the ECE, which may",
        "therefore lie below its interval. AURC: area under risk over coverage.",
    ]
    return [Text(line, style="dim") for line in lines]
