"""Views of exports."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.text import Text

from relogit.export import Exported
from relogit.render.tables import fitting_table, number_of, printable, size


def export_lines(exported: Exported, console: Console) -> list[RenderableType]:
    """List the files of an export with their sha256, then notes."""
    rows = [{"file": file.name, "size": size(file.bytes), "sha256": file.sha256} for file in exported.files]
    notes = [Text(printable(note), style="yellow") for note in exported.notes]
    total = f"{number_of(len(exported.files), 'file')} in {printable(str(exported.folder))}."
    return [fitting_table(console, rows, ["size"], []), *notes, Text(total, style="green")]
