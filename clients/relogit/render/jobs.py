"""Views of jobs: one, a list of them, and their downloads."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from relogit.download import Saved
from relogit.render.tables import (
    ID_SHOWN,
    NONE,
    Record,
    coloured,
    count,
    duration,
    fitting_table,
    new_table,
    number_of,
    percent,
    plain,
    problem_lines,
    rate,
)

TITLES = {  # of jobs that are not simply called so, by kind
    "verification": "Verification",
    "gating": "Gating",
    "rejector": "Rejector",
    "evaluation": "Evaluation",
    "comparison": "Comparison",
    "run": "Run",
}
# What nobody typed, or what other lines show.
HIDDEN = frozenset(
    {
        "experts",
        "splits",
        "files",
        "lists",
        "counts_sha256",
        "identity",
        "coverages",
        "gatings",
        "rejectors",
        "steps",
        "sides",
        "pairs",
    }
)


def jobs_table(jobs: Sequence[Record], console: Console) -> Table:
    """List jobs, one line each, with short ids.

    Commands take these ids. A narrow console shows no data sets.
    """
    rows = [
        {
            "job": job["id"][:ID_SHOWN],
            "kind": job["kind"],
            "state": coloured(job["state"]),
            "verdict": coloured(_verdict(job)),
            "created (UTC)": job["created_at"][:16].replace("T", " "),
            "data set": job["request"].get("dataset") or NONE,
            "output": _folder(job["request"]),
            "done": "{}/{}".format(*_progress(job)),
        }
        for job in jobs
    ]
    return fitting_table(console, rows, ["done"], ["data set"])


def job_title(job: Record) -> str:
    """Name a job in a sentence."""
    return f"{TITLES.get(job['kind'], 'Job')} {job['id']}"


def job_lines(job: Record) -> list[Text]:
    """Show a job's state, times and request."""
    request = job["request"]
    lines = [Text.assemble(f"{job_title(job)}: ", coloured(job["state"]))]
    for name in ("created_at", "started_at", "finished_at", "deadline_at"):
        if job.get(name):
            lines.append(Text(f"  {name.removesuffix('_at'):<9}{job[name]}"))
    options = ", ".join(
        f"{name} {json.dumps(value) if value == '' else plain(value)}"
        for name, value in _asked(request).items()
        if name not in HIDDEN and value not in (None, {})
    )
    if _is_verification(job):
        lines.append(Text(f"  verifies {number_of(len(request['files']), 'file')}"))
    return [*lines, Text(f"  asked    {options}")]


def units_table(job: Record) -> Table:
    """Show the progress of each (expert, split) of a job."""
    rows = (
        {
            "expert": unit["expert"],
            "split": unit["split"],
            "state": coloured(unit["state"]),
            "done": f"{unit['done']:,}/{unit['total']:,}",
            "reused": count(unit["reused"]),
            "rate": rate(unit["rate"]),
            "left": duration(unit["remaining_s"]),
            "acc": percent(unit["accuracy"]),
        }
        for unit in job["units"]
    )
    return new_table(rows, ["done", "reused", "rate", "left", "acc"])


def reuse_lines(job: Record) -> list[Text]:
    """Count the reused rows and the computed rows."""
    reused, computed = (sum(unit[kind] for unit in job["units"]) for kind in ("reused", "computed"))
    if not reused + computed:
        return []
    rows = number_of(reused + computed, "row")
    if reused and computed:
        return [Text(f"{rows}: {reused:,} reused, {computed:,} computed.")]
    return [Text(f"{rows}, all reused; nothing computed." if reused else f"{rows}, all computed.")]


def failure_lines(job: Record) -> list[Text]:
    """Show why the job and its units failed, and notes."""
    lines: list[Text] = []
    if job["error"]:
        lines += problem_lines(job["error"], where=f"{job_title(job).split()[0]} failed: ")
    for unit in job.get("units", []):
        if unit["error"] and unit["error"] != job["error"]:
            lines += problem_lines(unit["error"], where=f"{unit['expert']} / {unit['split']} failed: ")
    for unit in job.get("units", []):
        notes = [*unit["notes"], *([f"begun {unit['attempts']} times"] if unit["attempts"] > 1 else [])]
        lines += [Text(f"{unit['expert']} / {unit['split']}: {note}", style="yellow") for note in notes]
    return lines


