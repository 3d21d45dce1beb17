"""A job while it runs: live bars on a terminal, one line for each change of state elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from relogit.job import Job
from relogit.render import duration, percent, rate

Record = dict[str, Any]


class Display(AbstractContextManager["Display"], Protocol):
    """Shows a job's JSON as often as it changes."""

    def show(self, job: Record) -> None:
        """Show the job as it is now."""


def follow(job: Job, display: Display) -> None:
    """Show the job until it has ended; its handle then holds the end."""
    with display:
        for data in job.watch():
            display.show(data)


def display_for(console: Console) -> Display:
    """Bars where they can move, else lines."""
    return Bars(console) if console.is_interactive else Lines(console)


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
        self._line(f"Job {job['id']}", job["state"])
        for unit in job["units"]:
            if unit["state"] != "queued":
                self._line(f"{unit['expert']} / {unit['split']}", unit["state"], _remark(unit))

    def _line(self, name: str, state: str, remark: str = "") -> None:
        if self._states.get(name) != state:
            self._states[name] = state
            self._console.print(f"{name}: {state}{remark}")


class Bars(AbstractContextManager["Bars"]):
    """A bar for each unit: done of total, samples a second, time left, accuracy when done."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}", justify="right", markup=False),
            TextColumn("{task.fields[rate]}", justify="right", markup=False),
            TextColumn("{task.fields[remark]}", markup=False),
            console=console,
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: Record) -> None:
        """Move the bars."""
        for unit in job["units"]:
            key = (unit["expert"], unit["split"])
            if key not in self._tasks:
                self._tasks[key] = self._progress.add_task(" / ".join(key), total=unit["total"], rate="", remark="")
            running = unit["state"] == "running"
            left = f"{duration(unit['remaining_s'])} left" if unit["remaining_s"] is not None else "running"
            self._progress.update(
                self._tasks[key],
                completed=unit["done"],
                total=unit["total"],
                rate=rate(unit["rate"]),
                remark=left if running else f"{unit['state']}{_remark(unit)}",
            )


def _remark(unit: Record) -> str:
    if unit["error"]:
        return f": {unit['error']['message']}"
    if unit["accuracy"] is not None:
        return f", accuracy {percent(unit['accuracy'])}"
    return f", {unit['total']:,} samples" if unit["state"] == "running" else ""
