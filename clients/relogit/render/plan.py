"""What a reader sees of a plan: what each result would cost, and what is wrong with the request."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from relogit.render.tables import NONE, Record, available_lines, count, number_of, size, table

UNKNOWN = "not known"
NOT_LOOKED_AT = "not looked at yet"
STYLES = {"supported": "green", "contradicted": "red"}


def lines(plan: Record) -> list[RenderableType]:
    """The table, the sum in words, how it would be computed, and whatever is to be minded."""
    shown: list[RenderableType] = [_table(plan), Text(), _sum(plan)] if plan["units"] else []
    shown += normalisation_lines(plan.get("normalisation") or {})
    if plan["arithmetic"]:  # without it there is one reason for everything, and it is a warning or a problem
        shown.append(Text(_arithmetic(plan["arithmetic"]), style="dim"))
        reasons = {reason: None for unit in plan["units"] for reason in unit["reasons"].values()}
        shown += [Text(f"Not known: {reason}", style="yellow") for reason in reasons]
    return shown + [Text(warning["detail"], style="yellow") for warning in plan["warnings"]]


def normalisation_lines(normalisation: Record) -> list[Text]:
    """What checkpoints say about their mean and std, a line for each verdict, and why where it is no good one."""
    experts: dict[str, list[str]] = {}
    for expert, evidence in normalisation.items():
        experts.setdefault(evidence["verdict"] if evidence else NOT_LOOKED_AT, []).append(expert)
    lines = [
        Text(f"Mean and std {verdict}: {', '.join(names)}.", style=STYLES.get(verdict, "yellow"))
        for verdict, names in experts.items()
    ]
    messages = {
        evidence["message"]: None
        for evidence in normalisation.values()
        if evidence and (evidence["verdict"] == "undecidable" or evidence["severity"] == "warning")
    }
    return lines + [Text(message, style="yellow") for message in messages]


def problem_lines(plan: Record) -> list[Text]:
    """Why the job would fail, item by item, and what would have been right."""
    if plan["ok"]:
        return []
    shown = [Text("The job would be refused, or fail:", style="red")]
    for item in plan["problems"]:
        shown += [Text(f"  - {item['detail']}"), *available_lines(item["detail"], item.get("available"))]
    return shown


def roughly(seconds: float | None) -> str:
    """14.3 as `14 s`, 125 as `2 min`."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return "< 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:,.1f} h"


def _table(plan: Record) -> RenderableType:
    made = table(["expert", "split"], ["rows", "reuse", "compute", "time", "size"])
    for unit in plan["units"]:
        made.add_row(
            unit["expert"],
            unit["split"],
            count(unit["total"]),
            count(unit["reused"]),
            count(unit["computed"]),
            roughly(unit["seconds"]),
            size(unit["bytes"]),
        )
    return made


def _sum(plan: Record) -> Text:
    """`2 of 9 units need no forward pass; about 14 s; 38 MB.`"""
    units, totals = plan["units"], plan["totals"]
    said = []
    if totals["computed"] is None:
        said.append(f"{number_of(len(units), 'unit')} of {number_of(totals['total'], 'row')}")
    else:
        free = sum(unit["computed"] == 0 for unit in units)
        need = "needs" if 1 in (free, len(units)) else "need"
        said.append(f"{free} of {number_of(len(units), 'unit')} {need} no forward pass")
    time = roughly(totals["seconds"])
    said.append(f"time {UNKNOWN}" if totals["seconds"] is None else time if time[0] == "<" else f"about {time}")
    most = "at most " if totals["computed"] is None else ""
    said.append(f"{most}{size(totals['bytes'])}")
    return Text(f"{'; '.join(said)}.", style="bold")


def _arithmetic(how: Record) -> str:
    return f"Computed in {how['precision']} by {how['engine']} {how['engine_version']} on {how['model']}."
