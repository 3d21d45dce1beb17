"""The command line: `relogit COMMAND`, one function for each command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, NoReturn

import httpx
import typer

from relogit.cli import log, rows, splits
from relogit.cli.argse import argse
from relogit.cli.compare import compare
from relogit.cli.doctor import doctor
from relogit.cli.evaluate import evaluate
from relogit.cli.experts import experts
from relogit.cli.export import export
from relogit.cli.gating import gating
from relogit.cli.gc import gc
from relogit.cli.jobs import cancel, delete, download, jobs, status, wait
from relogit.cli.recompute import recompute
from relogit.cli.report import report
from relogit.cli.run import run
from relogit.cli.session import MEANINGS, execute
from relogit.cli.verify import verify

app = typer.Typer(
    name="relogit",
    help="Recompute the logits of trained experts, verify every number, and combine the experts.",
    # "\b" keeps the line breaks of a paragraph.
    epilog="\b\nEvery command takes --json and --server, before or behind its name.\n\n"
    "\b\nExit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in MEANINGS.items()),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# `relogit --help` lists the commands in this order.
COMMANDS = (
    run, recompute, verify, gating, argse, evaluate, compare, report, jobs, status, wait, cancel, delete, download,
    export, experts, doctor, gc,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)
app.add_typer(splits.app, name="splits")
app.add_typer(rows.app, name="rows")
app.add_typer(log.app, name="log")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"relogit {version('relogit')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit")
    ] = False,
) -> None: ...


def main(argv: Sequence[str] | None = None, *, transport: httpx.BaseTransport | None = None) -> NoReturn:
    """Run a command and exit with its `ExitCode`.

    Tests give a `transport`.
    """
    execute(app, sys.argv[1:] if argv is None else argv, transport)
