"""Ensembles of experts: mean, oracle, pairs and the finding about adjusted experts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.ensemble import VotingClassifier
from sklearn.metrics import balanced_accuracy_score, matthews_corrcoef
from statsmodels.stats.contingency_tables import mcnemar

from app.domain.ensembles import Ensemble
from app.domain.standards import Standards
from worker.analyses.adjusted_experts import check_adjusted_experts, training_of
from worker.analyses.ensemble import ExpertLogits, analyse_ensemble, error_correlation
from worker.verify.ground_truth import Truth

CLASSES = 6
COUNTS = np.array([200, 100, 40, 20, 10, 5])


def _truth(labels: np.ndarray, counts: np.ndarray | None = COUNTS) -> Truth:
    reason = None if counts is not None else "There are no train counts."
    return Truth(
        labels, CLASSES, "test", np.arange(len(labels)), counts, None, reason, "No class weights.", Standards()
    )


def _experts(seed: int, rows: int = 120) -> tuple[list[ExpertLogits], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, rows)
    experts = []
    for name in ("a", "b", "c"):
        logits = random.normal(size=(rows, CLASSES), scale=2)
        logits[np.arange(rows), labels] += 2
        logits = logits.astype(np.float32)
        experts.append(ExpertLogits(name, logits, "logits", logits.argmax(axis=1)))
    return experts, labels


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_other_libraries(seed: int) -> None:
    """The mean is scikit-learn's soft vote, φ its Matthews correlation, the oracle an enumeration of the rows."""
    experts, labels = _experts(seed)
    found = analyse_ensemble(iter(experts), _truth(labels))
    vote = VotingClassifier([(expert.name, None) for expert in experts], voting="soft")
    vote.estimators_ = [_Fixed(expert) for expert in experts]
    predictions = vote._collect_probas(None).mean(axis=0).argmax(axis=1)
    assert found.uniform.accuracy == pytest.approx(np.mean(predictions == labels))
    assert found.uniform.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predictions))
    groups = {"overall": np.ones(len(labels), bool), "head": COUNTS[labels] > 20, "tail": COUNTS[labels] <= 20}
    assert found.uniform.tail_accuracy == pytest.approx(
        np.mean(predictions[groups["tail"]] == labels[groups["tail"]])
    )
    for name, rows in groups.items():
        right = [any(e.predictions[row] == labels[row] for e in experts) for row in np.flatnonzero(rows)]
        assert found.oracle[name] == pytest.approx(np.mean(right))
        assert found.rows[name] == rows.sum()
        for pair in found.pairs:
            first, second = (next(e for e in experts if e.name == of) for of in (pair.first, pair.second))
            own, other = first.predictions[rows], second.predictions[rows]
            assert pair.groups[name].disagreement == pytest.approx(np.mean(own != other))
            expected = matthews_corrcoef(own != labels[rows], other != labels[rows])
            assert pair.groups[name].error_correlation == pytest.approx(expected)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert Ensemble.from_dict(found.to_dict()).to_dict() == found.to_dict()


class _Fixed:
    """A fitted estimator that gives an expert's probabilities."""

    def __init__(self, expert: ExpertLogits) -> None:
        self._shares: NDArray[np.float64] = softmax(expert.logits.astype(np.float64), axis=1)

    def predict_proba(self, _: object) -> NDArray[np.float64]:
        return self._shares


def test_probabilities_are_averaged_as_they_are() -> None:
    """A file of probabilities, or of their logarithms, gives the same mean as the logits."""
    experts, labels = _experts(7)
    first, *others = experts
    shares = softmax(first.logits.astype(np.float64), axis=1)
    whole = analyse_ensemble(experts, _truth(labels))
    for kind, values in (("probabilities", shares), ("log-probabilities", np.log(shares))):
        stored = ExpertLogits(first.name, values, kind, first.predictions)  # type: ignore[arg-type]
        assert analyse_ensemble([stored, *others], _truth(labels)) == whole


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_error_correlations_of_all_small_cases(rows: int) -> None:
    """φ is numpy's Pearson correlation, None exactly where one side is constant."""
    for wrong, other in product(product((False, True), repeat=rows), repeat=2):
        found = error_correlation(np.array(wrong), np.array(other))
        if len(set(wrong)) == 1 or len(set(other)) == 1:
            assert found is None
        else:
            assert found == pytest.approx(np.corrcoef(wrong, other)[0, 1])


