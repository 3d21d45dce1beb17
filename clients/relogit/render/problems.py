"""Views of errors in the server's JSON, with available names."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from relogit.render.tables import Record, printable


def problem_lines(error: Record, *, where: str = "") -> list[Text]:
    """Show an error of the JSON, with the available names."""
    message: str = error["message"]
    available = (error.get("details") or {}).get("available")
    safe_message = "\n".join(printable(line) for line in message.splitlines())
    return [Text.assemble((printable(where), "bold red"), safe_message), *available_lines(message, available)]


def available_lines(message: str, names: Sequence[str] | None) -> list[Text]:
    """List the available names, unless the message has them all."""
    if not names or all(name in message for name in names):
        return []
    return [Text(f"    available: {printable(', '.join(names))}")]


def file_problem_lines(files: Sequence[Record]) -> list[Text]:
    """Show the problem of each listed file, and explain `unread`."""
    lines = [
        line
        for file in files
        if file["problem"]
        for line in problem_lines(file["problem"], where=f"{file['name']}: ")
    ]
    if any(file["state"] == "unread" for file in files):
        lines.append(Text("unread: no worker has read the file yet; look again when one is alive.", style="yellow"))
    return lines
