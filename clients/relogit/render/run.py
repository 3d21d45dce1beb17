"""Views of a run of the whole workflow: its steps, live and at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from relogit.render.combinations import warning_lines
from relogit.render.evaluation import evaluation_table
from relogit.render.plan import plan_lines
from relogit.render.progress import BAR_WIDTHS, Show
from relogit.render.tables import Record, coloured, printable, problem_lines

DONE = ("succeeded", "kept")


def run_display(console: Console) -> AbstractContextManager[Show]:
    """Choose a live table for a terminal, else lines."""
    return _live(console) if console.is_interactive else nullcontext(StepLines(console).show)


@contextmanager
def _live(console: Console) -> Iterator[Show]:
    with Live(console=console, auto_refresh=False) as live:
        yield lambda run: live.update(steps_table(run["steps"]), refresh=True)


class StepLines:
    """A line for every step whose state has changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, str] = {}

    def show(self, run: Record) -> None:
        """Print the steps that began or ended since the last look."""
        for step in run["steps"]:
            if step["state"] != "waiting" and self._states.get(step["step"]) != step["state"]:
                self._states[step["step"]] = step["state"]
                self._console.print(Text.assemble(f"{step['step']}: ", step_state(step)))


def steps_table(steps: Sequence[Record]) -> Table:
    """Show the state of each step, with the bar of one that runs."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for step in steps:
        table.add_row(step["step"], _cell(step))
    return table


def _cell(step: Record) -> RenderableType:
    if step["state"] != "running" or not step["total"]:
        return step_state(step)
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=BAR_WIDTHS[1])
    bar = ProgressBar(total=step["total"], completed=step["done"], width=BAR_WIDTHS[1])
    row.add_row(bar, f"{step['done']:,}/{step['total']:,}")
    return row


def step_state(step: Record) -> Text:
    """Write a step's state and why: `kept: same logits, same splits`."""
    reason = printable(step["reason"]) if step["reason"] and step["state"] != "cancelled" else ""
    if step["error"]:
        reason = printable(step["error"]["message"])
    return Text.assemble(coloured(step["state"]), (f": {reason}" if reason else "", "" if step["error"] else "dim"))


def run_lines(run: Record, evaluation: Record | None, report: str, console: Console) -> Iterator[RenderableType]:
    """Show how a run ended: the table of all methods, or why it failed.

    Args:
        run: the run's JSON.
        evaluation: that of its evaluation; None where there is none.
        report: where its report is.
        console: for its width.
    """
    name = f"Run {run['id']}"
    if run["error"]:
        yield from problem_lines(run["error"], where=f"{name} failed: ")
    if evaluation is not None and evaluation["result"] is not None:
        yield from warning_lines(evaluation["result"])
        yield evaluation_table(evaluation["result"]["evaluation"], console)
    if run["state"] != "succeeded":
        if not run["error"]:
            yield Text.assemble(f"{name}: ", coloured(run["state"]), ".")
        return
    kept, steps = sum(step["state"] == "kept" for step in run["steps"]), len(run["steps"])
    made = f": {kept} of {steps} steps kept" if kept else ""
    if kept == steps:
        made = f": all {steps} steps kept, nothing was computed"
    yield Text(f"{name} succeeded{made}.", style="green")
    if report:
        yield Text(f"Report: {report}", style="green")


def computes(plan: Record) -> bool:
    """Tell whether a planned run has to recompute, over a set of splits that is there."""
    states = {step["step"]: step["state"] for step in plan["steps"]}
    return states["splits"] in DONE and states.get("recompute") == "waiting"


def run_plan_lines(plan: Record) -> Iterator[RenderableType]:
    """Show which steps a run would keep, and what the recompute step would cost.

    Args:
        plan: the run's plan; under `recompute` that of this step, or None.
    """
    steps = plan["steps"]
    if not steps:
        return
    kept = sum(step["state"] == "kept" for step in steps)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for number, step in enumerate(steps):
        table.add_row(step["step"], _planned_state(step, first=number == kept))
    yield table
    yield Text(_plan_sentence(steps, kept), style="bold")
    if lines := [] if plan["recompute"] is None else plan_lines(plan["recompute"]):
        yield Text("\nThe step recompute:", style="bold")
        yield from lines


def _planned_state(step: Record, *, first: bool) -> Text:
    if step["state"] == "kept":
        return step_state(step)
    partly = f": {printable(step['reason'])}" if step["reason"] else ""
    return Text.assemble(("to do", "yellow"), (partly, "dim")) if first else Text("open", style="dim")


def _plan_sentence(steps: Sequence[Record], kept: int) -> str:
    """Tell how much of a run is left to do."""
    if kept == len(steps):
        return f"All {kept} steps kept, nothing would be computed."
    names = [step["step"] for step in steps]
    follows = "; what follows depends on its result" if kept + 1 < len(steps) else ""
    done = f"{kept or 'None'} of {len(steps)} steps kept"
    drawn = "\nWhich rows to compute is known once the splits are drawn." if names[kept] == "splits" else ""
    return f"{done}. To do: {names[kept]}{follows}.{drawn}"
