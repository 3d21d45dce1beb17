"""From requests for rejectors and evaluations to jobs, and what they refuse, repeat and write."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.domain.errors import Refused
from app.domain.jobs import Job, JobState
from app.domain.outcomes import EvaluationOutcome, RejectorOutcome
from app.store.database import Database
from tests.fakes import Home
from tests.unit.expert_jobs import CLASSES, ExpertJobs, digests_of, verdicts_of
from worker import loop

QUICK: dict[str, Any] = {"coverages": [0.5, 1.0]}


@pytest.fixture
def site(home: Home, database: Database) -> ExpertJobs:
    return ExpertJobs.make(home, database)


def rejector_problems(site: ExpertJobs, **body: Any) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as caught:
        site.rejector(**body)
    return [(problem.code, problem.details["pointer"]) for problem in caught.value.problems]


def evaluation_problems(site: ExpertJobs, **body: Any) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as caught:
        site.evaluation(**body)
    return [(problem.code, problem.details["pointer"]) for problem in caught.value.problems]


def evaluated(job: Job) -> EvaluationOutcome:
    assert isinstance(job.outcome, EvaluationOutcome)
    return job.outcome


def test_a_rejector_is_of_the_newest_gating_unless_it_says_otherwise(site: ExpertJobs) -> None:
    """Its name says score and objective."""
    site.recomputed()
    first, second = site.fitted(), site.fitted()
    assert site.rejector().request.to_dict()["gating"] == second.id
    named = site.rejector(gating=first.id, objective="worst").request.to_dict()
    assert (named["gating"], named["name"]) == (first.id, "group-worst")
    assert site.rejector(score="msp").request.to_dict()["name"] == "msp"


def test_rejectors_without_a_fitted_gating_are_refused(site: ExpertJobs) -> None:
    """None at all, an unknown one, a waiting one, another kind of job."""
    assert rejector_problems(site) == [("no-gating", "#/gating")]
    assert rejector_problems(site, gating="0" * 32) == [("job-not-found", "#/gating")]
    source = site.recomputed()
    assert rejector_problems(site, gating=source) == [("no-gating", "#/gating")]
    assert rejector_problems(site, gating=site.gating().id) == [("gating-unfinished", "#/gating")]


def test_energy_is_of_a_single_expert(site: ExpertJobs) -> None:
    """The logsumexp of several is not defined."""
    site.recomputed()
    site.fitted()
    assert rejector_problems(site, score="energy") == [("energy-of-several", "#/score")]
    site.fitted(experts=["ce"])
    job = site.done(site.rejector(score="energy", **QUICK))
    assert isinstance(job.outcome, RejectorOutcome)
    assert [rule.coverage for rule in job.outcome.rules.rules] == [0.5, 1.0]


def test_a_rejector_is_not_called_by_another_score(site: ExpertJobs) -> None:
    """A rule called `msp` would stand in the place of the combination's msp, which others are compared with."""
    site.recomputed()
    site.fitted()
    assert rejector_problems(site, score="group", name="msp") == [("name-of-a-score", "#/name")]
    assert rejector_problems(site, score="entropy", name="margin") == [("name-of-a-score", "#/name")]
    assert site.rejector(score="entropy", name="entropy").request.to_dict()["name"] == "entropy"


def test_a_combination_has_no_energy(site: ExpertJobs) -> None:
    """The logsumexp of log-probabilities is 0: such a rule would tell no row from another."""
    site.recomputed()
    inner = site.fitted(name="inner")
    site.fitted(logits=inner.id)
    assert site.failure(site.rejector(score="energy")) == "energy-of-log-probabilities"


def test_a_rejectors_identity_is_that_of_what_it_is_fitted_on(site: ExpertJobs) -> None:
    """Equal gatings, whichever job they are, and every option."""
    site.recomputed()
    first, second = site.fitted(), site.fitted()
    other = site.fitted(method="linear")
    bodies: list[dict[str, Any]] = [
        {"gating": first.id}, {"gating": other.id}, {"gating": first.id, "objective": "worst"},
        {"gating": first.id, "coverages": [0.5]}, {"gating": first.id, "min_group_coverage": 0.2},
        {"gating": first.id, "score": "msp"},
    ]  # fmt: skip
    identities = [site.rejector(**body).request.to_dict()["identity"] for body in bodies]
    assert len(set(identities)) == len(identities)
    assert site.rejector(gating=second.id).request.to_dict()["identity"] == identities[0]


