"""How the command line shows checkpoints."""

from __future__ import annotations

import re

from relogit.render.experts import passport_lines
from tests.unit.command_line import Relogit
from tests.unit.fake_server import answering, expert, expert_list


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
