"""What a reader sees: tables and sentences out of the server's JSON. Nothing is asked or decided here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

from relogit.download import Saved

Record = dict[str, Any]

# The columns that a narrow window folds: numbers keep their width, for a digit that is cut off is a wrong number.
FOLDED = frozenset({"expert", "split", "file", "output", "data set", "set", "list", "made"})
ID_SHOWN = 8
UNBOUNDED = 10_000  # columns: room for what any table would take if it could
NONE = "-"  # a figure that is not there
SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
COLOURS = {
    "passed": "green",
    "succeeded": "green",
    "ready": "green",
    "failed": "red",
    "bad": "red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "skipped": "yellow",
    "running": "cyan",
}


def printable(text: str) -> str:
    """A name as one line that does nothing to a terminal: line ends and control characters as Python escapes them."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class Cells(Table):
    """A table whose words are what they are: no name of a file or a list breaks a line or drives the terminal."""

    def add_row(
        self, *renderables: RenderableType | None, style: StyleType | None = None, end_section: bool = False
    ) -> None:
        """As rich's, with the words in plain letters."""
        super().add_row(*(_plain_cell(cell) for cell in renderables), style=style, end_section=end_section)


def _plain_cell(cell: RenderableType | None) -> RenderableType | None:
    if isinstance(cell, Text):
        return cell if cell.plain.isprintable() else Text(printable(cell.plain), cell.style)
    return printable(cell) if isinstance(cell, str) else cell


def word(state: str) -> Text:
    """A state or a verdict in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def percent(share: float | None) -> str:
    """0.7016 as `70.16 %`."""
    return NONE if share is None else f"{share * 100:.2f} %"


def count(number: int | None) -> str:
    """10847 as `10,847`."""
    return NONE if number is None else f"{number:,}"


def number_of(number: int, thing: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def rate(samples_s: float | None) -> str:
    """Samples a second."""
    return "" if samples_s is None else f"{samples_s:,.0f}/s"


def duration(seconds: float | None) -> str:
    """125 as `2:05`."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(number: int | None) -> str:
    """38,400,000 bytes as `38 MB`."""
    if number is None:
        return NONE
    unit = 0
    while number >= 999.5 * 1000**unit and unit < len(SIZES) - 1:
        unit += 1
    value = number / 1000**unit
    return f"{value:.1f} {SIZES[unit]}" if unit and value < 9.95 else f"{value:.0f} {SIZES[unit]}"


