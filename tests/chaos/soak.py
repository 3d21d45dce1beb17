"""`python -m tests.chaos.soak`: use the service as many people do, and see that it does not take more and more.

Exit status: 0 everything is flat and everything held, 1 something was not or did not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.chaos.soak_flat import Trend
from tests.chaos.soak_run import COUNTS, MIB, Outcome, Plan, soak


def main() -> int:
    """Run it. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="what the users' lots are drawn with (default 1)")
    parser.add_argument("--leak", type=int, default=0, metavar="BYTES", help="make the service leak with each job")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument("--keep", type=Path, help="make it in this empty folder, and leave it there")
    given = parser.parse_args()
    plan = Plan(seconds=60 * given.minutes, seed=given.seed, leak=given.leak)
    columns = (BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[standing]}"))
    with tempfile.TemporaryDirectory() as scratch, Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task("", total=plan.seconds, standing="")
        root = given.keep or Path(scratch)
        root.mkdir(parents=True, exist_ok=True)
        outcome = soak(plan, root, lambda passed, standing: bar.update(shown, completed=passed, standing=standing))
    if given.json:
        print(json.dumps(outcome.to_dict(), indent=2))
    else:
        _show(outcome, Console())
    return 0 if outcome.held else 1


def _show(outcome: Outcome, console: Console) -> None:
    table = Table("what", "median", "growth", "allowed", "an hour", "verdict")
    for name, line in outcome.trends.items():
        verdict = "flat" if line.flat else "[bold red]grows"
        table.add_row(name, *_figures(name, line), verdict)
    for column in table.columns[1:5]:
        column.justify = "right"
    console.print(table)
    for sentence in summary(outcome):
        console.print(sentence)
    for fault in outcome.faults:
        console.print(f"FAILED: {fault}", style="bold red", markup=False)


def _figures(name: str, line: Trend) -> list[str]:
    figures = (line.level, line.growth, line.allowed, line.an_hour)
    if name.endswith(COUNTS):
        return [f"{figure:.1f}" for figure in figures]
    return [f"{figure / MIB:.2f} MiB" for figure in figures]


def summary(outcome: Outcome) -> list[str]:
    """The outcome in words."""
    post, jobs = outcome.latency_ms(), outcome.jobs()
    said = [
        f"{jobs:,} jobs in {outcome.plan.seconds / 60:g} minutes: "
        + ", ".join(f"{count:,} {state}" for state, count in sorted(outcome.book.ended.items())),
        ", ".join(f"{count:,} {what}" for what, count in sorted(outcome.book.counted.items())),
        f"POST /jobs: {post['median']:.0f} ms (median), {post['p99']:.0f} ms (p99), {post['longest']:.0f} ms "
        "(longest); "
        f"the longest wait in the queue was {outcome.queue_s():.1f} s; "
        f"not ready in {outcome.samples.not_ready} samples",
    ]
    for name in ("API, memory", "worker 0, memory"):
        if name in outcome.trends and jobs:
            line = outcome.trends[name]
            during = jobs * line.seconds / outcome.plan.seconds
            said.append(f"{name}: a leak of more than {line.allowed / during / 1024:.1f} KiB a job would have shown")
    held = "everything is flat, and everything held"
    return [*said, held if outcome.held else f"{len(outcome.faults)} things are not flat, or did not hold"]


if __name__ == "__main__":
    sys.exit(main())
