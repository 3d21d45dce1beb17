"""`relogit doctor`: is this installation sound, and if not, what to do. Works with the service down."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import httpx
import typer

from relogit.cli.options import JsonOption, ServerOption
from relogit.cli.session import ExitCode, session
from relogit.client import Client
from relogit.errors import Problem, ServerUnreachable
from relogit.render import doctor as render_doctor
from relogit.render.tables import Record
from relogit.wire import Wire

SERVICE_PART = Path("worker", "doctor", "__main__.py")
"""What looks at the service's environment, in the folder that the service is started from."""
SERVICE_TIMEOUT_S = 900.0
SERVER_TIMEOUT_S = 15.0
LEVELS = ("problem", "warning", "ok")


def doctor(ctx: typer.Context, server: ServerOption = None, as_json: JsonOption = False) -> None:
    """Check this installation and say what to do. Run it in the folder where the service is started.

    The service may be down. Exits with 1 if there are problems, with 3 if a server named by --server is out of reach.
    """
    with session(ctx.obj, server, as_json) as run:
        busy = (
            run.err.status("Looking at the installation …") if run.err.is_terminal and not as_json else nullcontext()
        )
        with busy:
            seen = server_findings(run.client, ctx.obj, named=server is not None)
            found = worst_first([*service_findings(), *seen])
        healthy = not any(one["level"] == "problem" for one in found)
        document = {"healthy": healthy, "version": version("relogit"), "server": run.client.server, "findings": found}
        run.show(document, lambda: render_doctor.report(found))
    if server is not None and any(one["check"] == "server" and one["level"] == "problem" for one in seen):
        raise typer.Exit(ExitCode.UNREACHABLE)
    raise typer.Exit(ExitCode.OK if healthy else ExitCode.FAILED)


def service_findings() -> list[Record]:
    """What the service's own part finds in the current folder, run with this interpreter."""
    if not SERVICE_PART.is_file():
        said = f"{Path.cwd()} holds no service (worker/doctor): only the client and the server are looked at."
        return [_finding("service-folder", "ok", said, "For the rest, run this where the service is started.")]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "worker.doctor", "--json"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SERVICE_TIMEOUT_S,
            check=False,
        )
        found: list[Record] = json.loads(done.stdout)["findings"]
    except subprocess.TimeoutExpired:
        return [_broken(f"was not done within {SERVICE_TIMEOUT_S:.0f} s; is a disk or a driver hanging?")]
    except (ValueError, LookupError, TypeError):
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return [_broken(f"broke down: {lines[-1]}")]
    return found


def server_findings(client: Client, transport: httpx.BaseTransport | None, *, named: bool) -> list[Record]:
    """Whether the server answers, is ready, and is of this client's version.

    Args:
        client: knows which server.
        transport: what carries the requests instead of the network, for tests.
        named: whether the caller asked for this very server; one that is only stopped is no problem otherwise.
    """
    wire = Wire(client.server, transport=transport, timeout_s=SERVER_TIMEOUT_S)
    try:
        wire.get("/healthz")
        ready = wire.probe("/readyz")
        theirs = _version_of(wire)
    except ServerUnreachable as error:
        do = "Start it where it belongs (python -m app), or name another with --server or RELOGIT_SERVER."
        return [_finding("server", "problem" if named else "warning", str(error), do)]
    except Problem as error:
        said = f"What answers at {client.server} is no healthy relogit server: {error}"
        return [_finding("server", "problem", said, "Look into its log, or name another with --server.")]
    finally:
        wire.close()
    return [_answers(client.server, theirs), *_readiness(ready)]


def worst_first(found: list[Record]) -> list[Record]:
    """Problems, then warnings, then what is well; otherwise in the order in which it was found."""
    return sorted(found, key=lambda one: LEVELS.index(one["level"]))


def _version_of(wire: Wire) -> str:
    """The server's version."""
    try:
        return str(wire.get("/healthz")["version"])
    except (Problem, LookupError, TypeError):
        return "of an unknown version"


def _answers(server: str, theirs: str) -> Record:
    ours = version("relogit")
    if theirs == ours:
        return _finding("server", "ok", f"The server at {server} answers; it and this client are relogit {ours}.")
    said = f"The server at {server} is relogit {theirs}, this client is {ours}."
    return _finding("version", "warning", said, "Install the same version on both sides, and restart the server.")


def _readiness(ready: Record) -> list[Record]:
    found = [
        _finding(
            "ready", "problem", f"The server's {name}: {check.get('detail', 'not ready')}", "Its log may say more."
        )
        for name, check in ready.get("checks", {}).items()
        if not check.get("ok", True)
    ]
    if not found and not ready.get("ready"):
        return [_finding("ready", "problem", "The server is not ready, and does not say why.", "Look into its log.")]
    return found or [_finding("ready", "ok", "The server is ready: a job sent now would be done.")]


def _broken(what: str) -> Record:
    do = "Is this environment the service's? `python -m worker.doctor --json` shows what happens."
    return _finding("service-folder", "problem", f"The look at the service's environment {what}", do)


def _finding(check: str, level: str, found: str, do: str = "") -> Record:
    return {"check": check, "level": level, "found": found, "do": do}
