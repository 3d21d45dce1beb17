"""What a reader sees of an installation's findings: a table, and how many are bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.tables import Record, number_of

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def report(found: Sequence[Record]) -> list[RenderableType]:
    """One entry for each finding, in the order given: what was found, and below it what to do; then the sum."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    made.add_column("state", no_wrap=True)
    made.add_column("check", overflow="fold")
    made.add_column("found, and what to do", overflow="fold", ratio=1)
    for one in found:
        said = Text(one["found"])
        if one["do"]:
            said.append(f"\n→ {one['do']}", style="dim" if one["level"] == "ok" else "bold")
        made.add_row(Text(one["level"], style=STYLES[one["level"]]), one["check"], said)
    return [made, _sum(found)]


def _sum(found: Sequence[Record]) -> Text:
    counts = Counter(one["level"] for one in found)
    fine = f"{counts['ok']:,} of {number_of(len(found), 'finding')} {'is' if counts['ok'] == 1 else 'are'} fine"
    bad = [number_of(counts[level], level) for level in ("problem", "warning") if counts[level]]
    style = STYLES["problem" if counts["problem"] else "warning" if counts["warning"] else "ok"]
    return Text(f"{', '.join([*bad, fine])}.", style=style)
