"""Mean and standard deviation over seeds: which names count, and the figures."""

from __future__ import annotations

import numpy as np
import pytest

from app.domain.checks import Metrics, Result, ResultReport
from app.domain.seeds import SeedSummary, seed_of, summarise_seeds


@pytest.mark.parametrize(
    ("name", "family", "seed"),
    [
        ("ce_seed1", (("ce",), "seed"), 1),
        ("ce_s2", (("ce",), "s"), 2),
        ("ce-seed-3", (("ce",), "seed"), 3),
        ("seed1_ce", (("ce",), "seed"), 1),
        ("ce_run2", (("ce",), "run"), 2),
        ("CE.Seed_04", (("ce",), "seed"), 4),
        ("seed7", ((), "seed"), 7),
        ("resnet_run_10_best", (("resnet", "best"), "run"), 10),
    ],
)
def test_a_seed_is_a_marked_number(name: str, family: object, seed: int) -> None:
    """`seed` or `run` with a number in any place, or `s` with a number at the end."""
    assert seed_of(name) == (family, seed)


@pytest.mark.parametrize(
    "name", ["ce", "ce1", "ce_2", "vit_s16_ce", "seed", "ce_seed", "ce_seedx", "ce_seed1_run2", "reseed1", "", "ce_s"]
)
def test_other_names_have_no_seed(name: str) -> None:
    """A bare number, a size in the middle, or two marks are no certain sign of a seed."""
    assert seed_of(name) is None


def _result(expert: str, accuracy: float | None, split: str = "val", verdict: str = "passed") -> Result:
    values = {"samples": 10, "classes": 3, "accuracy": accuracy, "nll": 1.0, "class_recalls": [0.5, None, 1.0]}
    return Result(expert, split, ResultReport(verdict, (), Metrics(values)))  # type: ignore[arg-type]  # a literal


def test_figures_are_numpys_sample_mean_and_deviation() -> None:
    """With n − 1 in the denominator, by split; counts and lists are no figures."""
    accuracies = [0.41, 0.44, 0.40]
    results = [_result(f"ce_seed{number}", value) for number, value in enumerate(accuracies)]
    results += [_result("ce_seed0", 0.9, "test"), _result("ce_seed1", 0.7, "test"), _result("la", 0.2)]
    val, test = summarise_seeds(results)
    assert (val.name, val.split, val.experts) == ("ce", "val", ("ce_seed0", "ce_seed1", "ce_seed2"))
    assert val.figures.keys() == {"accuracy", "nll"}
    assert val.figures["accuracy"].mean == pytest.approx(np.mean(accuracies))
    assert val.figures["accuracy"].deviation == pytest.approx(np.std(accuracies, ddof=1))
    assert (val.figures["accuracy"].n, val.figures["nll"].deviation) == (3, 0.0)
    assert test.figures["accuracy"].deviation == pytest.approx(0.2 / np.sqrt(2))
    assert SeedSummary.from_dict(val.to_dict()) == val


def test_a_family_needs_two_results_that_passed_with_different_seeds() -> None:
    """Failed results are left out, and a seed that stands twice makes the name ambiguous."""
    assert summarise_seeds([_result("ce_seed1", 0.5), _result("la_seed2", 0.5)]) == ()
    assert summarise_seeds([_result("ce_seed1", 0.5), _result("ce_seed2", 0.5, verdict="failed")]) == ()
    assert summarise_seeds([_result("ce_seed1", 0.5), _result("ce-seed-1", 0.6)]) == ()
    assert summarise_seeds([_result("ce_seed1", 0.5), _result("ce_s2", 0.6)]) == ()
    assert summarise_seeds([]) == ()


def test_a_figure_that_one_seed_lacks_is_left_out() -> None:
    """Two of three are enough, and n says how many there are."""
    results = [_result("ce_seed1", 0.5), _result("ce_seed2", None), _result("ce_seed3", 0.7)]
    [summary] = summarise_seeds(results)
    assert (summary.figures["accuracy"].n, summary.figures["nll"].n) == (2, 3)
    [without] = summarise_seeds(results[:2])
    assert "accuracy" not in without.figures
