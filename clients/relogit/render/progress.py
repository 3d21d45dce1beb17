"""A job while it runs: live bars or a spinner on a terminal, one line for each change of state elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from relogit.errors import ServerUnreachable
from relogit.render.tables import Record, duration, number_of, percent, rate, title, word
from relogit.upload import Progress as Told
from relogit.work import ENDED, Work

PATIENCE_S = 30.0  # a service that is restarted is back by then
RETRY_EVERY_S = 0.5
BAR_WIDTHS = (10, 30)  # columns: what a bar needs to show anything, and what is enough


class Display(AbstractContextManager["Display"], Protocol):
    """Shows a job's JSON as often as it changes."""

    def show(self, job: Record) -> None:
        """Show the job as it is now."""


def follow(job: Work, display: Display, patience_s: float = PATIENCE_S) -> None:
    """Show the job until it has ended; its handle then holds the end.

    Args:
        job: the job, or a verification.
        display: where it is shown.
        patience_s: how long the server may be away before that is an error.

    Raises:
        ServerUnreachable: it was away for longer.
    """
    lost: float | None = None
    with display:
        while True:
            try:
                for number, data in enumerate(job.watch()):
                    lost = None if number else lost  # the first is what is known, not an answer
                    display.show(data)
                return
            except ServerUnreachable:
                lost = lost or time.monotonic()
                if time.monotonic() - lost > patience_s:
                    raise
                time.sleep(RETRY_EVERY_S)


def display_for(console: Console, job: Work | None = None) -> Display:
    """Bars where they can move, a spinner for what has no units, else lines."""
    if not console.is_interactive:
        return Lines(console)
    return Spinner(console) if job is not None and not job.data.get("units") else Bars(console)


@contextmanager
def upload_bar(console: Console) -> Iterator[Told | None]:
    """A bar over the bytes that are sent, once some are; nothing where it could not move."""
    if not console.is_interactive:
        yield None
        return
    columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", visible=False)
        yield lambda sent, total: bar.update(task, completed=sent, total=total, visible=True)


class Quiet(AbstractContextManager["Quiet"]):
    """Shows nothing: standard output is for the JSON."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        pass

    def show(self, job: Record) -> None:
        """Nothing."""


class Lines(AbstractContextManager["Lines"]):
    """A line whenever the job or one of its units changes its state."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, str] = {}

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        pass

    def show(self, job: Record) -> None:
        """Print what has another state than when last shown."""
        self._line(title(job), job["state"])
        for unit in job.get("units", []):
            if unit["state"] != "queued":
                self._line(f"{unit['expert']} / {unit['split']}", unit["state"], _remark(unit))

    def _line(self, name: str, state: str, remark: str = "") -> None:
        if self._states.get(name) != state:
            self._states[name] = state
            self._console.print(f"{name}: {state}{remark}")


class Spinner(AbstractContextManager["Spinner"]):
    """The state, and something that turns: for a verification of files, which takes seconds."""

    def __init__(self, console: Console) -> None:
        self._status = console.status("")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._status.stop()

    def show(self, job: Record) -> None:
        """Show the state as it is now."""
        self._status.update(f"{title(job)}: {job['state']}")


class Bars(AbstractContextManager["Bars"]):
    """A bar for each unit: done of total, samples a second, time left, accuracy when done.

    Where there are more units than rows, those that run and those that ended last keep theirs, and the others
    are counted in a line above (ended) and a line below (still to come).
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False)
        self._ended: list[Record] = []  # the last states of ended units, in the order in which they were seen

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, job: Record) -> None:
        """Draw the bars anew."""
        known = {_key(unit) for unit in self._ended}
        self._ended += [unit for unit in job["units"] if unit["state"] in ENDED and _key(unit) not in known]
        self._live.update(self._frame(job["units"]), refresh=True)

    def _frame(self, units: Sequence[Record]) -> RenderableType:
        rows = self._console.height - 1  # the cursor stands in the last one
        if len(units) <= rows:
            return _bars(units)
        wanted = [unit for unit in units if unit["state"] == "running"]
        wanted += reversed(self._ended)
        wanted += [unit for unit in units if unit["state"] == "queued"]
        chosen = {_key(unit) for unit in wanted[: max(1, rows - 2)]}
        hidden = [unit for unit in units if _key(unit) not in chosen]
        ended = [unit for unit in hidden if unit["state"] in ENDED]
        coming = [unit for unit in hidden if unit["state"] not in ENDED]
        shown = _bars([unit for unit in units if _key(unit) in chosen])
        return Group(*_count_line(ended), shown, *_count_line(coming))


def _bars(units: Sequence[Record]) -> Table:
    made = Table.grid(padding=(0, 1, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(min_width=BAR_WIDTHS[0], max_width=BAR_WIDTHS[1])  # the only one that a narrow window narrows
    for _ in ("done", "rate", "remark"):
        made.add_column(justify="right", no_wrap=True)
    for unit in units:
        running = unit["state"] == "running"
        style = "red" if unit["state"] == "failed" else "bar.complete"
        made.add_row(
            " / ".join(_key(unit)),
            ProgressBar(total=unit["total"], completed=unit["done"], complete_style=style),
            f"{unit['done']:,}/{unit['total']:,}",
            rate(unit["rate"]) if running else "",
            _standing(unit),
        )
    return made


def _standing(unit: Record) -> Text:
    """What stands behind a bar. Why a unit failed is told after the bars, where there is room for it."""
    if unit["state"] == "running" and unit["remaining_s"] is not None:
        return Text(f"{duration(unit['remaining_s'])} left")
    if unit["state"] == "succeeded" and unit["accuracy"] is not None:
        return Text(percent(unit["accuracy"]), style="green")
    return word(unit["state"])


def _count_line(units: Sequence[Record]) -> list[Text]:
    """`12 more results of 4 experts: 11 succeeded, 1 failed`, or no line for none."""
    if not units:
        return []
    states = Counter(unit["state"] for unit in units)
    experts = len({unit["expert"] for unit in units})
    said = ", ".join(f"{number} {state}" for state, number in states.items())
    return [Text(f"{number_of(len(units), 'more result')} of {number_of(experts, 'expert')}: {said}", style="dim")]


def _key(unit: Record) -> tuple[str, str]:
    return unit["expert"], unit["split"]


def _remark(unit: Record) -> str:
    if unit["error"]:
        return f": {unit['error']['message']}"
    if unit["accuracy"] is not None:
        return f", accuracy {percent(unit['accuracy'])}"
    return f", {unit['total']:,} samples" if unit["state"] == "running" else ""
