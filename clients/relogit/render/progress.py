"""Progress of a running job: bars, a spinner or lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from relogit.errors import ServerUnreachable
from relogit.render.jobs import job_title
from relogit.render.tables import Record, coloured, duration, number_of, percent, rate
from relogit.upload import Progress as UploadProgress
from relogit.work import ENDED, Work

PATIENCE_S = 30.0  # enough for a restart of the service
RETRY_EVERY_S = 0.5
BAR_WIDTHS = (10, 30)  # columns: the least and the most

Show = Callable[[Record], None]  # shows a job's JSON as it is now


def follow(job: Work, display: AbstractContextManager[Show], patience_s: float = PATIENCE_S) -> None:
    """Show the job until it has ended.

    Its handle then has the final state.

    Raises:
        ServerUnreachable: the server was out of reach for longer than `patience_s`.
    """
    lost_at: float | None = None
    with display as show:
        while True:
            try:
                for number, data in enumerate(job.watch()):
                    if number:  # the first is the last known state, not an answer
                        lost_at = None
                    show(data)
                return
            except ServerUnreachable:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > patience_s:
                    raise
                time.sleep(RETRY_EVERY_S)


def display_for(console: Console, *, has_units: bool) -> AbstractContextManager[Show]:
    """Choose bars or a spinner for a terminal, else lines."""
    if not console.is_interactive:
        return nullcontext(StateLines(console).show)
    return bars(console) if has_units else spinner(console)


def no_display() -> AbstractContextManager[Show]:
    """Show nothing, because standard output is for the JSON."""
    return nullcontext(lambda _: None)


@contextmanager
def spinner(console: Console) -> Iterator[Show]:
    """Show the state beside a spinner, for jobs without units."""
    with console.status("") as status:
        yield lambda job: status.update(f"{job_title(job)}: {job['state']}")


@contextmanager
def bars(console: Console) -> Iterator[Show]:
    """Show a bar with figures for each unit."""
    rows = console.height - 1  # the last row is the cursor's
    with Live(console=console, auto_refresh=False) as live:
        yield lambda job: live.update(_frame(job["units"], rows), refresh=True)


@contextmanager
def upload_bar(console: Console) -> Iterator[UploadProgress | None]:
    """Show a bar of sent bytes on terminals only."""
    if not console.is_interactive:
        yield None
        return
    columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", visible=False)
        yield lambda sent, total: bar.update(task, completed=sent, total=total, visible=True)


class StateLines:
    """Lines about changes of state of a job and its units."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, str] = {}

    def show(self, job: Record) -> None:
        """Print a line for everything whose state has changed."""
        self._print_change(job_title(job), job["state"])
        for unit in job.get("units", []):
            if unit["state"] != "queued":
                self._print_change(" / ".join(_key(unit)), unit["state"], _remark(unit))

    def _print_change(self, name: str, state: str, remark: str = "") -> None:
        if self._states.get(name) != state:
            self._states[name] = state
            self._console.print(f"{name}: {state}{remark}")


def _frame(units: Sequence[Record], rows: int) -> RenderableType:
    """Draw the units' bars in a window of limited height.

    If there are more units than rows, those that run and the last that ended have bars. A line above counts the other
    ended units, and a line below counts those to come.
    """
    if len(units) <= rows:
        return _bars_table(units)
    ended = [unit for unit in units if unit["state"] in ENDED]
    by_priority = [unit for unit in units if unit["state"] == "running"] + ended[::-1]
    by_priority += [unit for unit in units if unit["state"] == "queued"]
    shown = {_key(unit) for unit in by_priority[: max(1, rows - 2)]}
    hidden = [unit for unit in units if _key(unit) not in shown]
    table = _bars_table([unit for unit in units if _key(unit) in shown])
    above = _count_line([unit for unit in hidden if unit["state"] in ENDED])
    return Group(*above, table, *_count_line([unit for unit in hidden if unit["state"] not in ENDED]))


def _bars_table(units: Sequence[Record]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(min_width=BAR_WIDTHS[0], max_width=BAR_WIDTHS[1])  # narrow windows narrow only this column
    for _ in ("done", "rate", "remark"):
        table.add_column(justify="right", no_wrap=True)
    for unit in units:
        running = unit["state"] == "running"
        style = "red" if unit["state"] == "failed" else "bar.complete"
        table.add_row(
            " / ".join(_key(unit)),
            ProgressBar(total=unit["total"], completed=unit["done"], complete_style=style),
            f"{unit['done']:,}/{unit['total']:,}",
            rate(unit["rate"]) if running else "",
            _outlook(unit),
        )
    return table


def _outlook(unit: Record) -> Text:
    """Write the remaining time, the accuracy or the state."""
    if unit["state"] == "running" and unit["remaining_s"] is not None:
        return Text(f"{duration(unit['remaining_s'])} left")
    if unit["state"] == "succeeded" and unit["accuracy"] is not None:
        return Text(percent(unit["accuracy"]), style="green")
    return coloured(unit["state"])  # after the bars there is room to show why a unit failed


def _count_line(units: Sequence[Record]) -> list[Text]:
    """Count units: `12 more results of 4 experts: 11 succeeded, 1 failed`."""
    if not units:
        return []
    states = Counter(unit["state"] for unit in units)
    experts = len({unit["expert"] for unit in units})
    counts = ", ".join(f"{number} {state}" for state, number in states.items())
    return [Text(f"{number_of(len(units), 'more result')} of {number_of(experts, 'expert')}: {counts}", style="dim")]


def _key(unit: Record) -> tuple[str, str]:
    return unit["expert"], unit["split"]


def _remark(unit: Record) -> str:
    if unit["error"]:
        return f": {unit['error']['message']}"
    if unit["accuracy"] is not None:
        return f", accuracy {percent(unit['accuracy'])}"
    return f", {unit['total']:,} samples" if unit["state"] == "running" else ""
