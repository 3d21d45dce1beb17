"""All figures together: what must not change them, their ranges, and when they are None."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.catalog.long_tail import class_groups
from tests.unit.metric_inputs import CASES, Case, drawn, every_case
from worker.verify.metrics.point import FIGURES, point_metrics
from worker.verify.metrics.rows import score_rows


def _figures(case: Case, order: np.ndarray | None = None) -> dict[str, Any]:
    """The figures; with `order`, of the same split with class c called order[c]."""
    counts = np.linspace(150, 3, case.classes).astype(np.int64)
    groups = class_groups(counts, 20)
    if order is None:
        return point_metrics(case.scores, case.classes, groups, counts / 1.0)
    logits, renamed = np.empty_like(case.logits), np.empty_like(counts)
    logits[:, order], renamed[order] = case.logits, counts
    scores = score_rows(logits, order[case.predictions], order[case.labels])
    return point_metrics(scores, case.classes, class_groups(renamed, 20), renamed / 1.0)


def _same(found: dict[str, Any], expected: dict[str, Any], names: tuple[str, ...] = FIGURES) -> None:
    for name in names:
        value = expected[name]
        assert found[name] == (value if value is None else pytest.approx(value, abs=1e-12)), name


@every_case
def test_the_order_of_rows_changes_nothing(case: Case) -> None:
    """Any order of the same rows gives the same figures."""
    expected = _figures(case)
    for seed in range(3):
        found = _figures(case.rows(np.random.default_rng(seed).permutation(len(case.labels))))
        _same(found, expected)
        assert found["class_recalls"] == expected["class_recalls"]


@pytest.mark.parametrize("seed", range(6))
def test_the_names_of_classes_change_nothing(seed: int) -> None:
    """Classes under other numbers give the same figures, where no two logits of a row are equal."""
    case = drawn(seed, 100, 4 + 5 * seed)
    _same(_figures(case, np.random.default_rng(seed).permutation(case.classes)), _figures(case))


@every_case
def test_a_second_copy_of_all_rows_changes_nothing(case: Case) -> None:
    """Every row twice gives the same figures, but for those that depend on N by definition.

    AURC and E-AURC are means over N coverages, and the bins of equal mass take whole rows.
    """
    names = tuple(name for name in FIGURES if name not in ("ece_equal_mass", "aurc", "e_aurc"))
    _same(_figures(case.rows(np.repeat(np.arange(len(case.labels)), 2))), _figures(case), names)


@every_case
def test_figures_are_in_their_ranges(case: Case) -> None:
    """Every figure is a finite number of its range or None, in the order of FIGURES, then the recalls."""
    found = _figures(case)
    assert tuple(found) == (*FIGURES, "class_recalls")
    tops = {"nll": 1e300, "brier": 2.0, "augrc": 0.5}
    for name in FIGURES:
        assert found[name] is None or 0 <= found[name] <= tops.get(name, 1.0) + 1e-15, name
    assert len(found["class_recalls"]) == case.classes
    for c, recall in enumerate(found["class_recalls"]):
        assert (recall is None) == (c not in case.labels)


def test_what_has_no_meaning_is_none() -> None:
    """Top-5 of at most five classes, figures without their argument, and groups without rows are None."""
    scores = drawn(0, 30, 5).scores
    bare = point_metrics(scores, 5, None, None)
    without = {name for name in FIGURES if bare[name] is None}
    groups = {f"{name}_accuracy" for name in ("head", "tail", "many", "medium", "few", "worst_group")}
    assert without == {"top5_accuracy", "reweighted_accuracy", *groups}
    all_head = point_metrics(scores, 5, class_groups(np.full(5, 50), 20), np.zeros(5))
    assert {name for name in FIGURES if all_head[name] is None} == {
        "top5_accuracy",
        "reweighted_accuracy",
        "tail_accuracy",
        "many_accuracy",
        "few_accuracy",
    }
    assert all_head["worst_group_accuracy"] == all_head["head_accuracy"]
    assert point_metrics(drawn(0, 30, 6).scores, 6, None, None)["top5_accuracy"] is not None


def test_all_right_and_all_wrong_have_their_known_figures() -> None:
    """Certain and right is 0 error in every sense; certain and wrong is the worst there is."""
    right, wrong = (_figures(CASES[name]) for name in ("all right", "all wrong"))
    for name in ("nll", "brier", "ece", "ece_equal_mass", "aurc", "e_aurc", "augrc"):
        assert right[name] == pytest.approx(0, abs=1e-12)
    assert right["accuracy"] == right["legacy_balanced_accuracy"] == 1
    assert wrong["accuracy"] == wrong["legacy_balanced_accuracy"] == 0
    assert (wrong["aurc"], wrong["e_aurc"], wrong["augrc"]) == pytest.approx((1, 0, 0.5))
