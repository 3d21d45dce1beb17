"""What all commands share: the client, the output, errors and exit codes."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NoReturn

import httpx
import typer
from rich.console import Console, RenderableType
from rich.text import Text

from relogit.cli.argv import prepare
from relogit.client import Client
from relogit.errors import IntegrityError, Problem, RelogitError, ServerUnreachable, WrongUsage
from relogit.job import Job
from relogit.render.progress import Show, display_for, follow, no_display
from relogit.render.run import run_display
from relogit.render.tables import available_lines
from relogit.work import Work

PIPE_WIDTH = 200  # columns where there is no window: tables keep one line for each row
PREFIX_SEARCH = 1000  # newest jobs among which to look for a short id: the limit of a page


class ExitCode(IntEnum):
    """The exit codes of commands."""

    OK = 0
    FAILED = 1
    REFUSED = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


MEANINGS = {  # for `relogit --help`
    ExitCode.OK: "done; for recompute, wait and verify: every result is verified",
    ExitCode.FAILED: "a job failed or was cancelled, a result is not verified, rows are damaged, "
    "the doctor found a problem",
    ExitCode.REFUSED: "wrong usage, the server refused the request (4xx), or a plan has problems",
    ExitCode.UNREACHABLE: "the server is out of reach or out of order (no connection, no answer in time, 5xx)",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C; a job that was submitted goes on, an upload is deleted",
}

REMEDIES = {  # by error code: the command or option that helps
    "job-not-found": "`relogit jobs` lists those that there are.",
    "no-gating": "`relogit gating` combines experts; run it first.",
    "no-logits": "`relogit recompute` recomputes logits, and --logits names a job or a folder of them.",
    "overlap": "--allow-overlap makes a warning of it.",
}


@dataclass(frozen=True)
class Session:
    """One run of a command."""

    client: Client  # open while the command runs
    out: Console  # for people; unused with `json`
    err: Console  # warnings and errors for people
    json: bool  # whether standard output gets one JSON document and nothing else
    server: str | None  # the value of `--server`, which suggested commands repeat

    def find(self, job_id: str | None) -> Job:
        """Find a job by the start of its id.

        The default is the newest recompute job.
        """
        if job_id is None:
            return self.client.latest()
        try:
            return self.client.job(job_id)
        except Problem as unknown:
            if unknown.status != 404:
                raise
            matches = [job for job in self.client.jobs(limit=PREFIX_SEARCH) if job.id.startswith(job_id)]
            if not matches:
                raise
            if len(matches) > 1:
                ids = ", ".join(job.id for job in matches)
                raise typer.BadParameter(f"Several jobs have ids that begin with {job_id}: {ids}.") from None
            return matches[0]

    def show(self, document: Any, lines: Callable[[], Iterable[RenderableType]], *, failed: bool = False) -> None:
        """Print the document with `--json`, else the lines.

        Exits with 1 if `failed`.
        """
        if self.json:
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        for line in () if self.json else lines():
            self.out.print(line)
        if failed:
            raise typer.Exit(ExitCode.FAILED)

    def warn_unless_ready(self, health: dict[str, Any]) -> None:
        """Warn if a new job must wait for the server."""
        if health.get("ready") or self.json:
            return
        reasons = [check["detail"] for check in health.get("checks", {}).values() if not check["ok"]]
        warning = " ".join(["The server cannot do jobs now; this one waits until it can.", *reasons])
        self.err.print(warning, style="yellow")

    def follow(self, job: Work) -> None:
        """Show the job or verification until it has ended.

        Ctrl-C ends the command with 130 and leaves the job running.
        """
        try:
            follow(job, no_display() if self.json else self._display(job))
        except KeyboardInterrupt:
            self._suggest_commands(f"Stopped watching. {job.kind} {job.id} goes on.", job)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except ServerUnreachable:
            self._suggest_commands(f"The server is gone. {job.kind} {job.id} goes on when it is back.", job)
            raise

    def _display(self, job: Work) -> AbstractContextManager[Show]:
        if "steps" in job.data:
            return run_display(self.out)
        return display_for(self.out, has_units=bool(job.data.get("units")))

    def command(self, *words: str) -> str:
        """Write a `relogit` command for the same server."""
        server = [] if self.server is None else ["--server", self.server]
        return shlex.join(["relogit", *words, *server])

    def address(self, link: str | None) -> str:
        """Complete a link of the server's JSON; empty where there is none."""
        return f"{self.client.server.rstrip('/')}{link}" if link else ""

    def _suggest_commands(self, event: str, job: Work) -> None:
        self.err.print(
            f"{event}\n"
            f"  to watch it:   {self.command('wait', job.id)}\n"
            f"  to cancel it:  {self.command('cancel', job.id)}"
        )


