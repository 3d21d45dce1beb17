"""Figures on demand of real long-tailed experts, against values that were computed apart from relogit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import relogit
from app.catalog.split_draw import class_counts
from app.domain.analyses import Statistics
from app.domain.ensembles import Ensemble
from tests.integration.workspace import Service, Workspace
from tests.realdata.location import REALDATA, needs_realdata

pytestmark = [needs_realdata, pytest.mark.slow, pytest.mark.timeout(600)]

DATASETS = """
[cifar100_lt]
kind = "cifar100"
root = "."
splits = "splits"
experts = "experts"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
"""
NAMES = {"ce": "head", "logitadjust": "tail", "balsoftmax": "balanced"}
"""An expert's training → its name among the real data."""
CE_UNDER_SHIFTED_PRIORS = {
    "Forward-50": 62.4, "Forward-10": 54.7, "Uniform": 39.4, "Backward-10": 24.6, "Backward-50": 17.5
}  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The three experts under names that say their training, the whole test set, and the train counts."""
    root = tmp_path_factory.mktemp("figures")
    splits, experts = root / "data" / "splits", root / "checkpoints" / "experts"
    splits.mkdir(parents=True)
    experts.mkdir(parents=True)
    (root / "data" / "datasets.toml").write_text(DATASETS)
    (root / "data" / "cifar-100-python").symlink_to((REALDATA / "cifar-100-python").resolve())
    for name, file in NAMES.items():
        source = REALDATA / "checkpoints" / "cifar100_lt" / f"expert_{file}_best.pt"
        (experts / f"best_{name}.pt").symlink_to(source.resolve())
    (splits / "test_indices.json").write_text(json.dumps(list(range(10_000))))
    counts = class_counts(np.full(100, 500), "exponential", 100.0)
    (splits / "train_class_counts.json").write_text(json.dumps(counts.tolist()))
    return Workspace(root)


@pytest.fixture(scope="module")
def analyses(service: Service) -> dict[str, list[dict[str, Any]]]:
    """Statistics and ensemble of the recomputed logits."""
    with relogit.Client(service.url) as client:
        job = client.submit(dataset="cifar100_lt", splits=["test"], experts=list(NAMES)).wait(timeout=600)
        assert job.state == "succeeded", job.data
        answers = {part: job.analysis(part, timeout=120) for part in ("statistics", "ensemble", "seeds")}
    assert all(answer["complete"] for answer in answers.values())
    return {part: answer["results"] for part, answer in answers.items()}


@pytest.fixture(scope="module")
def ce(analyses: dict[str, list[dict[str, Any]]]) -> Statistics:
    """The analysis of the expert that was trained with cross-entropy."""
    [entry] = [entry for entry in analyses["statistics"] if entry["expert"] == "ce"]
    return Statistics.from_dict(entry["analysis"])


def test_shifted_priors_have_the_tables_accuracies(ce: Statistics) -> None:
    """Cross-entropy falls from 62.4 % on a head-heavy test set to 17.5 % on a tail-heavy one."""
    assert ce.shifted_priors is not None
    found = {item.name: round(100 * item.accuracy, 1) for item in ce.shifted_priors.accuracies}
    assert {name: found[name] for name in CE_UNDER_SHIFTED_PRIORS} == CE_UNDER_SHIFTED_PRIORS
    assert (len(found), ce.shifted_priors.absent_classes) == (11, 0)


def test_calibration_of_the_tail_is_twice_as_bad(ce: Statistics) -> None:
    """ECE .357 over all rows is .262 on head and .569 on tail."""
    assert ce.calibration is not None
    found = {name: figures and round(figures.ece, 3) for name, figures in ce.calibration.items()}
    assert found == {"head": 0.262, "tail": 0.569}


def test_the_best_score_overall_is_not_the_best_of_the_worst_group(ce: Statistics) -> None:
    """Entropy has the smallest area overall, energy in the worst group; intervals hold the areas of MSP."""
    assert ce.scores is not None
    assert (ce.scores.best_overall, ce.scores.best_worst_group) == ("entropy", "energy")
    assert ("entropy", "energy") in ce.scores.flips
    areas = {
        item.score: (round(item.aurc or 0, 4), round(item.worst_group_aurc or 0, 4)) for item in ce.scores.scores
    }
    assert areas["msp"] == (0.3808, 0.9087)
    assert areas["energy"] == (0.3958, 0.8513)
    low, high = ce.intervals.figures["worst_group_aurc"] or (1, 0)
    assert low < 0.9087 < high


def test_tail_rows_are_taken_for_head_classes(ce: Statistics) -> None:
    """86 % of the tail's rows are predicted as a head class; no wrong pair is more frequent than class 81 as 13."""
    assert ce.confusion is not None
    assert ce.confusion.groups is not None
    tail = ce.confusion.groups["tail"]
    assert tail is not None
    assert (tail.rows, round(tail.as_head, 3), round(tail.as_tail, 3)) == (3100, 0.860, 0.033)
    first = ce.confusion.pairs[0]
    assert (first.label, first.predicted, first.rows) == (81, 13, 67)


def test_the_adjusted_expert_with_the_worse_tail_is_pointed_out(analyses: dict[str, list[dict[str, Any]]]) -> None:
    """Logit adjustment is worse there than cross-entropy; the uniform average is below balanced softmax alone."""
    [entry] = analyses["ensemble"]
    assert entry["experts"] == list(NAMES)
    found = Ensemble.from_dict(entry["analysis"])
    accuracies = {name: round(100 * figures.accuracy, 2) for name, figures in found.single.items()}
    assert accuracies == {"ce": 39.43, "logitadjust": 35.04, "balsoftmax": 42.66}
    assert round(100 * found.uniform.accuracy, 1) == 42.4
    assert round(100 * (found.oracle["overall"] or 0), 1) == 54.0
    adjusted = {check.measured["expert"]: check for check in found.findings}
    assert adjusted["logitadjust"].verdict == "failed"
    assert adjusted["balsoftmax"].verdict == "passed"
    assert "3.03% of the 3,100 rows" in adjusted["logitadjust"].message
    assert adjusted["logitadjust"].measured["p_value"] < 1e-50
    assert analyses["seeds"] == []