def job_verdict(job: Record) -> Text:
    """Tell a job's outcome and where its files are."""
    if _is_verification(job):
        return _verification_verdict(job)
    if job["kind"] == "splits":
        return _splits_verdict(job)
    if job["kind"] in TITLES:
        return Text.assemble(f"{job_title(job)}: ", coloured(job["state"]), ".")
    units = job["units"]
    good = sum(unit["state"] == "succeeded" for unit in units)
    files = f"{job['request']['output_dir']}/<expert>/<split>_logits.npz in the server's outputs folder"
    name = f"Job {job['id']}"
    if job["state"] == "succeeded":
        return Text(f"{name} succeeded: {good} of {good} results are verified. They are {files}.", style="green")
    kept = f" Good results are kept: {files}." if good else ""
    if job["state"] == "cancelled":
        return Text(f"{name} was cancelled with {good} of {len(units)} results done.{kept}", style="yellow")
    if job["state"] == "failed" and good == len(units):
        reason = f"`relogit verify {job['id']}` shows why"
        return Text(f"{name} failed its verification; do not use its files. {reason}.", style="red")
    if job["state"] == "failed":
        return Text(f"{name} failed: {good} of {len(units)} results are good.{kept}", style="red")
    return Text(f"{name} is {job['state']}: {good} of {len(units)} results are done.")


def download_lines(files: Sequence[Saved], *, with_index: bool = False) -> list[Text]:
    """Show each downloaded file's path, and count those fetched."""
    if not files:
        return [Text("The job has no files.")]
    lines = [
        Text(f"{file.path}  {file.sha256[:12]}  {'fetched' if file.fetched else 'already there'}") for file in files
    ]
    fetched = sum(file.fetched for file in files)
    total = f"{number_of(len(files), 'file')}, each with the right sha256; {fetched} fetched."
    if with_index:
        total = f"{number_of(len(files), 'file')}, each fetched with the right sha256; sample_index and base added."
    return [*lines, Text(total, style="green")]


def _progress(job: Record) -> tuple[int, int]:
    """Count finished results, and all results.

    A verification finishes all at once.
    """
    if _is_verification(job):
        files = len(job["request"]["files"])
        return (files if job["state"] == "succeeded" else 0), files
    if not job["units"]:
        return int(job["state"] == "succeeded"), 1
    return sum(unit["state"] == "succeeded" for unit in job["units"]), len(job["units"])


def _asked(request: Record) -> Record:
    """Name the job whose logits were combined, in place of their files."""
    logits = request.get("logits")
    return {**request, "logits": logits["job"]} if isinstance(logits, dict) else request


def _verdict(job: Record) -> str:
    """Name a job's verdict.

    A run has none of its own: once it has succeeded, the logits of its jobs passed their checks.
    """
    if job["kind"] == "run" and job["state"] == "succeeded" and job["request"].get("until") != "splits":
        return "passed"
    return job["verdict"] or NONE


def _folder(request: Record) -> str:
    """Name where the results are; only combined experts and evaluations have a name beside the folder."""
    folder, name = request.get("output_dir"), request.get("name")
    if "until" in request:
        return f"until {request['until']}"  # a run has no files but those of its jobs
    return f"{folder}/{name}" if folder and name else str(folder or request.get("path") or name or "(upload)")


def _is_verification(job: Record) -> bool:
    return bool(job["kind"] == "verification")


def _splits_verdict(job: Record) -> Text:
    name = job["request"]["name"]
    if job["state"] == "succeeded":
        return Text(f"The splits {name!r} are there; a job takes them with --splits-dir {name}.", style="green")
    return Text.assemble(f"Creating the splits {name!r} is ", coloured(job["state"]), ".")


def _verification_verdict(job: Record) -> Text:
    name = job_title(job)
    if not job["verdict"]:
        return Text.assemble(f"{name} is ", coloured(job["state"]), ".")
    return Text.assemble(f"{name}: ", coloured(job["verdict"]), f". `relogit verify {job['id']}` shows its checks.")