def test_an_evaluation_takes_the_newest_gating_and_its_newest_rejectors(site: ExpertJobs) -> None:
    """One of each name; those of other gatings are no part of it."""
    site.recomputed()
    older = site.fitted()
    site.done(site.rejector(**QUICK))
    newest = site.fitted()
    site.done(site.rejector(**QUICK))
    kept = site.done(site.rejector(**QUICK))
    worst = site.done(site.rejector(objective="worst", **QUICK))
    request = site.evaluation().request.to_dict()
    assert (request["gatings"], request["rejectors"]) == ((newest.id,), (kept.id, worst.id))
    assert request["name"] == "group-balanced"
    assert older.id not in request["gatings"]


def test_each_gating_has_its_own_newest_rejector(site: ExpertJobs) -> None:
    """Two of one name, of two gatings, are both evaluated."""
    site.recomputed()
    one, other = site.fitted(name="one"), site.fitted(name="other", method="linear")
    rejectors = [site.done(site.rejector(gating=job.id, **QUICK)).id for job in (one, other)]
    request = site.evaluation(gatings=[one.id, other.id]).request.to_dict()
    assert set(request["rejectors"]) == set(rejectors)


def test_named_rejectors_bring_their_gatings(site: ExpertJobs) -> None:
    """But named gatings are all: a rejector of another one is refused."""
    site.recomputed()
    one, other = site.fitted(name="one"), site.fitted(name="other")
    rejector = site.done(site.rejector(gating=one.id, **QUICK))
    assert site.evaluation(rejectors=[rejector.id, rejector.id]).request.to_dict()["gatings"] == (one.id,)
    assert evaluation_problems(site, gatings=[other.id], rejectors=[rejector.id]) == [
        ("rejector-of-another-gating", "#/rejectors")
    ]


def test_wrong_ids_are_named_where_they_stand(site: ExpertJobs) -> None:
    """Unknown jobs, jobs of other kinds, and those that have not succeeded, all in one answer."""
    assert evaluation_problems(site) == [("no-gating", "#/gatings")]
    source = site.recomputed()
    gating = site.fitted()
    waiting = site.rejector(**QUICK)
    assert evaluation_problems(site, gatings=[source], rejectors=[gating.id]) == [
        ("no-rejector", "#/rejectors"), ("no-gating", "#/gatings")
    ]  # fmt: skip
    assert evaluation_problems(site, rejectors=[waiting.id, "0" * 32]) == [
        ("rejector-unfinished", "#/rejectors"), ("job-not-found", "#/rejectors")
    ]  # fmt: skip
    assert evaluation_problems(site, gatings=["0" * 32]) == [("job-not-found", "#/gatings")]
    assert evaluation_problems(site, test="nowhere") == [("split-without-logits", "#/test")]


def test_gatings_that_cannot_be_compared_are_refused(site: ExpertJobs) -> None:
    """Another prior, other groups, or other train counts; and two of one name."""
    source = site.recomputed()
    one = site.fitted(name="one")
    for body in ({"prior": "train"}, {"groups": "many-medium-few"}, {"head_threshold": 40}):
        other = site.fitted(name="other", **body)
        assert evaluation_problems(site, gatings=[one.id, other.id]) == [("gatings-differ", "#/gatings")]
    site.write_counts([60, 10, 3])
    other = site.fitted(name="other", logits=source)
    assert evaluation_problems(site, gatings=[one.id, other.id]) == [("gatings-differ", "#/gatings")]
    site.write_counts([60, 30, 3])
    same = site.fitted(name="one", method="linear")
    assert evaluation_problems(site, gatings=[one.id, same.id]) == [("repeated-name", "#/gatings")]


