"""How jobs are listed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from relogit.render.tables import ID_SHOWN, NONE, Record, fits, is_verification, table, word


def listing(listed: Sequence[Record], console: Console) -> Table:
    """One line for each job. The ids are cut to what every command takes for them.

    A narrow console does not see the data sets.
    """
    wide = _jobs(listed, wide=True)
    return wide if fits(wide, console) else _jobs(listed, wide=False)


def _jobs(listed: Sequence[Record], *, wide: bool) -> Table:
    more = ["data set"] if wide else []
    made = table(["job", "kind", "state", "verdict", "created (UTC)", *more, "output"], ["done"])
    for job in listed:
        done, total = _progress(job)
        made.add_row(
            job["id"][:ID_SHOWN],
            job["kind"],
            word(job["state"]),
            word(job["verdict"] or NONE),
            job["created_at"][:16].replace("T", " "),
            *([job["request"]["dataset"]] if wide else []),
            _folder(job["request"]),
            f"{done}/{total}",
        )
    return made


def _progress(job: Record) -> tuple[int, int]:
    """Results that are done, and all. A verification of files does all of them at once."""
    if is_verification(job):
        files = len(job["request"]["files"])
        return (files if job["state"] == "succeeded" else 0), files
    if job["kind"] == "splits":
        return int(job["state"] == "succeeded"), 1
    return sum(unit["state"] == "succeeded" for unit in job["units"]), len(job["units"])


def _folder(request: Record) -> str:
    """Where a job's files are."""
    return str(request.get("output_dir") or request.get("path") or request.get("name") or "(upload)")
