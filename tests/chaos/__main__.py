"""`python -m tests.chaos`: kill the service over and over at its fault points, and prove that nothing was lost.

Exit status: 0 everything held, 1 something did not, or fewer kills were made than asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.domain.fault_points import LABELS
from tests.chaos.campaign import Campaign, Outcome, Plan


def main() -> int:
    """Run it. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="what every lot is drawn with (default 1)")
    parser.add_argument("--minutes", type=float, default=45.0, help="after so many, no more kills are waited for")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument("--keep", type=Path, help="make it in this empty folder, and leave it there")
    given = parser.parse_args()
    console = Console(stderr=True)
    plan = Plan(kills=given.kills, seed=given.seed, seconds=60 * given.minutes)
    with tempfile.TemporaryDirectory() as scratch, _bar(console) as bar:
        shown = bar.add_task("", total=plan.kills, doing="")
        root = given.keep or Path(scratch)
        root.mkdir(parents=True, exist_ok=True)
        outcome = Campaign(plan, root).run(lambda done, doing: bar.update(shown, completed=done, doing=doing))
    if given.json:
        print(json.dumps(outcome.to_dict(), indent=2))
    else:
        _show(outcome, Console())
    return 0 if outcome.held else 1


def _bar(console: Console) -> Progress:
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total} kills"), TimeElapsedColumn())
    return Progress(*columns, TextColumn("{task.fields[doing]}"), console=console)


def _show(outcome: Outcome, console: Console) -> None:
    account = outcome.account
    table = Table("fault point", "reached", "killed there", "of these under the supervisor")
    for label in LABELS:
        forked, supervised = account.struck(label, "forked"), account.struck(label, "supervised")
        table.add_row(label, f"{account.reached[label]:,}", str(forked + supervised), str(supervised))
    console.print(table)
    for line in outcome.summary():
        console.print(line)
    for fault in outcome.faults:
        console.print(f"FAILED: {fault}", style="bold red", markup=False)


if __name__ == "__main__":
    sys.exit(main())
