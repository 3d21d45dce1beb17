"""`relogit rows` against a server made of a function, and what it shows in a window of a given size."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import typer

from relogit import Client
from relogit.cli.argv import age as seconds_of
from relogit.cli.argv import size as bytes_of
from relogit.render.rows import age, row_lines
from tests.unit.command_line import Relogit
from tests.unit.fake_answers import keeping, kept, totals
from tests.unit.fake_server import FakeServer, answering, problem
from tests.unit.test_cli_window import printed, window

NOW = datetime(2026, 1, 4, 3, 4, 5, tzinfo=UTC)
KEYS = tuple(start.ljust(64, "0") for start in ("ab", "ac", "ff"))


@pytest.mark.parametrize("name", ["balsoftmax_baseline", "logitadjust_baseline"])
def test_a_key_keeps_one_line(name: str) -> None:
    """In 80 columns nothing is cut beside the project's names; a wide window shows more columns."""
    used_at = (NOW - timedelta(hours=23)).isoformat()
    listed = [kept("ab", seen={"expert": name, "dataset": "cifar100_lt_if100", "base": "test"}, used_at=used_at)] * 2
    answer = {"rows": listed, "totals": totals(*listed)}
    narrow = printed(window(), *row_lines(answer, window(), NOW))
    assert len(narrow) == 2 + 2 + 1
    assert all(len(line) <= 80 for line in narrow)
    assert narrow[2].split() == [
        "ab000000", name, "cifar100_lt_if100", "fp32", "10,000", "4.1", "MB", "23", "hours", "ago"
    ]  # fmt: skip
    wide = printed(window(140), *row_lines(answer, window(140), NOW))
    assert wide[2].split()[4:9] == ["test", "cifar_resnet32", "openvino", "10,000", "10,000"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "just now"), (59, "just now"), (60, "1 min ago"), (3599, "59 min ago"), (3600, "1 hour ago"),
        (86399, "23 hours ago"), (86400, "1 day ago"), (2 * 86400, "2 days ago"), (1000 * 86400, "1,000 days ago"),
    ],
)  # fmt: skip
def test_ages_have_one_unit(seconds: float, said: str) -> None:
    """An age is in its largest unit; a time in the future is `just now`."""
    assert age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == said


def test_a_key_may_be_abbreviated(relogit: Relogit) -> None:
    """The start of a single key is enough, in any case; any other start is wrong usage."""
    server = keeping(kept("ab"), kept("ac"))
    assert relogit(server, "rows", "verify", "AC").code == 0
    assert server.asked[-1] == f"GET /rows/{KEYS[1]}"
    assert [relogit(server, "rows", "verify", start).code for start in ("a", "b")] == [2, 2]
    assert server.asked[-1] == "GET /rows"


def test_removed_rows_are_no_damage(relogit: Relogit) -> None:
    """Rows that were removed after they were listed are skipped; other errors end the command."""
    asked = keeping(kept("ab"), kept("ff"))
    asked.answers[f"GET /rows/{KEYS[0]}"] = problem(404, "rows-not-found", "No rows.")
    ran = relogit(asked, "rows", "verify")
    assert (ran.code, "10,000 rows, each" in ran.out) == (0, True)
    asked.answers[f"GET /rows/{KEYS[0]}"] = problem(503, "disk-error", "The disk refused.")
    ran = relogit(asked, "rows", "verify")
    assert (ran.code, "The disk refused." in ran.err) == (3, True)


def pruning(*removed: dict[str, Any], freed: int = 4_100_000) -> FakeServer:
    left = totals(kept("ab"), kept("ab"))
    return answering(POST_rows__prune={"removed": list(removed), "freed_bytes": freed, "left": left})


def test_prune_sends_bytes_and_seconds(relogit: Relogit) -> None:
    """Sizes and ages with units arrive as bytes and seconds; a limit that is left out is null."""
    asked = pruning(kept("ab"))
    assert relogit(asked, "rows", "prune", "--max-size", "10GB", "--older-than", "30d").code == 0
    assert asked.submitted == {"max_bytes": 10_000_000_000, "older_than_s": 30 * 86400}
    relogit(asked, "rows", "prune", "--max-size=2GiB")
    assert asked.submitted == {"max_bytes": 2 * 1024**3, "older_than_s": None}