def table(left: Sequence[str], right: Sequence[str] = (), last: Sequence[str] = ()) -> Table:
    """An empty table; `left` and `last` hold words, `right` holds numbers between them."""
    made = Cells(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")
    for name in (*left, *right, *last):
        made.add_column(
            name, justify="right" if name in right else "left", overflow="fold", no_wrap=name not in FOLDED
        )
    return made


def fits(made: Table, console: Console) -> bool:
    """Whether a console is wide enough to show a table without folding anything."""
    return console.measure(made, options=console.options.update(width=UNBOUNDED)).maximum <= console.width


def is_verification(job: Record) -> bool:
    """Whether a job verifies files, rather than computes."""
    return bool(job["kind"] == "verification")


def title(job: Record) -> str:
    """What a sentence calls a job."""
    return f"{'Verification' if is_verification(job) else 'Job'} {job['id']}"


def job_lines(job: Record) -> list[Text]:
    """What the job is and was asked to do."""
    request = job["request"]
    lines = [Text.assemble(f"{title(job)}: ", word(job["state"]))]
    for name in ("created_at", "started_at", "finished_at", "deadline_at"):
        if job.get(name):
            lines.append(Text(f"  {name.removesuffix('_at'):<9}{job[name]}"))
    asked = ", ".join(
        f"{name} {json.dumps(value) if value == '' else plain(value)}"
        for name, value in request.items()
        if name not in ("experts", "splits", "files") and value is not None
    )
    if is_verification(job):
        lines.append(Text(f"  verifies {number_of(len(request['files']), 'file')}"))
    return [*lines, Text(f"  asked    {asked}")]


def units(job: Record) -> Table:
    """How far each (expert, split) of a job is."""
    made = table(["expert", "split", "state"], ["done", "reused", "rate", "left", "acc"])
    for unit in job["units"]:
        made.add_row(
            unit["expert"],
            unit["split"],
            word(unit["state"]),
            f"{unit['done']:,}/{unit['total']:,}",
            count(unit["reused"]),
            rate(unit["rate"]),
            duration(unit["remaining_s"]),
            percent(unit["accuracy"]),
        )
    return made


def reuse_lines(job: Record) -> list[Text]:
    """How many of the rows that are done needed no forward pass; no line while there are none."""
    reused, computed = (sum(unit[kind] for unit in job["units"]) for kind in ("reused", "computed"))
    if not reused + computed:
        return []
    rows = number_of(reused + computed, "row")
    if not computed:
        return [Text(f"{rows}, all reused; nothing computed.")]
    if not reused:
        return [Text(f"{rows}, all computed.")]
    return [Text(f"{rows}: {reused:,} reused, {computed:,} computed.")]


def problem_lines(error: Record, *, where: str = "") -> list[Text]:
    """An error of a unit, an expert or a split: its message, and what is available."""
    message: str = error["message"]
    available = (error.get("details") or {}).get("available")
    said = "\n".join(printable(line) for line in message.splitlines())
    return [Text.assemble((printable(where), "bold red"), said), *available_lines(message, available)]


def available_lines(said: str, names: Sequence[str] | None) -> list[Text]:
    """The names that would have been right, unless the sentence before has said them all."""
    if not names or all(name in said for name in names):
        return []
    return [Text(f"    available: {printable(', '.join(names))}")]


def failure_lines(job: Record) -> list[Text]:
    """Why the job, and each of its units that failed, did so; then what the others have to say."""
    lines: list[Text] = []
    if job["error"]:
        lines += problem_lines(job["error"], where=f"{title(job).split()[0]} failed: ")
    for unit in job.get("units", []):
        if unit["error"] and unit["error"] != job["error"]:
            lines += problem_lines(unit["error"], where=f"{unit['expert']} / {unit['split']} failed: ")
    for unit in job.get("units", []):
        notes = [*unit["notes"], *([f"begun {unit['attempts']} times"] if unit["attempts"] > 1 else [])]
        lines += [Text(f"{unit['expert']} / {unit['split']}: {note}", style="yellow") for note in notes]
    return lines


def plain(value: Any) -> str:
    """A JSON value in words: `rows 3, tied rows 0` for an object, four digits for a float."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_nested(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_nested(item) for item in value) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def _nested(value: Any) -> str:
    return f"({plain(value)})" if isinstance(value, dict | list) else plain(value)


def verdict(job: Record) -> Text:
    """How the job ended, in one sentence, and where its files are."""
    if is_verification(job):
        return _verification_verdict(job)
    if job["kind"] == "splits":
        return _splits_verdict(job)
    units = job["units"]
    good = sum(unit["state"] == "succeeded" for unit in units)
    files = f"{job['request']['output_dir']}/<expert>/<split>_logits.npz in the server's outputs folder"
    if job["state"] == "succeeded":
        return Text(
            f"Job {job['id']} succeeded: {good} of {good} results are verified. They are {files}.", style="green"
        )
    kept = f" The {good} good results are kept: {files}." if good else ""
    if job["state"] == "cancelled":
        return Text(f"Job {job['id']} was cancelled with {good} of {len(units)} results done.{kept}", style="yellow")
    if job["state"] == "failed" and good == len(units):
        return Text(
            f"Job {job['id']} failed its verification; do not use its files. `relogit verify {job['id']}` says why.",
            style="red",
        )
    if job["state"] == "failed":
        return Text(f"Job {job['id']} failed: {good} of {len(units)} results are good.{kept}", style="red")
    return Text(f"Job {job['id']} is {job['state']}: {good} of {len(units)} results are done.")


def _splits_verdict(job: Record) -> Text:
    name = job["request"]["name"]
    if job["state"] == "succeeded":
        return Text(f"The splits {name!r} are there; a job takes them with --splits-dir {name}.", style="green")
    return Text.assemble(f"Creating the splits {name!r} is ", word(job["state"]), ".")


def _verification_verdict(job: Record) -> Text:
    if not job["verdict"]:
        return Text.assemble(f"{title(job)} is ", word(job["state"]), ".")
    return Text.assemble(f"{title(job)}: ", word(job["verdict"]), f". `relogit verify {job['id']}` shows its checks.")


def entry_problems(listed: Sequence[Record]) -> list[Text]:
    """What is wrong with any of the listed files, and what `unread` means."""
    lines = [
        line
        for item in listed
        if item["problem"]
        for line in problem_lines(item["problem"], where=f"{item['name']}: ")
    ]
    if any(item["state"] == "unread" for item in listed):
        lines.append(Text("unread: no worker has read the file yet; look again when one is alive.", style="yellow"))
    return lines


def saved(files: Sequence[Saved]) -> list[Text]:
    """Where each file of a download is, and how many had to be fetched."""
    if not files:
        return [Text("The job has no files.")]
    lines = [Text(f"{file.path}  {file.sha256[:12]}  {'fetched' if file.fetched else 'was there'}") for file in files]
    fetched = sum(file.fetched for file in files)
    return [
        *lines,
        Text(f"{number_of(len(files), 'file')}, each with the right sha256; {fetched} fetched.", style="green"),
    ]