@contextmanager
def session(transport: httpx.BaseTransport | None, server: str | None, as_json: bool) -> Iterator[Session]:
    """Open a client, and turn its errors into exit codes."""
    out, err = _console(stderr=False), _console(stderr=True)
    try:
        with Client(server, transport=transport) as client:
            yield Session(client, out, err, as_json, server)
    except RelogitError as error:
        if as_json:
            _print_problem(error)
        else:
            for line in error_lines(error):
                err.print(line)
        raise typer.Exit(exit_code(error)) from None


def execute(app: typer.Typer, argv: Sequence[str], transport: httpx.BaseTransport | None) -> NoReturn:
    """Run a command line and exit with its `ExitCode`."""
    as_json = "--json" in argv
    try:
        # Alone, typer prints wrong usage for people and exits. Scripts get problem JSON, which is made here.
        code = app(prepare(argv), prog_name="relogit", obj=transport, standalone_mode=not as_json)
    except typer.TyperException as error:
        if as_json:
            _print_problem(WrongUsage(error.format_message()))
        else:
            typer.echo(f"Error: {error.format_message()}", err=True)
        sys.exit(ExitCode.REFUSED)
    sys.exit(ExitCode.OK if code is None else code)


def exit_code(error: RelogitError) -> ExitCode:
    """Return the exit code for an error."""
    if isinstance(error, ServerUnreachable) or (isinstance(error, Problem) and error.status >= 500):
        return ExitCode.UNREACHABLE
    return ExitCode.FAILED if isinstance(error, IntegrityError) else ExitCode.REFUSED


def error_lines(error: RelogitError) -> list[Text]:
    """Describe an error, item by item, with available alternatives."""
    if isinstance(error, ServerUnreachable):
        return [
            Text(str(error), style="red"),
            Text("Start a server with `python -m app` in the project's folder, or name the one to use with"),
            Text("--server URL or in the environment variable RELOGIT_SERVER."),
        ]
    if not isinstance(error, Problem):
        return [Text(str(error), style="red")]
    subject = "The server refused this" if error.status < 500 else "The server failed"
    heading = f"{subject} ({error.status} {error.code})"
    # If the detail only joins the details of the items, each item has its own line instead.
    if error.errors and all(item.get("detail", "") in error.detail for item in error.errors):
        lines = [Text(f"{heading}:", style="red")]
    else:
        lines = [Text(f"{heading}: {error.detail}", style="red")]
    for item in error.errors:
        detail = item.get("detail") or item.get("code", "")
        lines += [Text(f"  - {detail}"), *available_lines(detail, item.get("available"))]
        # The empty prefix cannot cause this error where there are files.
        if item.get("code") == "unknown-prefix" and item.get("available"):
            lines.append(Text("    --prefix '' takes files without a prefix."))
    return lines + remedy_lines({error.code, *(item.get("code") for item in error.errors)})


def remedy_lines(codes: Collection[str | None]) -> list[Text]:
    """Name the commands or options that help against errors with these codes."""
    return [Text(f"    {remedy}") for code, remedy in REMEDIES.items() if code in codes]


def _print_problem(error: RelogitError) -> None:
    typer.echo(json.dumps(error.problem(), indent=2, ensure_ascii=False), err=True)


def _console(*, stderr: bool) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    # The server's words and the user's file names may look like markup or emoji; they are printed as they are.
    return Console(
        stderr=stderr,
        width=None if terminal else PIPE_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=True,
    )