@pytest.mark.parametrize(
    "argv", [(), ("--max-size", "10"), ("--max-size", "10d"), ("--older-than", "30"), ("--older-than", "-1d")]
)
def test_prune_needs_a_limit(relogit: Relogit, argv: tuple[str, ...]) -> None:
    """Without a limit, or with a number without a unit, the command exits with 2 and sends nothing."""
    asked = pruning()
    ran = relogit(asked, "rows", "prune", *argv)
    assert (ran.code, asked.asked) == (2, [])
    assert re.search(r"10GB|30d|--", ran.err)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("500MB", 500e6), ("2GiB", 2 * 1024**3), ("1.5 kb", 1500), ("7B", 7), ("0", 0), ("3tib", 3 * 1024**4),
        (" 1KiB ", 1024),
    ],
)  # fmt: skip
def test_sizes_have_decimal_and_binary_units(given: str, value: float) -> None:
    """Units are powers of 1000, or of 1024 with an i, in any case and with or without a space."""
    assert bytes_of(given) == value


@pytest.mark.parametrize(
    ("given", "value"), [("90s", 90), ("45min", 2700), ("12h", 43200), ("30d", 2592000), ("1.5w", 907200), ("0", 0)]
)
def test_ages_have_units(given: str, value: float) -> None:
    """Ages are in seconds, minutes, hours, days or weeks."""
    assert seconds_of(given) == value


@pytest.mark.parametrize(
    "given", ["", "GB", "10", "10XB", "-1GB", "1,5GB", "1e3MB", "10 GB GB", "∞", "nan", "1.GB", "9" * 16 + "B"]
)
def test_other_sizes_are_refused(given: str) -> None:
    """The error names the units and an example."""
    with pytest.raises(typer.BadParameter, match="B, kB, MB, GB, TB, KiB, MiB, GiB, TiB; write it like 10GB"):
        bytes_of(given)


@pytest.mark.parametrize(
    "argv",
    [
        "--json rows", "rows --json", "--json rows list", "rows --json list", "rows list --json",
        "--server http://other.test rows list --json", "rows --server http://other.test list --json",
    ],
)  # fmt: skip
def test_json_and_server_may_be_anywhere(relogit: Relogit, argv: str) -> None:
    """--json and --server may precede the group, follow it or follow the sub-command."""
    entry = kept("ab")
    asked = keeping(entry)
    ran = relogit(asked, *argv.split())
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {"rows": [entry], "totals": totals(entry)}
    assert asked.requests[-1].url.host == ("other.test" if "--server" in argv else "127.0.0.1")


def test_sub_commands_print_json(relogit: Relogit) -> None:
    """Each sub-command prints one document, with the exit codes of its other output."""
    ran = relogit(keeping(kept("ab"), damaged=1), "rows", "verify", "--json")
    assert (ran.code, ran.err) == (1, "")
    assert json.loads(ran.out)["rows"][0]["condition"] == {"rows": 9999, "damaged": 1}
    ran = relogit(pruning(kept("ab")), "--json", "rows", "prune", "--max-size", "1B")
    assert (ran.code, json.loads(ran.out)["freed_bytes"]) == (0, 4_100_000)
    ran = relogit(pruning(), "rows", "prune", "--json")
    assert (ran.code, ran.out, json.loads(ran.err)["code"]) == (2, "", "usage")


def test_each_client_method_is_one_request() -> None:
    """The client's methods for rows send one request each and return its answer."""
    asked = keeping(kept("ab"))
    asked.answers[f"DELETE /rows/{KEYS[0]}"] = httpx.Response(204)
    asked.answers["POST /rows/prune"] = httpx.Response(200, json={"removed": []})
    with Client(transport=asked.transport) as client:
        assert client.rows()["totals"]["keys"] == 1
        assert client.row_condition(KEYS[0])["condition"] == {"rows": 10000, "damaged": 0}
        client.delete_rows(KEYS[0])
        assert client.prune_rows(older_than_s=5.0) == {"removed": []}
    assert asked.asked[-2:] == [f"DELETE /rows/{KEYS[0]}", "POST /rows/prune"]
    assert asked.submitted == {"max_bytes": None, "older_than_s": 5.0}


def test_help_names_the_sub_commands(relogit: Relogit) -> None:
    """`relogit --help` lists the group, and `relogit rows --help` its commands."""
    assert re.search(r"^ +rows +List, check or remove", relogit(FakeServer(), "--help").out, re.M)
    out = relogit(FakeServer(), "rows", "--help").out
    assert all(re.search(rf"^ +{name} ", out, re.M) for name in ("list", "verify", "prune"))