def test_rejectors_that_cannot_be_told_apart_or_compared_are_refused(site: ExpertJobs) -> None:
    """Two of one name of one gating; other coverages, a selective gating's own rule included."""
    site.recomputed()
    gating = site.fitted()
    one, other = (site.done(site.rejector(min_group_coverage=least, **QUICK)).id for least in (0.0, 0.1))
    assert evaluation_problems(site, rejectors=[one, other]) == [("repeated-name", "#/rejectors")]
    third = site.done(site.rejector(name="third", coverages=[0.7])).id
    assert evaluation_problems(site, rejectors=[one, third]) == [("rejectors-differ", "#/rejectors")]
    selective = site.fitted(mode="selective")
    fourth = site.done(site.rejector(gating=selective.id, name="fourth", **QUICK)).id
    assert evaluation_problems(site, rejectors=[fourth]) == [("rejectors-differ", "#/rejectors")]
    assert gating.id


def test_test_samples_that_were_fitted_on_need_leave(home: Home, database: Database) -> None:
    """Every result then repeats how many they are."""
    lists = {"tunev": range(100), "val": range(100, 200), "test": [0, 0, 1, 199, *range(200, 300)]}
    site = ExpertJobs.make(home, database, lists)
    site.recomputed()
    site.fitted()
    assert evaluation_problems(site) == [("overlap", "#/test")]
    with pytest.raises(Refused, match="2 with 'tunev' and 1 with 'val'"):
        site.evaluation()
    job = site.done(site.evaluation(allow_overlap=True))
    [check] = [check for check in evaluated(job).checks if check.id == "fitted-samples" and check.verdict == "failed"]
    assert check.measured == {"tunev": 2, "val": 1}
    assert verdicts_of(job)["fitted-samples"] == "failed"


def test_an_evaluation_repeats_the_gatings_warnings(site: ExpertJobs) -> None:
    """Figures of parameters from 150 rows carry that warning."""
    site.recomputed()
    site.fitted()
    assert verdicts_of(site.done(site.rejector(**QUICK)))["effective-rows"] == "failed"
    assert verdicts_of(site.done(site.evaluation()))["effective-rows"] == "failed"


def test_figures_are_those_of_the_files(site: ExpertJobs) -> None:
    """Accuracy of the mixture's file; coverage and error of the decisions' file."""
    site.recomputed()
    site.fitted(method="linear")
    site.done(site.rejector(**QUICK))
    outcome = evaluated(site.done(site.evaluation()))
    methods = {method.name: method for method in outcome.evaluation.methods}
    assert list(methods) == [
        "ce + msp", "bal + msp", "adj + msp", "uniform + msp", "uniform + margin", "uniform + entropy",
        "linear + msp", "linear + margin", "linear + entropy", "linear + group-balanced",
    ]  # fmt: skip
    labels = np.asarray(site.indices("test")) % CLASSES
    with np.load(site.outputs / "gating" / "pretrained" / "test_mixture.npz") as mixture:
        accuracy = np.mean(mixture["predictions"] == labels)
    assert methods["linear + msp"].figures["accuracy"] == pytest.approx(accuracy, abs=1e-12)
    with np.load(site.outputs / "argse" / "group-balanced" / "test_decisions.npz") as decisions:
        accepted = decisions["accepted"]
        wrong = decisions["predictions"] != labels
    points = methods["linear + group-balanced"].at_threshold
    assert points is not None
    for number, point in enumerate(points):
        assert point.coverage == pytest.approx(accepted[number].mean(), abs=1e-12)
        assert point.overall == pytest.approx(wrong[number][accepted[number]].mean(), abs=1e-12)
    for path, digest in outcome.files.items():
        assert digests_of(site.outputs)[str(site.outputs / path)] == digest
    summary = json.loads((site.outputs / "argse" / "group-balanced" / "summary.json").read_text())
    assert summary["test"]["list"]["split"] == "test"


def test_a_combination_named_like_a_method_stays_apart(site: ExpertJobs) -> None:
    """As an expert of another one, it is not mistaken for the method."""
    site.recomputed()
    inner = site.fitted(name="uniform", method="linear")
    site.fitted(logits=inner.id, method="linear", name="outer")
    outcome = evaluated(site.done(site.evaluation()))
    names = [method.name for method in outcome.evaluation.methods]
    assert names[:2] == ["expert uniform + msp", "uniform + msp"]


