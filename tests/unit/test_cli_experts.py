"""How the command line shows checkpoints."""

from __future__ import annotations

import re

import httpx

from relogit.render.experts import passport
from tests.unit.command_line import Relogit
from tests.unit.fake_server import FakeServer, expert, expert_list

OWN = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "from": "override"}


def listed(relogit: Relogit, *experts: dict[str, object], **fields: object) -> str:
    server = FakeServer()
    server.answers["GET /experts"] = httpx.Response(200, json=expert_list(*experts, **fields))
    ran = relogit(server, "experts")
    assert ran.code == 0
    return ran.out


def test_the_list_tells_good_from_bad(relogit: Relogit) -> None:
    """A checkpoint that fits has its figures in a line; one that does not has its problem below."""
    wrong = {"code": "truncated", "message": "The file ends early.", "details": {}}
    out = listed(relogit, expert(), expert("ls", state="bad", passport=None, problem=wrong))
    assert re.search(r"^ce +ready +cifar_resnet32 +100 +472,756 +1\.5 +best_ce\.pth$", out, re.M)
    assert re.search(r"^ls +bad +- +- +- +- +best_ls\.pth$", out, re.M)
    assert "ls: The file ends early." in out
    assert "transform" not in out


def test_experts_are_asked_for_as_given(relogit: Relogit) -> None:
    """An empty prefix is a prefix, and the server's own root is dropped."""
    server = FakeServer()
    server.answers["GET /experts"] = httpx.Response(200, json=expert_list(expert()))
    relogit(server, "experts", "--prefix", "", "--experts-dir", "checkpoints/e")
    assert dict(server.requests[-1].url.params) == {"prefix": "", "experts_dir": "e"}


def test_no_file_is_a_dash(relogit: Relogit) -> None:
    """Where no single file could be named, the table has a dash, not a word of Python's."""
    wrong = {"code": "checkpoint-ambiguous", "message": "Two files.", "details": {}}
    none = expert(file=None, state="bad", passport=None, problem=wrong)
    assert re.search(r"^ce +bad.* - *$", listed(relogit, none), re.M)
    assert [str(line) for line in passport(none)][1] == "  file         -"


def test_own_mean_and_std_are_marked(relogit: Relogit) -> None:
    """An expert that an override gives its own transform is marked, and only that one."""
    out = listed(relogit, expert(), expert("ls", transform=OWN))
    assert [line.split()[0] for line in out.splitlines() if "own mean/std" in line] == ["ls"]


def test_unused_overrides_are_told(relogit: Relogit) -> None:
    """An override that matches no expert may be a misspelt name, so it is told."""
    out = listed(relogit, expert(), unused_overrides=["cee", "lss"])
    assert "In datasets.toml, overrides cee, lss match no checkpoint file: name overrides after files, prefix" in out


def test_a_passport_in_full(relogit: Relogit) -> None:
    """Widths, assumptions and the transform stand in words; what is empty has no line."""
    one = expert(transform=OWN, state="ready")
    one["passport"] |= {
        "stored_accuracy": {"name": "best_prec1", "value": 0.9173},
        "weights": "state_dict_ema",
        "largest_parameter": 12.3456,
    }
    one["passport"]["assumed"] = [
        {"what": "max-pool in the stem", "value": True, "basis": "assumed", "override": "max_pool"},
        {"what": "strides of the stages", "value": [1, 2, 2, 2], "basis": "assumed", "override": "stage_strides"},
        {"what": "epsilon of the batch norms", "value": 1e-5, "basis": "assumed", "override": "batch_norm_eps"},
        {"what": "stride of the stem's convolution", "value": 2, "basis": "assumed", "override": None},
        {"what": "padding", "value": "symmetric", "basis": "declared", "override": "option_a_padding"},
    ]
    server = FakeServer()
    server.answers["GET /experts/ce"] = httpx.Response(200, json=one)
    assert relogit(server, "experts", "ce").out.splitlines() == [
        "ce: ready",
        "  file         best_ce.pth",
        "  sha256       ab",
        "  bytes        1,234",
        "  format       pth",
        "  architecture cifar_resnet32",
        "  widths       16/32/64",
        "  shortcut     projection",
        "  parameters   472,756",
        "  classes      100",
        "  temperature  1.5",
        "  dtype        float32",
        "  renamed      linear.* -> fc.*",
        "  assumed      max-pool in the stem: true (assumed; override: max_pool)",
        "  assumed      strides of the stages: 1, 2, 2, 2 (assumed; override: stage_strides)",
        "  assumed      epsilon of the batch norms: 1e-05 (assumed; override: batch_norm_eps)",
        "  assumed      stride of the stem's convolution: 2 (assumed)",
        "  assumed      padding: symmetric (declared; override: option_a_padding)",
        "  to declare   in datasets.toml, if right, under [DATA_SET.network], or for this file "
        "[DATA_SET.overrides.best_ce]:",
        "  to declare     max_pool = true",
        "  to declare     stage_strides = [1, 2, 2, 2]",
        "  to declare     batch_norm_eps = 1e-05",
        "  accuracy     91.73 % when it was saved (best_prec1)",
        "  weights in   state_dict_ema",
        "  largest      12.35 (absolute parameter, batch norm folded in)",
        "  mean         0.485, 0.456, 0.406 (its own, from the data set's overrides)",
        "  std          0.229, 0.224, 0.225 (its own, from the data set's overrides)",
    ]


def test_nothing_is_left_to_declare_where_all_is_declared() -> None:
    """Only what was assumed is shown as lines for datasets.toml, under a key that TOML can read."""
    one = expert(file="best ce.v2.pth")
    one["passport"]["file"] = "best ce.v2.pth"
    padding = {"what": "padding", "value": "end", "basis": "declared", "override": "option_a_padding"}
    one["passport"]["assumed"] = [padding]
    assert "to declare" not in "\n".join(map(str, passport(one)))
    one["passport"]["assumed"] = [padding | {"basis": "assumed"}]
    lines = [str(line) for line in passport(one)]
    assert '  to declare     option_a_padding = "end"' in lines
    assert any('[DATA_SET.overrides."best ce.v2"]' in line for line in lines)


def test_the_data_sets_transform_is_called_so() -> None:
    """Without an override the passport says that mean and std are the data set's."""
    assert str(passport(expert())[-2]) == "  mean         0.5071, 0.4867, 0.4408 (the data set's)"
