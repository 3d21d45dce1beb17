"""`relogit rows` against a server made of a function, and what it shows in a window of a given size."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import typer
from rich.console import Console

from relogit import Client
from relogit.cli.rows import BYTES, SECONDS, amount_of
from relogit.render import rows as render_rows
from tests.unit.command_line import Relogit
from tests.unit.fake_server import FakeServer, problem

NOW = datetime(2026, 1, 4, 3, 4, 5, tzinfo=UTC)
KEYS = ("ab" + "0" * 62, "ac" + "1" * 62, "ff" + "2" * 62)


def one(key: str = KEYS[0], **fields: Any) -> dict[str, Any]:
    """Whole rows, as `GET /rows` lists them."""
    seen = {"expert": "balsoftmax_baseline", "file": "best.pth", "dataset": "cifar100_lt_if100", "base": "test"}
    base = {
        "key": key, "usable": True, "seen": seen, "architecture": "cifar_resnet32", "classes": 100,
        "precision": "fp32", "engine": "openvino", "model": "a processor", "rows": 10000, "pool": 10000,
        "bytes": 4_100_000, "used_at": "2026-01-02T03:04:05.000Z",
    }  # fmt: skip
    return base | fields


def unusable(key: str = KEYS[1]) -> dict[str, Any]:
    """Rows whose folder is damaged."""
    names = ("seen", "architecture", "classes", "precision", "engine", "model", "pool", "used_at")
    return one(key, usable=False, rows=0, bytes=500, **dict.fromkeys(names))


def totals(*listed: dict[str, Any]) -> dict[str, int]:
    return {"keys": len(listed), **{name: sum(item[name] for item in listed) for name in ("rows", "bytes")}}


def server(*listed: dict[str, Any], **damaged: int) -> FakeServer:
    """A server that keeps these rows; `damaged` by the first two digits of a key."""
    made = FakeServer()
    made.answers["GET /rows"] = httpx.Response(200, json={"rows": list(listed), "totals": totals(*listed)})
    for item in listed:
        lost = damaged.get(item["key"][:2], 0)
        condition = {"rows": item["rows"] - lost, "damaged": lost} if item["usable"] else None
        detail = {**item, "source": {}, "condition": condition}
        made.answers[f"GET /rows/{item['key']}"] = httpx.Response(200, json=detail)
    return made


def window(width: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width, soft_wrap=True)


def printed(console: Console, found: dict[str, Any]) -> list[str]:
    with console.capture() as captured:
        for line in render_rows.listing(found, console, NOW):
            console.print(line)
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("argv", [("rows",), ("rows", "list")])
def test_rows_are_listed(relogit: Relogit, argv: tuple[str, ...]) -> None:
    """`relogit rows` alone is `relogit rows list`: a line for each key, and the sum."""
    ran = relogit(server(one(), one(KEYS[2], precision="bf16", rows=5000)), *argv)
    assert (ran.code, ran.err) == (0, "")
    row = next(line for line in ran.out.splitlines() if line.startswith("ab000000 "))
    assert row.split()[:7] == [
        "ab000000", "balsoftmax_baseline", "cifar100_lt_if100", "fp32", "test", "cifar_resnet32", "openvino"
    ]  # fmt: skip
    assert re.search(r"10,000/10,000 +4\.1 MB +\d+ days ago$", row.rstrip())
    assert re.search(r"^ff222222 .* bf16 .* 5,000/10,000 ", ran.out, re.M)
    assert "2 keys, 15,000 rows, 8.2 MB.\n" in ran.out
    assert "unusable" not in ran.out


def test_no_rows_are_no_table(relogit: Relogit) -> None:
    """Before the first job there is nothing to list, to check or to worry about."""
    assert relogit(server(), "rows").out == "No rows are kept yet. Jobs keep what they compute.\n"
    ran = relogit(server(), "rows", "verify")
    assert (ran.code, ran.out) == (0, "No rows are kept: there is nothing to check.\n")


def test_unusable_rows_are_told(relogit: Relogit) -> None:
    """Rows of which nothing is known but that they are damaged have their line, and what to do stands below."""
    out = relogit(server(one(), unusable()), "rows").out
    assert re.search(r"^ac111111 +unusable +- +- .* 0 +500 B +- *$", out, re.M)
    assert "`relogit rows prune` removes them" in out


@pytest.mark.parametrize("name", ["balsoftmax_baseline", "logitadjust_baseline"])
def test_a_key_keeps_one_line(name: str) -> None:
    """With the project's own names nothing is cut in 80 columns; a wide window shows more."""
    used_at = (NOW - timedelta(hours=23)).isoformat()
    listed = [one(seen={"expert": name, "dataset": "cifar100_lt_if100", "base": "test"}, used_at=used_at)] * 2
    narrow = printed(window(80), {"rows": listed, "totals": totals(*listed)})
    assert len(narrow) == 2 + 2 + 1
    assert all(len(line) <= 80 for line in narrow)
    assert narrow[2].split() == [
        "ab000000", name, "cifar100_lt_if100", "fp32", "10,000", "4.1", "MB", "23", "hours", "ago"
    ]  # fmt: skip
    wide = printed(window(140), {"rows": listed, "totals": totals(*listed)})
    assert {"test", "cifar_resnet32", "openvino", "10,000/10,000"} <= set(wide[2].split())


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 hour ago"),
        (86399, "23 hours ago"),
        (86400, "1 day ago"),
        (2 * 86400, "2 days ago"),
        (1000 * 86400, "1,000 days ago"),
    ],
)
def test_ages_are_said_in_words(seconds: float, said: str) -> None:
    """In the largest unit that has been reached; a clock that is ahead is no age."""
    assert render_rows.ago((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == said


def test_whole_rows_are_verified(relogit: Relogit) -> None:
    """Each key is looked at, row by row; exit 0 if every row is as it was computed."""
    asked = server(one(), one(KEYS[2]))
    ran = relogit(asked, "rows", "verify")
    assert ran.code == 0
    assert re.search(r"^ab000000 .* 10,000 +0 +whole *$", ran.out, re.M)
    assert "20,000 rows, each as it was computed.\n" in ran.out
    assert asked.asked == ["GET /rows", f"GET /rows/{KEYS[0]}", f"GET /rows/{KEYS[2]}"]


def test_damaged_rows_are_counted(relogit: Relogit) -> None:
    """A damaged row or key is told with what will become of it, and the exit code is 1."""
    ran = relogit(server(one(), one(KEYS[2]), ff=3), "rows", "verify")
    assert ran.code == 1
    assert re.search(r"^ff222222 .* 9,997 +3 +damaged *$", ran.out, re.M)
    assert "3 damaged rows, beside 19,997 whole rows." in ran.out
    assert "computed again when a job asks for it" in ran.out
    ran = relogit(server(one(), unusable()), "rows", "verify")
    assert ran.code == 1
    assert "1 unusable key, beside 10,000 whole rows." in ran.out


def test_a_key_may_be_abbreviated(relogit: Relogit) -> None:
    """As long as it begins one key alone, in whatever case; else it is wrong usage that names the candidates."""
    asked = server(one(), one(KEYS[1]))
    assert relogit(asked, "rows", "verify", "AC").code == 0
    assert asked.asked[-1] == f"GET /rows/{KEYS[1]}"
    ran = relogit(asked, "rows", "verify", "a")
    assert ran.code == 2
    assert all(key in re.sub(r"[\s│]+", "", ran.err) for key in KEYS[:2])
    ran = relogit(asked, "rows", "verify", "b")
    assert ran.code == 2
    assert "No rows are kept under a key that begins with 'b'" in re.sub(r"[\s│]+", " ", ran.err)


def test_rows_removed_meanwhile_are_no_damage(relogit: Relogit) -> None:
    """What somebody prunes between the listing and the look is passed over."""
    asked = server(one(), one(KEYS[2]))
    asked.answers[f"GET /rows/{KEYS[0]}"] = problem(404, "rows-not-found", "No rows.")
    ran = relogit(asked, "rows", "verify")
    assert (ran.code, "10,000 rows, each" in ran.out) == (0, True)
    asked.answers[f"GET /rows/{KEYS[0]}"] = problem(503, "disk-error", "The disk refused.")
    ran = relogit(asked, "rows", "verify")
    assert (ran.code, "The disk refused." in ran.err) == (3, True)


def pruning(*removed: dict[str, Any], freed: int = 4_100_000) -> FakeServer:
    made = FakeServer()
    answer = {"removed": list(removed), "freed_bytes": freed, "left": totals(one(), one())}
    made.answers["POST /rows/prune"] = httpx.Response(200, json=answer)
    return made


def test_prune_says_what_went_and_what_is_left(relogit: Relogit) -> None:
    """Sizes and ages are sent in bytes and seconds; what was removed is listed, what is left is summed."""
    asked = pruning(one())
    ran = relogit(asked, "rows", "prune", "--max-size", "10GB", "--older-than", "30d")
    assert asked.submitted == {"max_bytes": 10_000_000_000, "older_than_s": 30 * 86400}
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"^ab000000 ", ran.out, re.M)
    assert "Removed: 1 key; 4.1 MB are freed. Left: 2 keys, 20,000 rows, 8.2 MB.\n" in ran.out
    relogit(asked, "rows", "prune", "--max-size=2GiB")
    assert asked.submitted == {"max_bytes": 2 * 1024**3, "older_than_s": None}


def test_prune_may_find_nothing_to_remove(relogit: Relogit) -> None:
    """Then it says so, and what a crash had left is told where there was such."""
    out = relogit(pruning(freed=0), "rows", "prune", "--max-size", "1TB").out
    assert out == "There was nothing to remove. Left: 2 keys, 20,000 rows, 8.2 MB.\n"
    out = relogit(pruning(freed=5000), "rows", "prune", "--max-size", "1TB").out
    assert "5.0 kB that a crash had left are freed." in out


@pytest.mark.parametrize(
    "argv", [(), ("--max-size", "10"), ("--max-size", "10d"), ("--older-than", "30"), ("--older-than", "-1d")]
)
def test_prune_must_be_told_what(relogit: Relogit, argv: tuple[str, ...]) -> None:
    """Without an option, or with a number that could mean anything, nothing is sent: wrong usage, exit 2."""
    asked = pruning()
    ran = relogit(asked, "rows", "prune", *argv)
    assert (ran.code, asked.asked) == (2, [])
    assert re.search(r"10GB|30d|--", ran.err)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("500MB", 500e6),
        ("2GiB", 2 * 1024**3),
        ("1.5 kb", 1500),
        ("7B", 7),
        ("0", 0),
        ("3tib", 3 * 1024**4),
        (" 1KiB ", 1024),
    ],
)
def test_sizes_are_read_plainly(given: str, value: float) -> None:
    """Powers of 1000, or of 1024 with an i; case and a space do not matter."""
    assert amount_of(given, BYTES, "--max-size", "10GB") == value


