"""`relogit doctor` on the client's side: the server, a service's part that answers or breaks down, exit codes."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.command_line import Ran, Relogit
from tests.unit.fake_server import FakeServer, problem

FINE = {"check": "disk", "level": "ok", "found": "There is room.", "do": ""}
POOR = {"check": "gpu", "level": "warning", "found": "PyTorch sees no GPU.", "do": "Install [another] build."}
BAD = {"check": "store", "level": "problem", "found": "The store is damaged.", "do": "Move it away."}
WORSE = {"check": "folders", "level": "problem", "found": "Nothing is there.", "do": "Create it."}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of a service is in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def serve(version_said: str | None = None) -> FakeServer:
    server = FakeServer()
    said = {"status": "ok", "version": version_said or version("relogit")}
    server.answers["GET /healthz"] = httpx.Response(200, json=said)
    return server


def stopped() -> FakeServer:
    def refuse() -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    server = FakeServer()
    server.answers["GET /healthz"] = refuse
    return server


def install(folder: Path, code: str) -> None:
    """A service's part that does just this."""
    package = folder / "worker" / "doctor"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(code)


def levels(ran: Ran) -> dict[str, str]:
    return {one["check"]: one["level"] for one in json.loads(ran.out)["findings"]}


def test_a_client_alone_looks_at_the_server(relogit: Relogit, folder: Path) -> None:
    """And says that the rest is not looked at."""
    ran = relogit(serve(), "doctor", "--json")
    assert ran.code == 0
    assert levels(ran) == {"server": "ok", "ready": "ok", "service-folder": "ok"}
    assert f"{folder} holds no service" in ran.out


def test_a_stopped_server_is_a_warning(relogit: Relogit) -> None:
    """With how to start it, and exit code 0; one that the caller names is a problem, and 3."""
    ran = relogit(stopped(), "doctor", "--json")
    assert (ran.code, levels(ran)["server"]) == (0, "warning")
    assert "python -m app" in ran.out
    ran = relogit(stopped(), "doctor", "--json", "--server", "http://other.test")
    assert (ran.code, levels(ran)["server"]) == (3, "problem")
    assert "http://other.test" in ran.out


def test_something_else_in_the_servers_place_is_a_problem(relogit: Relogit) -> None:
    """It answers, but not as a relogit server does."""
    server = FakeServer()
    server.answers["GET /healthz"] = problem(404, "not-found", "Nothing here.")
    ran = relogit(server, "doctor", "--json")
    assert (ran.code, levels(ran)["server"]) == (1, "problem")


@pytest.mark.parametrize("said", ["0.0.9", None])
def test_another_version_of_the_server_is_a_warning(relogit: Relogit, said: str | None) -> None:
    """Also one that does not say which it is."""
    server = serve(said) if said else FakeServer()
    ran = relogit(server, "doctor", "--json")
    assert (ran.code, levels(ran)["version"]) == (0, "warning")
    assert (said or "unknown version") in ran.out


def test_what_the_server_complains_of_is_a_problem(relogit: Relogit) -> None:
    """Each of its checks that fails, by name, in its own words; not those that pass."""
    checks = {"worker": {"ok": False, "detail": "No worker is alive."}, "store": {"ok": True, "detail": "here"}}
    server = serve()
    server.answers["GET /readyz"] = httpx.Response(503, json={"ready": False, "checks": checks})
    ran = relogit(server, "doctor", "--json")
    told = [one["found"] for one in json.loads(ran.out)["findings"] if one["check"] == "ready"]
    assert (ran.code, told) == (1, ["The server's worker: No worker is alive."])
    server.answers["GET /readyz"] = httpx.Response(503, json={"ready": False, "checks": {}})
    assert relogit(server, "doctor").code == 1


@pytest.mark.parametrize(("more", "code"), [([], 0), ([POOR], 0), ([BAD], 1), ([POOR, BAD, WORSE], 1)])
def test_the_services_own_findings_are_shown(
    relogit: Relogit, folder: Path, more: list[dict[str, Any]], code: int
) -> None:
    """Problems come first, otherwise in the order given; only problems change the exit code."""
    install(folder, f"print({json.dumps({'findings': [FINE, *more]})!r})")
    ran = relogit(serve(), "doctor", "--json")
    document = json.loads(ran.out)
    expected = [finding for finding in (BAD, WORSE, POOR) if finding in more]
    assert document["findings"][: len(more) + 1] == [*expected, FINE]
    assert (ran.code, document["healthy"]) == (code, code == 0)
    assert (document["version"], document["server"]) == (version("relogit"), "http://127.0.0.1:8000")


def test_the_services_part_is_run_in_the_current_folder(relogit: Relogit, folder: Path) -> None:
    """With `--json`, by this very interpreter: so it sees what the service sees."""
    said = "{'check': 'x', 'level': 'ok', 'found': f'{os.getcwd()} {sys.argv[1:]} {sys.prefix}', 'do': ''}"
    install(folder, "import json, os, sys\nprint(json.dumps({'findings': [" + said + "]}))")
    assert f"{folder} ['--json'] {sys.prefix}" in relogit(serve(), "doctor", "--json").out


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ImportError('numpy is gone')", "numpy is gone"),
        ("print('no json')", "exit status 0"),
        ("print('[]')", "exit status 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit status -9"),
    ],
)
def test_a_service_part_that_breaks_down_is_a_problem(relogit: Relogit, folder: Path, code: str, said: str) -> None:
    """With its last words, and no traceback; the server is looked at all the same."""
    install(folder, code)
    ran = relogit(serve(), "doctor", "--json")
    assert (ran.code, ran.err) == (1, "")
    assert levels(ran) == {"service-folder": "problem", "server": "ok", "ready": "ok"}
    assert said in ran.out


def test_people_see_words_beside_colours(relogit: Relogit, folder: Path) -> None:
    """A table: level, what was looked at, what was found, below it what to do; then the sum."""
    install(folder, f"print({json.dumps({'findings': [FINE, POOR, BAD]})!r})")
    lines = [" ".join(line.split()) for line in relogit(serve(), "doctor").out.splitlines()]
    assert lines[2:6] == [
        "problem store The store is damaged.",
        "→ Move it away.",
        "warning gpu PyTorch sees no GPU.",
        "→ Install [another] build.",
    ]
    assert "ok disk There is room." in lines
    assert lines[-1] == "1 problem, 1 warning, 3 of 5 findings are fine."
