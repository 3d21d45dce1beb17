"""View of a plan: the cost of each result, and problems."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.tables import NONE, Record, available_lines, count, new_table, number_of, size

NOT_READ = "not looked at yet"
STYLES = {"supported": "green", "contradicted": "red"}


def plan_lines(plan: Record) -> list[RenderableType]:
    """Show a plan's costs, engine and warnings."""
    lines: list[RenderableType] = [_units_table(plan), Text(), _totals(plan)] if plan["units"] else []
    lines += _normalisation_lines(plan.get("normalisation") or {})
    if plan["arithmetic"]:  # without it one reason explains every missing figure, and it is a warning or a problem
        lines.append(Text(_engine(plan["arithmetic"]), style="dim"))
        reasons = {reason: None for unit in plan["units"] for reason in unit["reasons"].values()}
        lines += [Text(f"Not known: {reason}", style="yellow") for reason in reasons]
    return lines + [Text(warning["detail"], style="yellow") for warning in plan["warnings"]]


def plan_problem_lines(plan: Record, subject: str = "job") -> list[Text]:
    """Show why the job would fail, and available names."""
    if plan["ok"]:
        return []
    lines = [Text(f"The {subject} would be refused, or fail:", style="red")]
    for item in plan["problems"]:
        lines += [Text(f"  - {item['detail']}"), *available_lines(item["detail"], item.get("available"))]
    return lines


def rough_duration(seconds: float | None) -> str:
    """Format 14.3 seconds as `14 s`, and 125 as `2 min`."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return "< 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:,.1f} h"


def _units_table(plan: Record) -> Table:
    rows = (
        {
            "expert": unit["expert"],
            "split": unit["split"],
            "rows": count(unit["total"]),
            "reuse": count(unit["reused"]),
            "compute": count(unit["computed"]),
            "time": rough_duration(unit["seconds"]),
            "size": size(unit["bytes"]),
        }
        for unit in plan["units"]
    )
    return new_table(rows, ["rows", "reuse", "compute", "time", "size"])


def _totals(plan: Record) -> Text:
    """Sum up a plan's forward passes, time and size."""
    units, totals = plan["units"], plan["totals"]
    if totals["computed"] is None:
        work = f"{number_of(len(units), 'unit')} of {number_of(totals['total'], 'row')}"
        most = "at most "
    else:
        free = sum(unit["computed"] == 0 for unit in units)
        verb = "needs" if 1 in (free, len(units)) else "need"
        work = f"{free} of {number_of(len(units), 'unit')} {verb} no forward pass"
        most = ""
    time = rough_duration(totals["seconds"])
    if totals["seconds"] is None:
        time = "time not known"
    elif totals["seconds"] >= 1:
        time = f"about {time}"
    return Text(f"{work}; {time}; {most}{size(totals['bytes'])}.", style="bold")


def _normalisation_lines(normalisation: Record) -> list[Text]:
    """Group experts by the verdict on mean and std.

    Verdicts that need attention have their reason below.
    """
    experts: dict[str, list[str]] = {}
    for expert, evidence in normalisation.items():
        experts.setdefault(evidence["verdict"] if evidence else NOT_READ, []).append(expert)
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


def _engine(arithmetic: Record) -> str:
    engine = f"{arithmetic['engine']} {arithmetic['engine_version']}"
    return f"Computed in {arithmetic['precision']} by {engine} on {arithmetic['model']}."
