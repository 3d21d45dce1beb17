"""Views of reports: what is in them, and what was saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from relogit.render.tables import Record, new_table, number_of


def files_lines(files: Record, address: str) -> list[RenderableType]:
    """List the charts and tables of a report."""
    rows = [
        {"kind": kind[:-1], "name": item["name"], "title": item["title"]}
        for kind in ("figures", "tables")
        for item in files[kind]
    ]
    table: list[RenderableType] = [new_table(rows)] if rows else [Text("The report has no charts or tables.")]
    return [*table, Text(f"Report: {address}")]


def saved_lines(saved: Sequence[Record]) -> list[RenderableType]:
    """Show where files were saved."""
    return [Text(f"{item['path']}  {item['sha256'][:12]}") for item in saved]


def bundle_lines(saved: Sequence[Record], bundle: Path) -> list[RenderableType]:
    """Show what a bundle holds."""
    if bundle.suffix == ".zip":
        return saved_lines(saved)
    pages = [item for item in saved if item["path"].endswith(".html")]
    total = Text(f"{number_of(len(saved), 'file')} in {bundle}; SHA256SUMS has their digests.", style="green")
    return [*saved_lines(pages), total]
