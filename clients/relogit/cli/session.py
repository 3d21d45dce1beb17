"""What every command shares: the client, where output goes, how errors and exit codes are given."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from relogit.render.progress import Quiet, display_for, follow
from relogit.render.tables import available_lines
from relogit.work import Work

PIPE_WIDTH = 200  # columns where nobody's window says how many: tables keep one line for each row
# typer's base of everything that is wrong with a command line; it exports only the class derived from it.
UsageError: Any = typer.BadParameter.__mro__[1]
PREFIX_SEARCH = 1000  # an abbreviated id is looked for among so many of the newest jobs: a page's limit


class ExitCode(IntEnum):
    """How a command ends; each member carries its meaning for `relogit --help`."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        """A member that is its code and knows its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "done; for recompute, wait and verify: every result is verified"
    FAILED = (
        1,
        "a job failed or was cancelled, a result is not verified, rows are damaged, the doctor found a problem",
    )
    REFUSED = 2, "wrong usage, the server refused the request (4xx), or a plan has problems"
    UNREACHABLE = 3, "the server is out of reach or out of order (no connection, no answer in time, 5xx)"
    INTERRUPTED = 130, "interrupted with Ctrl-C; a job that was submitted goes on, an upload is deleted"


@dataclass(frozen=True)
class Session:
    """One command's run.

    Attributes:
        client: open while the command runs.
        out: results, for people; unused with `json`.
        err: warnings and errors, for people.
        json: results as one JSON document on standard output and nothing else there.
        server: what stood behind `--server`, to be repeated in commands that are suggested.
    """

    client: Client
    out: Console
    err: Console
    json: bool
    server: str | None

    def find(self, given: str | None) -> Job:
        """The job of that id, or of the only id that begins so; without an id the newest that recomputes."""
        if given is None:
            return self.client.latest()
        try:
            return self.client.job(given)
        except Problem as unknown:
            if unknown.status != 404:
                raise
            found = [job for job in self.client.jobs(limit=PREFIX_SEARCH) if job.id.startswith(given)]
            if len(found) == 1:
                return found[0]
            if found:
                raise typer.BadParameter(
                    f"{given} begins the ids of several jobs: {', '.join(job.id for job in found)}."
                ) from None
            raise

    def show(self, document: Any, lines: Callable[[], Iterable[RenderableType]]) -> None:
        """Print the document with `--json`, else the lines, which are made only then."""
        if self.json:
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
            return
        for line in lines():
            self.out.print(line)

    def warn_unless_ready(self, health: dict[str, Any]) -> None:
        """Say so when nothing would take up a job now, for it would wait without a word."""
        if health.get("ready") or self.json:
            return
        wrong = [check["detail"] for check in health.get("checks", {}).values() if not check["ok"]]
        self.err.print(
            " ".join(["The server cannot do jobs now; this one waits until it can.", *wrong]), style="yellow"
        )

    def follow(self, job: Work) -> None:
        """Show the job or verification until it has ended; Ctrl-C leaves it running and says how to come back to it.

        Raises:
            typer.Exit: 130 after Ctrl-C.
            ServerUnreachable: the server is gone; the job goes on when it is back, and that is said.
        """
        try:
            follow(job, Quiet() if self.json else display_for(self.out, job))
        except KeyboardInterrupt:
            self._say_how_to_come_back(f"Stopped watching. {job.kind} {job.id} goes on.", job)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except ServerUnreachable:
            self._say_how_to_come_back(f"The server is gone. {job.kind} {job.id} goes on when it is back.", job)
            raise

    def _say_how_to_come_back(self, sentence: str, job: Work) -> None:
        self.err.print(
            f"{sentence}\n"
            f"  to watch it:   {self.command('wait', job.id)}\n"
            f"  to cancel it:  {self.command('cancel', job.id)}"
        )

    def command(self, *words: str) -> str:
        """A command line that does something more at the same server."""
        server = [] if self.server is None else ["--server", self.server]
        return shlex.join(["relogit", *words, *server])


@contextmanager
def session(transport: httpx.BaseTransport | None, server: str | None, as_json: bool) -> Iterator[Session]:
    """A client for one command. The client's errors end here, in plain words and an exit code."""
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


def group_session(ctx: typer.Context, server: str | None, as_json: bool) -> AbstractContextManager[Session]:
    """The session of a command in a group.

    `relogit --json rows list` has the option before the sub-command's name, where the group has taken it.
    """
    above = ctx.parent.params if ctx.parent else {}
    return session(ctx.obj, server or above.get("server"), as_json or above.get("as_json", False))


def execute(app: typer.Typer, argv: Sequence[str], transport: httpx.BaseTransport | None) -> NoReturn:
    """Run the command that the words ask for and exit with its `ExitCode`; wrong usage is told here."""
    try:
        code = app(prepare(argv), prog_name="relogit", obj=transport, standalone_mode=False)
    except UsageError as error:
        if "--json" in argv:
            _print_problem(WrongUsage(error.format_message()))
        else:
            error.show()
        sys.exit(ExitCode.REFUSED)
    except typer.Abort:  # Ctrl-C where there is nothing to be said about it
        sys.exit(ExitCode.INTERRUPTED)
    sys.exit(ExitCode.OK if code is None else code)


def exit_code(error: RelogitError) -> ExitCode:
    """The exit code that an error ends a command with."""
    if isinstance(error, ServerUnreachable) or (isinstance(error, Problem) and error.status >= 500):
        return ExitCode.UNREACHABLE
    return ExitCode.FAILED if isinstance(error, IntegrityError) else ExitCode.REFUSED


def error_lines(error: RelogitError) -> list[Text]:
    """What is wrong, item by item, and what would have been right."""
    if isinstance(error, ServerUnreachable):
        return [
            Text(str(error), style="red"),
            Text("Start a server with `python -m app` in the project's folder, or name the one to use with"),
            Text("--server URL or in the environment variable RELOGIT_SERVER."),
        ]
    if not isinstance(error, Problem):
        return [Text(str(error), style="red")]
    did = "The server refused this" if error.status < 500 else "The server failed"
    heading = f"{did} ({error.status} {error.code})"
    # The detail of a request with several problems is their details in a row: each then has its own line.
    if all(item.get("detail", "") in error.detail for item in error.errors) and error.errors:
        lines = [Text(f"{heading}:", style="red")]
    else:
        lines = [Text(f"{heading}: {error.detail}", style="red")]
    for item in error.errors:
        said = item.get("detail") or item.get("code", "")
        lines += [Text(f"  - {said}"), *available_lines(said, item.get("available"))]
        # With the empty prefix there would be no such error while there are files.
        if item.get("code") == "unknown-prefix" and item.get("available"):
            lines.append(Text("    --prefix '' takes files without a prefix."))
    return lines


def _print_problem(error: RelogitError) -> None:
    typer.echo(json.dumps(error.problem(), indent=2, ensure_ascii=False), err=True)


def _console(*, stderr: bool) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    # The words are the server's and file names are the user's: no markup or emoji is read into them.
    return Console(
        stderr=stderr,
        width=None if terminal else PIPE_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=True,
    )
