"""`python -m benchmarks [NAME...]`: run benchmarks, all by default, and show their figures.

A missed target is shown as such; the exit status is 0 unless a benchmark could not be run.
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

from benchmarks import combine, growth, guards, latency, page, recompute, reuse, splits, verify
from benchmarks.machine import CoreTime, describe
from benchmarks.plan import Plan
from benchmarks.report import Report, as_json, show, write_into
from benchmarks.service import BenchmarkError

BENCHMARKS = {
    module.__name__.rpartition(".")[2]: module
    for module in (recompute, reuse, verify, combine, splits, guards, growth, latency, page)
}
PIPE_WIDTH = 160


def main() -> int:
    """Run the benchmarks on the command line, and return the exit status."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, _leave)  # an exception, so that services are stopped
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
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="relogit-bench-") as folder,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(name)

        def say(what: str) -> None:
            progress.update(task, description=f"{name}: {what}")
            if not console.is_terminal:
                print(f"{name}: {what}", file=sys.stderr, flush=True)

        before = CoreTime.now()
        report: Report = BENCHMARKS[name].run(Plan(Path(folder), images, rounds, say))
        return replace(report, notes=(*report.notes, before.others_since()))


def _parser() -> argparse.ArgumentParser:
    descriptions = "\n".join(
        f"  {name:<10} {str(module.__doc__).splitlines()[0]}" for name, module in BENCHMARKS.items()
    )
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Measure how fast relogit is.\n\n{descriptions}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", type=_name, help="benchmarks to run; all by default")
    parser.add_argument(
        "--images", type=int, default=10_000, help="images of the main job; fewer for a trial (10000)"
    )
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each way to recompute (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the tables into their places in this document"
    )
    return parser


def _name(text: str) -> str:
    # argparse's own `choices` would refuse a command line without names.
    if text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"there is no benchmark {text!r}; there are {', '.join(BENCHMARKS)}")
    return text


def _leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 — `signal` sets the signature
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