def test_an_expert_with_other_logits_is_shown_by_its_gating(site: ExpertJobs) -> None:
    """Two files of one expert's name are two methods; the same file is one."""
    first = site.fitted(logits=site.recomputed(), name="first")
    same = site.fitted(name="same")
    logits = np.eye(3, dtype=np.float32)[np.asarray(site.indices("test")) % 3] + np.float32(0.5)
    other = site.fitted(
        logits=site.recomputed(contents={"ce_test": site.content("ce", "test", logits=logits)}), name="other"
    )
    request = {"gatings": [first.id, same.id, other.id], "rejectors": []}
    names = [method.name for method in evaluated(site.done(site.evaluation(**request))).evaluation.methods]
    assert [name for name in names if "ce + msp" in name] == ["ce + msp", "other: ce + msp"]


def test_the_train_prior_weights_figures(site: ExpertJobs) -> None:
    """Test accuracy is the mean over classes, weighted with the train shares."""
    site.recomputed()
    site.fitted(prior="train")
    outcome = evaluated(site.done(site.evaluation()))
    [method] = [method for method in outcome.evaluation.methods if method.name == "uniform + msp"]
    labels = np.asarray(site.indices("test")) % CLASSES
    with np.load(site.outputs / "gating" / "pretrained" / "test_mixture.npz") as mixture:
        right = mixture["predictions"] == labels
    by_class = [right[labels == c].mean() for c in range(3)]
    assert method.figures["accuracy"] == pytest.approx(np.average(by_class, weights=[60, 30, 3]), abs=1e-12)
    assert outcome.test.effective_rows == pytest.approx(78 * 93**2 / (60**2 + 30**2 + 3**2), rel=1e-12)


def test_equal_evaluations_have_equal_bytes(site: ExpertJobs) -> None:
    """Whole chains again, of other jobs."""
    site.recomputed()
    folders = (site.outputs, site.home.settings.checkpoints_dir / "argse")
    found = []
    for _ in range(2):
        site.fitted(method="log-linear")
        site.done(site.rejector(objective="worst", **QUICK))
        outcome = evaluated(site.done(site.evaluation()))
        files = {name: digest for name, digest in digests_of(*folders).items() if ".relogit" not in name}
        found.append((outcome, files))
    assert found[0] == found[1]
    assert any(name.endswith("argse.json") for name in found[0][1])


def test_rejectors_and_evaluations_can_be_stopped_and_cancelled(site: ExpertJobs) -> None:
    """Handed back they wait; cancelled they end without a result or a file."""
    site.recomputed()
    site.fitted()
    for job in (site.rejector(**QUICK), site.evaluation(rejectors=[])):
        claim = site.store.claim("w")
        assert claim is not None
        loop._run(claim, replace(site.context, stopping=lambda: True))
        assert site.store.get(job.id).state is JobState.RUNNING
        claim = site.store.claim("w")
        assert claim is not None
        assert claim.job.id == job.id
        site.store.cancel(job.id)
        loop._run(claim, site.context)
        ended = site.store.get(job.id)
        assert (ended.state, ended.outcome) == (JobState.CANCELLED, None)
    assert not (site.outputs / "argse").exists()


def test_a_gating_that_was_deleted_fails_what_waits_for_it(site: ExpertJobs) -> None:
    """Only a store that lost it in another way gets there: open jobs keep what they build on."""
    site.recomputed()
    gating = site.fitted()
    rejector, evaluation = site.rejector(), site.evaluation()
    with site.store._database.transaction() as db:
        db.execute("DELETE FROM jobs WHERE id = ?", (gating.id,))
    assert site.failure(rejector) == "gating-gone"
    assert site.failure(evaluation) == "gating-gone"


def test_only_the_group_rule_keeps_to_a_least_acceptance(site: ExpertJobs) -> None:
    """Thresholds of another score cannot, and a result that says so would be wrong."""
    site.recomputed()
    site.fitted(method="uniform")
    with pytest.raises(Refused, match="has thresholds alone") as refused:
        site.rejector(score="msp", min_group_coverage=0.2)
    assert [(error.code, error.details["pointer"]) for error in refused.value.problems] == [
        ("min-group-coverage-unused", "#/min_group_coverage")
    ]
