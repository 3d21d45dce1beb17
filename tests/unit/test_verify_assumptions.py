"""Checks of what a checkpoint leaves open, and of the accuracy that it names."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import numpy as np
import pytest

from app.catalog.datasets import Network
from worker.experts.assumptions import NAMES, Assumed
from worker.experts.stored_numbers import StoredAccuracy
from worker.verify.assumptions import Coverage, check_assumptions, check_stored_accuracy

VALUES: dict[str, Any] = {
    "option_a_padding": "symmetric",
    "max_pool": False,
    "stem_stride": 1,
    "stage_strides": (1, 2, 2),
    "bottleneck_stride": "conv2",
    "batch_norm_eps": 1e-5,
}
STORED = StoredAccuracy("best_acc1", 0.70)
WHOLE = Coverage("test", 10_000, whole=True, balanced=True)
PART = Coverage("test", 2_500, whole=False, balanced=True)


def items(basis: Any = "assumed") -> list[Assumed]:
    return [Assumed(NAMES[key], value, basis, key) for key, value in VALUES.items()]


def test_what_is_assumed_fails_with_the_lines_that_declare_it() -> None:
    """Each thing is named with its value, and the lines that are given are TOML which the data set accepts."""
    found = check_assumptions(items(), "digits", "best_ce.pth")
    assert (found.id, found.level, found.verdict) == ("assumptions", "warning", "failed")
    assert all(what in found.message for what in NAMES.values())
    assert all(line in found.message for line in found.evidence)
    for place in ("best_ce.pth", "[digits.network]", "[digits.overrides.best_ce]"):
        assert place in found.message
    declared = Network(**tomllib.loads("\n".join(found.evidence)))
    assert declared.model_dump() == VALUES
    assert json.loads(json.dumps(found.to_dict()))["measured"]["assumed"]["stage_strides"] == [1, 2, 2]


def test_only_what_is_still_assumed_is_named() -> None:
    """A declared thing is not mentioned beside an assumed one."""
    mixed = [*items("declared")[:-1], items()[-1]]
    found = check_assumptions(mixed, "digits", "best_ce.pth")
    assert found.evidence == ("batch_norm_eps = 1e-05",)
    assert "stage_strides" not in found.message


@pytest.mark.parametrize("assumed", [[], items("declared")])
def test_what_is_declared_passes(assumed: list[Assumed]) -> None:
    """With everything declared, or nothing open, the check passes."""
    found = check_assumptions(assumed, "digits", "best_ce.pth")
    assert (found.verdict, found.evidence) == ("passed", ())


def test_names_that_toml_must_quote_are_quoted() -> None:
    """A file or data set with dots or spaces in its name stands in quotes."""
    message = check_assumptions(items(), "my set", "best.v2.pth").message
    assert '["my set".network]' in message
    assert '["my set".overrides."best.v2"]' in message


@pytest.mark.parametrize(
    ("accuracy", "coverage", "verdict"),
    [
        (0.70, WHOLE, "passed"),
        (0.681, WHOLE, "passed"),
        (0.719, WHOLE, "passed"),
        (0.679, WHOLE, "failed"),
        (0.721, WHOLE, "failed"),
        (0.01, WHOLE, "failed"),
        (0.655, PART, "passed"),  # 2 points and three standard errors of .9 to .95 points
        (0.645, PART, "failed"),
        (0.755, PART, "failed"),
        (0.01, Coverage("test", 999, whole=False, balanced=True), "skipped"),
        (0.01, Coverage("test", 1000, whole=False, balanced=True), "failed"),
        (0.01, Coverage("test", 5000, whole=False, balanced=False), "skipped"),
        (0.01, Coverage("test", 90, whole=True, balanced=True), "failed"),
        (0.01, Coverage("train", 10_000, whole=True, balanced=True), "skipped"),
    ],
)
def test_the_stored_accuracy_is_compared_where_it_can_be(accuracy: float, coverage: Coverage, verdict: str) -> None:
    """On the whole test base 2 points decide, on a large balanced part three standard errors more; else skipped."""
    found = check_stored_accuracy(STORED, accuracy, coverage)
    assert (found.id, found.level, found.verdict) == ("stored-accuracy", "warning", verdict)
    assert "70.00%" in found.message
    assert "best_acc1" in found.message
    if verdict != "skipped":
        assert f"{accuracy:.2%}" in found.message
    json.dumps(found.to_dict())


def test_without_a_stored_accuracy_nothing_is_compared() -> None:
    """A file that names none is no failure."""
    assert check_stored_accuracy(None, 0.1, WHOLE).verdict == "skipped"


def test_coverage_is_of_distinct_images() -> None:
    """Whole is every image once, in any order; a repeated image does not count twice."""
    labels = np.repeat(np.arange(10), 300)
    order = np.random.default_rng(0).permutation(3000)
    assert Coverage.of("test", order, labels) == Coverage("test", 3000, whole=True, balanced=True)
    twice = np.concatenate([order, order[:1]])
    assert Coverage.of("test", twice, labels) == Coverage("test", 3000, whole=False, balanced=True)
    assert Coverage.of("test", np.repeat(order[:5], 600), labels).rows == 5


def test_a_random_part_is_balanced_and_a_long_tail_is_not() -> None:
    """Of 1,000 random draws none is called unbalanced; a long tail, and a part that lacks classes, always are."""
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(100), 100)
    parts = (random.permutation(10_000)[:1500] for _ in range(1000))
    assert all(Coverage.of("test", part, labels).balanced for part in parts)
    kept = np.flatnonzero(random.random(10_000) < 0.01 ** (labels / 99))
    assert kept.size > 1000
    assert not Coverage.of("test", kept, labels).balanced
    assert not Coverage.of("test", np.arange(5000), labels).balanced


def test_balanced_is_as_the_base_is() -> None:
    """A base that is itself long-tailed has balanced parts that are as long-tailed."""
    labels = np.repeat([0, 1, 2], [3000, 300, 30])
    order = np.random.default_rng(2).permutation(labels.size)
    assert Coverage.of("test", order[:1500], labels).balanced
    assert not Coverage.of("test", np.flatnonzero(labels < 2)[1500:], labels).balanced
