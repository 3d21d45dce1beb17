"""Views of exports."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.text import Text

from relogit.export import Exported
from relogit.export.mlflow_runs import Logged
from relogit.render.tables import fitting_table, new_table, number_of, printable, size


def export_lines(exported: Exported, console: Console) -> list[RenderableType]:
    """List the files of an export with their sha256, then notes."""
    rows = [{"file": file.name, "size": size(file.bytes), "sha256": file.sha256} for file in exported.files]
    notes = [Text(printable(note), style="yellow") for note in exported.notes]
    total = f"{number_of(len(exported.files), 'file')} in {printable(str(exported.folder))}."
    return [fitting_table(console, rows, ["size"], []), *notes, Text(total, style="green")]


def logged_lines(job_id: str, logged: Logged) -> list[RenderableType]:
    """Name the runs of a job in MLflow."""
    where = f"in the experiment {printable(logged.experiment)}"
    if not logged.created:
        return [Text(f"Job {job_id} is there already {where}, as the run {logged.run_id}; nothing was logged.")]
    rows = [{"expert": expert, "run": run} for expert, run in logged.experts.items()]
    total = f"Job {job_id} is logged {where}, as the run {logged.run_id}, with a nested run for each expert."
    return [new_table(rows), Text(total, style="green")]