@pytest.mark.parametrize(
    ("given", "value"), [("90s", 90), ("45min", 2700), ("12h", 43200), ("30d", 2592000), ("1.5w", 907200), ("0", 0)]
)
def test_ages_are_read_plainly(given: str, value: float) -> None:
    """Seconds, minutes, hours, days or weeks."""
    assert amount_of(given, SECONDS, "--older-than", "30d") == value


@pytest.mark.parametrize(
    "given", ["", "GB", "10", "10XB", "-1GB", "1,5GB", "1e3MB", "10 GB GB", "∞", "nan", "1.GB", "9" * 16 + "B"]
)
def test_other_sizes_are_refused(given: str) -> None:
    """The refusal names the option, the units and an example."""
    with pytest.raises(typer.BadParameter, match="B, kB, MB, GB, TB, KiB, MiB, GiB, TiB; write it like 10GB") as told:
        amount_of(given, BYTES, "--max-size", "10GB")
    assert told.value.param_hint == "--max-size"


@pytest.mark.parametrize(
    "argv",
    [
        ("--json", "rows"),
        ("rows", "--json"),
        ("--json", "rows", "list"),
        ("rows", "--json", "list"),
        ("rows", "list", "--json"),
        ("--server", "http://other.test", "rows", "list", "--json"),
    ],
)
def test_json_and_server_may_stand_anywhere(relogit: Relogit, argv: tuple[str, ...]) -> None:
    """Before the group, behind it or behind the sub-command; standard output is one document then."""
    asked = server(one())
    ran = relogit(asked, *argv)
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {"rows": [one()], "totals": totals(one())}
    assert asked.requests[-1].url.host == ("other.test" if "--server" in argv else "127.0.0.1")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_server_may_stand_anywhere(relogit: Relogit, place: int) -> None:
    """The server that is named is the one that is asked, wherever it is named."""
    asked = server(one())
    argv = ["rows", "verify"]
    argv[place:place] = ["--server", "http://other.test"]
    assert relogit(asked, *argv).code == 0
    assert {request.url.host for request in asked.requests} == {"other.test"}


def test_every_sub_command_speaks_json(relogit: Relogit) -> None:
    """One document each, and the exit codes are those of the words."""
    ran = relogit(server(one(), ab=1), "rows", "verify", "--json")
    assert (ran.code, ran.err) == (1, "")
    assert json.loads(ran.out)["rows"][0]["condition"] == {"rows": 9999, "damaged": 1}
    ran = relogit(pruning(one()), "--json", "rows", "prune", "--max-size", "1B")
    assert (ran.code, json.loads(ran.out)["freed_bytes"]) == (0, 4_100_000)
    ran = relogit(pruning(), "rows", "prune", "--json")
    assert (ran.code, ran.out, json.loads(ran.err)["code"]) == (2, "", "usage")


def test_the_python_client_asks_for_the_same() -> None:
    """Each method is one request, and gives what the server answered."""
    asked = server(one())
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
    """`relogit --help` has the group, and `relogit rows --help` what is in it."""
    assert re.search(r"^ +rows +List, check or remove", relogit(FakeServer(), "--help").out, re.M)
    out = relogit(FakeServer(), "rows", "--help").out
    assert all(re.search(rf"^ +{name} ", out, re.M) for name in ("list", "verify", "prune"))
