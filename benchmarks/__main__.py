"""`python -m benchmarks [NAME...]`: run benchmarks, all by default, and show what they found.

Figures are shown as reached or missed; the exit status is 0 unless a benchmark could not be run.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import growth, guards, latency, recompute, reuse, splits, verify
from benchmarks.machine import CoreTime, describe
from benchmarks.plan import Plan
from benchmarks.report import Report, as_json, show, write_into
from benchmarks.service import BenchmarkError

BENCHMARKS = {
    module.__name__.rpartition(".")[2]: module
    for module in (recompute, reuse, verify, splits, guards, growth, latency)
}
PIPE_WIDTH = 160


def main() -> int:
    """Run what was asked for. Returns the exit status."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, _leave)  # so that services are stopped on every way out
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else PIPE_WIDTH, highlight=False)
    machine = describe()
    reports = []
    try:
        for name in arguments.names or BENCHMARKS:
            report = _run(name, arguments.images, arguments.rounds)
            show(report, machine, console)
            reports.append(report)
            if arguments.markdown:
                write_into(arguments.markdown, report, machine)
    except (BenchmarkError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    finally:
        if arguments.json and reports:
            arguments.json.write_text(json.dumps(as_json(reports, machine), indent=2) + "\n")
    return 0


def _run(name: str, images: int, rounds: int) -> Report:
    shown = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="relogit-bench-") as folder,
        Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as progress,
    ):
        task = progress.add_task(name)

        def say(what: str) -> None:
            progress.update(task, description=f"{name}: {what}")
            if not shown.is_terminal:
                print(f"{name}: {what}", file=sys.stderr, flush=True)

        before = CoreTime.now()
        report: Report = BENCHMARKS[name].run(Plan(Path(folder), images, rounds, say))
        return replace(report, notes=(*report.notes, before.others_since()))


def _parser() -> argparse.ArgumentParser:
    described = "\n".join(
        f"  {name:<10} {str(module.__doc__).splitlines()[0]}" for name, module in BENCHMARKS.items()
    )
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"How fast relogit is.\n\n{described}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", type=_name, help="which of them; all by default")
    parser.add_argument("--images", type=int, default=10_000, help="of the main job; fewer only to try (10000)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each way to recompute is measured (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="put the tables into their places in that document"
    )
    return parser


def _name(given: str) -> str:
    # argparse's own `choices` would refuse that none is given.
    if given not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"there is no benchmark {given!r}; there are {', '.join(BENCHMARKS)}")
    return given


def _leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 — the signature is given
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
