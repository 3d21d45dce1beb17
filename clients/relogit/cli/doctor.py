"""`relogit doctor`: check this installation and say what to do. Works with the service down."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import typer
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.cli.command import command
from relogit.cli.session import ExitCode, Session
from relogit.client import Client
from relogit.errors import Problem, ServerUnreachable
from relogit.render.tables import Record, number_of

SERVICE_TIMEOUT_S = 900.0
LEVELS = {"problem": "bold red", "warning": "yellow", "ok": "green"}  # in the order of their lines


@command
def doctor(run: Session) -> None:
    """Check this installation and say what to do.

    Run it in the folder where the service is started; the service may be down. Exits with 1 if
    there are problems, with 3 if a server named by --server is out of reach.
    """
    with run.err.status("Checking the installation …"):
        findings = [*service_findings(), *server_findings(run.client, named=run.server is not None)]
    findings.sort(key=lambda finding: list(LEVELS).index(finding["level"]))
    problems = [finding["check"] for finding in findings if finding["level"] == "problem"]
    document = {"healthy": not problems, "version": version("relogit"), "server": run.client.server}
    run.show({**document, "findings": findings}, lambda: _report(findings))
    if run.server is not None and "server" in problems:
        raise typer.Exit(ExitCode.UNREACHABLE)
    raise typer.Exit(ExitCode.FAILED if problems else ExitCode.OK)


def service_findings() -> list[Record]:
    """Run `python -m worker.doctor` and return its findings.

    It runs in the current folder, with this interpreter.
    """
    if not Path("worker", "doctor", "__main__.py").is_file():
        message = f"{Path.cwd()} holds no service (worker/doctor): only the server is checked."
        return [_finding("service-folder", "ok", message, "For the rest, run this where the service is started.")]
    argv = [sys.executable, "-m", "worker.doctor", "--json"]
    try:
        done = subprocess.run(
            argv, capture_output=True, encoding="utf-8", errors="replace", timeout=SERVICE_TIMEOUT_S, check=False
        )
        findings: list[Record] = json.loads(done.stdout)["findings"]
        return findings
    except subprocess.TimeoutExpired:
        reason = f"no answer within {SERVICE_TIMEOUT_S:.0f} s; does a disk hang?"
    except (ValueError, LookupError, TypeError):
        reason = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
    remedy = "Is this environment the service's? `python -m worker.doctor --json` shows the error."
    return [_finding("service-folder", "problem", f"The service's environment cannot be checked: {reason}", remedy)]


def server_findings(client: Client, *, named: bool) -> Iterator[Record]:
    """Yield findings on the server's answer, version and readiness.

    A stopped server is a problem only if the caller `named` it.
    """
    try:
        theirs, ours = client.health().get("version", "of an unknown version"), version("relogit")
        health = client.ready()
    except ServerUnreachable as error:
        remedy = "Start it where it belongs (python -m app), or name another with --server or RELOGIT_SERVER."
        yield _finding("server", "problem" if named else "warning", str(error), remedy)
        return
    except Problem as error:
        message = f"What answers at {client.server} is not a healthy relogit server: {error}"
        yield _finding("server", "problem", message, "See its log, or name another with --server.")
        return
    if theirs == ours:
        yield _finding("server", "ok", f"The server at {client.server} answers; it and this client are {ours}.")
    else:
        message = f"The server at {client.server} is relogit {theirs}, this client is {ours}."
        yield _finding(
            "version", "warning", message, "Install the same version on both sides, and restart the server."
        )
    if health.get("ready"):
        yield _finding("ready", "ok", "The server is ready: a job sent now would be done.")
        return
    checks = health.get("checks") or {"state": {"ok": False, "detail": "not ready, for an unknown reason"}}
    for name, check in checks.items():
        if not check.get("ok"):
            yield _finding("ready", "problem", f"The server's {name}: {check.get('detail')}", "Its log may say more.")


def _finding(check: str, level: str, found: str, do: str = "") -> Record:
    return {"check": check, "level": level, "found": found, "do": do}


def _report(findings: Sequence[Record]) -> list[RenderableType]:
    """Show the findings with their remedies, and their counts."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("state", no_wrap=True)
    table.add_column("check", overflow="fold")
    table.add_column("found, and what to do", overflow="fold", ratio=1)
    for finding in findings:
        text = Text(finding["found"])
        if finding["do"]:
            text.append(f"\n→ {finding['do']}", style="dim" if finding["level"] == "ok" else "bold")
        table.add_row(Text(finding["level"], style=LEVELS[finding["level"]]), finding["check"], text)
    counts = Counter(finding["level"] for finding in findings)
    bad = [number_of(counts[level], level) for level in ("problem", "warning") if counts[level]]
    fine = f"{counts['ok']:,} of {number_of(len(findings), 'finding')} {'is' if counts['ok'] == 1 else 'are'} fine"
    worst = next((level for level in LEVELS if counts[level]), "ok")
    return [table, Text(f"{', '.join([*bad, fine])}.", style=LEVELS[worst])]
