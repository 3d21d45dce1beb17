"""View of the plan of a comparison."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from relogit.render.tables import ID_SHOWN, Record, new_table, number_of, printable


def comparison_plan_lines(plan: Record) -> Iterator[RenderableType]:
    """Show which pairs would be compared, and on which rows; nothing where there are problems."""
    request = plan["request"]
    if request is None:
        return
    lists = {side["label"]: {item["split"]: item for item in side["lists"]} for side in request["sides"]}
    yield new_table(
        {
            "A": a,
            "B": b,
            "on": ", ".join(_split(split, lists[a], lists[b]) for split in lists[a] if split in lists[b]),
        }
        for a, b in request["pairs"]
    )
    for side in request["sides"]:
        for doubt in side["doubts"]:
            yield Text(printable(f"{side['label']}: {doubt}"), "yellow")
    if plan["kept"] is None:
        yield Text("Nothing is wrong with this comparison; without --plan it is queued.", style="green")
        return
    yield Text(
        f"Comparison {plan['kept']} has this result already.\n"
        f"`relogit status {plan['kept'][:ID_SHOWN]}` shows it; without --plan it is made again.",
        style="green",
    )


def _split(name: str, a: Record, b: Record) -> str:
    if a[name]["sha256"] == b[name]["sha256"]:
        return f"{name} ({number_of(a[name]['rows'], 'row')})"
    return f"{name} (other lists: {a[name]['rows']:,} and {b[name]['rows']:,} rows)"
