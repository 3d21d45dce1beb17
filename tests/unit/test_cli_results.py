"""The command line's results: measurements, differences of splits, checkpoints."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from relogit.render.experts import passport_lines
from relogit.render.tables import plain
from tests.unit.command_line import Relogit
from tests.unit.fake_answers import WRONG_INDEX, comparing
from tests.unit.fake_server import JOB_ID, FakeServer, answering, expert, expert_list, job

Lists = dict[str, Any]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"above": 0.0123456, "chance": 0.01}, "above 0.01235, chance 0.01"),
        ({"logits": [1000, 100], "targets": [1000]}, "logits (1000, 100), targets (1000)"),
        ({"distinct_targets": 1, "split": "val"}, "distinct targets 1, split val"),
        (["logits", "targets"], "logits, targets"),
        ([], "none"),
        (None, "none"),
        (True, "true"),
        (0.70161234, "0.7016"),
        (12345, "12345"),
    ],
)
def test_measurements_are_in_words(value: object, said: str) -> None:
    """A measurement has neither the signs of JSON nor meaningless digits."""
    assert plain(value) == said


def test_ids_may_be_abbreviated(relogit: Relogit) -> None:
    """The start of a single job's id is enough; any other start deletes nothing."""
    server = FakeServer()
    assert relogit(server, "delete", "0001").code == 0
    assert server.asked[-1] == f"DELETE /jobs/{JOB_ID}"
    server.answers["GET /jobs"] = httpx.Response(200, json={"jobs": [job(), job(id="0001ef01")]})
    assert relogit(server, "delete", "0001").code == 2
    assert relogit(server, "delete", "other").code == 2
    assert len([asked for asked in server.asked if asked.startswith("DELETE")]) == 1


def compared(relogit: Relogit, first: Lists, second: Lists) -> dict[str, Any]:
    """The JSON of `splits diff A B`."""
    ran = relogit(comparing(first, second), "splits", "diff", "A", "B", "--json")
    return {**json.loads(ran.out), "code": ran.code}


def test_an_unreadable_list_is_compared_in_neither_set(relogit: Relogit) -> None:
    """The JSON names it, and does not count its samples as added or removed; the exit code is 1."""
    other = {"state": "ready", "checks": []}
    first: Lists = {"val": WRONG_INDEX, "test": [3, 4], "audit": other}
    second: Lists = {"val": [1, 2], "test": [3, 4], "audit": other}
    document = compared(relogit, first, second)
    unreadable = [(item["set"], item["list"]) for item in document["unreadable"]]
    assert unreadable == [("A", "val"), ("A", "audit"), ("B", "audit")]
    assert document["unreadable"][0]["problem"] == WRONG_INDEX
    assert (document["added"], document["removed"], document["code"]) == ({"test": 0}, {"test": 0}, 1)


def test_the_plan_covers_the_readable_lists(relogit: Relogit) -> None:
    """The cost is that of the second set's readable lists; without any, the command asks for no plan."""
    relogit(server := comparing({"val": [1], "test": [3]}, {"val": [1], "test": [3]}), "splits", "diff", "A", "B")
    assert server.submitted["splits"] == ["test", "val"]
    ran = relogit(server := comparing({"val": [1]}, {"val": WRONG_INDEX}), "splits", "diff", "A", "B")
    assert (ran.code, ran.err) == (1, "")
    assert "POST /jobs/plan" not in server.asked


def test_json_has_order_and_repeats(relogit: Relogit) -> None:
    """Rows of logits go by position, so another order is a difference even of equal samples."""
    document = compared(relogit, {"val": [0, 1, 2], "test": [5, 6]}, {"val": [2, 1, 0, 0], "test": [5, 6]})
    assert (document["order"], document["repeats"]) == (["val"], {"val": {"before": 0, "now": 1}})
    assert (document["unreadable"], document["code"]) == ([], 0)


def test_experts_sends_its_options(relogit: Relogit) -> None:
    """An empty prefix is sent, and the server's own root is removed."""
    server = answering(GET_experts=expert_list(expert()))
    relogit(server, "experts", "--prefix", "", "--experts-dir", "checkpoints/e")
    assert dict(server.requests[-1].url.params) == {"prefix": "", "experts_dir": "e"}


def test_no_file_is_a_dash(relogit: Relogit) -> None:
    """A checkpoint without a single file has a dash in place of the file's name."""
    wrong = {"code": "checkpoint-ambiguous", "message": "Two files.", "details": {}}
    none = expert(file=None, state="bad", passport=None, problem=wrong)
    out = relogit(answering(GET_experts=expert_list(none)), "experts").out
    assert re.search(r"^ce +bad.* - *$", out, re.M)
    assert [str(line) for line in passport_lines(none)][1] == "  file         -"


def test_only_assumptions_are_to_declare() -> None:
    """Lines for datasets.toml declare what was assumed, under a valid TOML key."""
    one = expert(file="best ce.v2.pth")
    one["passport"]["file"] = "best ce.v2.pth"
    padding = {"what": "padding", "value": "end", "basis": "declared", "override": "option_a_padding"}
    one["passport"]["assumed"] = [padding]
    assert "to declare" not in "\n".join(map(str, passport_lines(one)))
    one["passport"]["assumed"] = [padding | {"basis": "assumed"}]
    lines = [str(line) for line in passport_lines(one)]
    assert '  to declare     option_a_padding = "end"' in lines
    assert any('[DATA_SET.overrides."best ce.v2"]' in line for line in lines)