def test_degenerate_splits_have_reasons() -> None:
    """No tail row, an expert without errors, one row, no train counts: None with the reason, and no warning."""
    labels = np.array([0, 1, 2, 0])
    perfect = ExpertLogits("perfect", np.eye(CLASSES)[labels] * 9, "logits", labels)
    weak = ExpertLogits("weak", np.zeros((4, CLASSES)), "logits", np.zeros(4, dtype=np.int64))
    found = analyse_ensemble([perfect, weak], _truth(labels))
    [pair] = found.pairs
    assert (found.oracle["tail"], found.uniform.tail_accuracy, found.rows["tail"]) == (None, None, 0)
    assert pair.groups["tail"].disagreement is None
    assert pair.groups["tail"].reason == "The group has no row."
    assert pair.groups["overall"].error_correlation is None
    assert pair.groups["overall"].reason == "perfect is always right here."
    assert found.oracle["overall"] == 1
    one = [ExpertLogits(e.name, e.logits[1:2], "logits", e.predictions[1:2]) for e in (weak, perfect)]
    single = analyse_ensemble(one, _truth(labels[1:2], None))
    assert single.rows == {"overall": 1}
    assert single.reasons == {"groups": "There are no train counts."}
    assert single.pairs[0].groups["overall"].reason == "weak is never right here."


@pytest.mark.parametrize(
    ("name", "training"),
    [
        ("ce_baseline", (False, ("baseline",))),
        ("CE", (False, ())),
        ("cross-entropy_seed1", (False, ("seed1",))),
        ("logitadjust_baseline", (True, ("baseline",))),
        ("logit_adjustment", (True, ())),
        ("balsoftmax", (True, ())),
        ("balanced_softmax.s2", (True, ("s2",))),
        ("la", (True, ())),
        ("ce_la", (True, ("ce",))),
        ("ce_bs_128", (False, ("bs", "128"))),
        ("ce_bs128", (False, ("bs128",))),
        ("lab_model", None),
        ("class_balanced", None),
        ("", None),
        ("force", None),
    ],
)
def test_only_whole_words_of_a_name_say_how_an_expert_was_trained(name: str, training: object) -> None:
    """Anything else is no claim about the training."""
    assert training_of(name) == training


def _right(right: int, rows: int = 20) -> np.ndarray:
    return np.arange(rows) < right


def test_an_adjusted_expert_with_a_worse_tail_is_pointed_out() -> None:
    """With both accuracies, and the p-value of statsmodels' exact McNemar test; a better one passes."""
    random = np.random.default_rng(0)
    right = {"ce": random.random(200) < 0.5, "la": random.random(200) < 0.2, "bs": random.random(200) < 0.7}
    tail = np.arange(200) % 2 == 0
    la, bs = check_adjusted_experts(right, tail)
    assert (la.verdict, bs.verdict, la.level) == ("failed", "passed", "warning")
    own, other = right["la"][tail], right["ce"][tail]
    table = [[sum(own & other), sum(own & ~other)], [sum(~own & other), sum(~own & ~other)]]
    assert la.measured["p_value"] == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert la.measured["tail_accuracy"] == own.mean()
    assert la.expected == {"expert": "ce", "tail_accuracy": other.mean()}
    assert "worse there than the plain ce" in la.message
    assert "Chance" not in la.message


def test_repeats_of_a_sample_prove_nothing_about_an_adjusted_expert() -> None:
    """Three samples in ten copies each are three for the test; they are all rows for the accuracies."""
    rows = np.ones(33, bool)
    right = {"ce": rows, "la": np.arange(33) < 3}
    [alone] = check_adjusted_experts(right, rows)
    [check] = check_adjusted_experts(right, rows, np.arange(33) < 6)
    assert (alone.verdict, check.verdict) == ("failed", "skipped")
    assert "right in 9.09% of the 33 rows" in check.message
    assert check.message.endswith("Chance may explain it (McNemar's exact test: p = 0.25).")


def test_a_small_difference_says_that_chance_may_explain_it() -> None:
    """One row fewer decides nothing, and the check is skipped with its p-value; as many rows are not worse."""
    rows = np.ones(20, bool)
    [worse] = check_adjusted_experts({"ce": _right(10), "la": _right(9)}, rows)
    assert (worse.verdict, worse.level) == ("skipped", "warning")
    assert worse.message.endswith("Chance may explain it (McNemar's exact test: p = 1).")
    [equal] = check_adjusted_experts({"ce": _right(10), "la": _right(10)}, rows)
    assert equal.verdict == "passed"


def test_an_adjusted_expert_is_compared_with_the_plain_one_of_its_name() -> None:
    """Else with the only plain one; of several that fit no better, with none."""
    rows = np.ones(20, bool)
    seeds = {"ce_seed1": _right(9), "ce_seed2": _right(5), "la_seed2": _right(7), "la_seed3": _right(1)}
    [check] = check_adjusted_experts(seeds, rows)
    assert (check.measured["expert"], check.expected["expert"]) == ("la_seed2", "ce_seed2")
    assert check_adjusted_experts({"la": _right(1), "other": _right(9)}, rows) == ()
    [skipped] = check_adjusted_experts({"la": _right(1), "ce": _right(9)}, None)
    assert (skipped.verdict, skipped.level) == ("skipped", "warning")
    [no_rows] = check_adjusted_experts({"la": _right(1), "ce": _right(9)}, ~rows)
    assert no_rows.verdict == "skipped"
