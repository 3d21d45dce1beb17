"""The findings of `relogit doctor` as a table, and a summary line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.tables import Record, number_of

STYLES = {"problem": "bold red", "warning": "yellow", "ok": "green"}


def report(findings: Sequence[Record]) -> list[RenderableType]:
    """Return a table of the findings in the order given, each with its remedy below it, and their counts."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("state", no_wrap=True)
    table.add_column("check", overflow="fold")
    table.add_column("found, and what to do", overflow="fold", ratio=1)
    for finding in findings:
        text = Text(finding["found"])
        if finding["do"]:
            text.append(f"\n→ {finding['do']}", style="dim" if finding["level"] == "ok" else "bold")
        table.add_row(Text(finding["level"], style=STYLES[finding["level"]]), finding["check"], text)
    counts = Counter(finding["level"] for finding in findings)
    bad = [number_of(counts[level], level) for level in ("problem", "warning") if counts[level]]
    fine = f"{counts['ok']:,} of {number_of(len(findings), 'finding')} {'is' if counts['ok'] == 1 else 'are'} fine"
    worst = next((level for level in STYLES if counts[level]), "ok")
    return [table, Text(f"{', '.join([*bad, fine])}.", style=STYLES[worst])]
