"""From a request to compare logits to a job: pairs, labels, identity, and every single thing that is refused."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

from app.domain.compare_requests import ComparisonRequest
from app.domain.errors import Conflict, Refused, RequestError
from app.domain.jobs import JobState
from app.store.database import Database
from app.store.references import References
from app.submission.comparison import plan_comparison
from app.submission.comparison_bodies import ComparisonBody
from app.submission.expert_pairs import expert_pairs, labels_of
from app.submission.resubmission import submission_of
from tests.fakes import DIGITS, Home
from tests.unit.expert_jobs import LISTS, ExpertJobs

ONE, TWO = "1" * 32, "2" * 32


@pytest.fixture
def site(home: Home, database: Database) -> ExpertJobs:
    return ExpertJobs.make(home, database)


def plan(site: ExpertJobs, a: Any, b: Any = None, **more: Any) -> ComparisonRequest:
    sides = [None if side is None else side if isinstance(side, dict) else {"job": side} for side in (a, b)]
    body = ComparisonBody.model_validate({"a": sides[0], "b": sides[1], **more})
    return plan_comparison(body, site.home.catalog(), site.store)


def problems(site: ExpertJobs, a: Any, b: Any = None, **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(RequestError) as caught:
        plan(site, a, b, **more)
    assert isinstance(caught.value, Refused)
    return [(problem.code, problem.details["pointer"]) for problem in caught.value.problems]


def written(site: ExpertJobs, folder: str, expert: str, split: str, dataset: str = "digits", **changes: Any) -> str:
    """A verified folder below the outputs with one file; the id of its verification."""
    path = site.outputs / folder / expert / f"{split}_logits.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(site.content(expert, split, **changes))
    return site.verification(path=folder, dataset=dataset).id


def test_one_job_is_compared_pair_by_pair(site: ExpertJobs) -> None:
    """In the job's order, A before B, on all splits, with its files and lists."""
    job = site.recomputed()
    request = plan(site, job)
    assert request.pairs == (("ce", "bal"), ("ce", "adj"), ("bal", "adj"))
    assert request.splits == tuple(LISTS)
    assert [side.label for side in request.sides] == ["ce", "bal", "adj"]
    side = request.side("bal")
    assert {file.expert for file in side.logits.files} == {"bal"}
    assert [(item.split, item.base, item.rows) for item in side.lists] == [
        (split, "test", len(rows)) for split, rows in LISTS.items()
    ]
    assert (request.dataset, request.output_dir, request.head_threshold) == ("digits", "comparisons", 20)
    assert request.counts_sha256 is not None
    assert request.name == f"3-pairs-{request.identity[:8]}"


def test_two_jobs_pair_equal_names(site: ExpertJobs) -> None:
    """Labels then say whose expert it is; a folder's colon is none."""
    one, two = site.recomputed(), site.recomputed(("bal", "ce"))
    request = plan(site, one, two)
    assert request.pairs == ((f"{one[:8]}:ce", f"{two[:8]}:ce"), (f"{one[:8]}:bal", f"{two[:8]}:bal"))
    pair = plan(site, {"job": one, "expert": "ce"}, {"job": two, "expert": "bal"}, splits=["val"])
    assert (pair.pairs, pair.splits) == ((("ce", "bal"),), ("val",))
    assert pair.name == f"ce-bal-{pair.identity[:8]}"
    same = plan(site, {"job": one, "expert": "ce"}, two)
    assert same.name == f"{one[:8]}=ce-{two[:8]}=ce-{same.identity[:8]}"


@pytest.mark.parametrize(
    ("a", "b", "names"),
    [
        ((ONE, None), None, ["a b", "a c", "b c"]),
        ((ONE, None), (ONE, None), ["a b", "a c", "b c"]),
        ((ONE, "b"), None, ["b a", "b c"]),
        ((ONE, "b"), (ONE, None), ["b a", "b c"]),
        ((ONE, None), (ONE, "b"), ["a b", "c b"]),
        ((ONE, "c"), (ONE, "a"), ["c a"]),
        ((ONE, None), (TWO, None), ["b b", "c c"]),
        ((ONE, "c"), (TWO, None), ["c c"]),
        ((ONE, None), (TWO, "b"), ["b b"]),
        ((ONE, "a"), (TWO, "b"), ["a b"]),
        ((ONE, "a"), ("3" * 32, None), ["a x"]),
        (("3" * 32, None), ("4" * 32, None), ["x y"]),
    ],
)
def test_pairs(a: tuple[str, str | None], b: tuple[str, str | None] | None, names: list[str]) -> None:
    """All of one job, one and each other, equal names of two jobs, or else the only ones."""
    experts = {ONE: ("a", "b", "c"), TWO: ("b", "c", "d"), "3" * 32: ("x",), "4" * 32: ("y",)}
    pairs = expert_pairs(a, b, experts)
    assert [f"{first} {second}" for (_, first), (_, second) in pairs] == names
    assert {job for (job, _), _ in pairs} == {a[0]}
    assert {job for _, (job, _) in pairs} == {a[0] if b is None else b[0]}


def test_labels_are_names_where_these_tell_experts_apart() -> None:
    """Else with the start of the job's id, or all of it where two begin alike."""
    assert labels_of([(ONE, "a"), (ONE, "b"), (ONE, "a")], 8) == {(ONE, "a"): "a", (ONE, "b"): "b"}
    assert list(labels_of([(ONE, "a"), (TWO, "a"), (TWO, "b")], 8).values()) == ["11111111:a", "22222222:a", "b"]
    alike = "1" * 31 + "2"
    assert list(labels_of([(ONE, "a"), (alike, "a")], 8).values()) == [f"{ONE}:a", f"{alike}:a"]


def test_nothing_is_compared_with_itself(site: ExpertJobs) -> None:
    """Nor is a job of one expert without another."""
    job, alone = site.recomputed(), site.recomputed(("ce",))
    side = {"job": job, "expert": "ce"}
    assert problems(site, side, side) == [("same-logits", "#/b")]
    assert problems(site, alone) == [("no-pairs", "#/a")]
    assert problems(site, {"job": job, "expert": "bal"}, {"job": job, "expert": "nobody"}) == [
        ("expert-without-logits", "#/b/expert")
    ]
    with pytest.raises(Refused, match="It has: adj, bal, ce"):
        plan(site, {"job": job, "expert": "nobody"})


def test_jobs_without_a_name_in_common_need_one_expert_each(site: ExpertJobs) -> None:
    """The refusal names which there are."""
    one, two = site.recomputed(("ce", "bal")), site.recomputed(("adj",))
    assert problems(site, one, two) == [("no-pairs", "#/b")]
    with pytest.raises(Refused, match=r"Job .* has: bal, ce\. Job .* has: adj\. Name one expert of each"):
        plan(site, one, two)
    assert plan(site, {"job": one, "expert": "ce"}, two).pairs == (("ce", "adj"),)


def test_jobs_that_cannot_be_compared_are_refused(site: ExpertJobs) -> None:
    """Unknown ones, those without logits, and those that are not verified, each at its place."""
    job = site.recomputed()
    gating = site.fitted()
    rejector = site.done(site.rejector(coverages=[0.5]))
    waiting = site.store.submit(site.store.get(gating.id).request)
    assert problems(site, "0" * 32, rejector.id) == [("job-not-found", "#/a/job"), ("no-logits", "#/b/job")]
    assert problems(site, job, waiting.id) == [("logits-unverified", "#/b/job")]
    with pytest.raises(Refused, match="Only verified logits are compared"):
        plan(site, waiting.id)
    assert plan(site, {"job": gating.id}, {"job": job, "expert": "ce"}).pairs == (("pretrained", "ce"),)


def test_splits_are_those_that_a_pair_shares(site: ExpertJobs) -> None:
    """Named ones must be among them; jobs that share none are told what they have."""
    one, two = site.recomputed(splits=("val", "test")), site.recomputed(splits=("tunev", "val"))
    only = site.recomputed(splits=("tunev",))
    assert plan(site, one, two).splits == ("val",)
    assert plan(site, one, splits=["test", "val", "test"]).splits == ("test", "val")
    assert problems(site, one, two, splits=["test", "nowhere"]) == [("split-without-logits", "#/splits")]
    assert problems(site, one, only) == [("no-shared-split", "#/splits")]
    with pytest.raises(Refused, match=r"ce of job .* has val, test; ce of job .* has tunev"):
        plan(site, one, only)


def test_a_list_that_was_changed_has_unknown_rows(site: ExpertJobs) -> None:
    """The other splits can still be compared."""
    job = site.recomputed()
    site.home.write_split("val", list(range(10)))
    assert problems(site, job) == [("split-changed", "#/a")]
    assert plan(site, job, splits=["test"]).splits == ("test",)


def test_samples_of_other_images_are_not_paired(site: ExpertJobs) -> None:
    """Another folder of images gives equal indices another meaning; another normalisation does not."""
    job = site.recomputed()
    data = site.home.data
    shutil.copytree(data / "digits", data / "others")
    site.home.declare(DIGITS + DIGITS.replace("[digits", "[copy").replace('root = "digits"', 'root = "others"'))
    path = written(site, "foreign", "ce", "val", dataset="copy")
    assert problems(site, job, path) == [("data-sets-differ", "#/b")]
    site.home.declare(DIGITS + DIGITS.replace("[digits", "[copy").replace("0.25", "0.5"))
    assert plan(site, job, written(site, "foreign", "ce", "val", dataset="copy")).splits == ("val",)


def test_too_many_pairs_are_refused(site: ExpertJobs) -> None:
    """Thirteen experts on one split are 78 pairs."""
    names = tuple(f"e{number}" for number in range(13))
    job = site.recomputed(
        names, splits=("val",), contents={f"{name}_val": site.content("ce", "val") for name in names}
    )
    assert problems(site, job) == [("too-many-pairs", "#/splits")]
    assert len(plan(site, {"job": job, "expert": "e3"}).pairs) == 12


def test_a_file_that_failed_its_verification_is_compared_with_what_is_wrong(site: ExpertJobs) -> None:
    """Comparing is how people find out; a file without finite logits of the right shape cannot be."""
    job = site.recomputed(("ce",))
    labels = np.asarray(site.indices("val")) % 3
    permuted = written(site, "permuted", "ce", "val", targets=labels[::-1].copy())
    request = plan(site, job, permuted)
    good, doubtful = request.sides
    assert (good.doubts, request.splits) == ((), ("val",))
    [doubt] = doubtful.doubts
    assert doubt.startswith("ce / val failed the check 'targets': ")
    assert ComparisonRequest.from_dict(request.to_dict()) == request
    short = written(site, "short", "ce", "val", logits=np.zeros((3, 3), np.float32))
    assert problems(site, job, short) == [("logits-unverified", "#/b/job")]
    with pytest.raises(Refused, match="holds finite logits of the right shape, which a comparison needs"):
        plan(site, job, short)


def test_the_identity_is_that_of_what_is_compared(site: ExpertJobs) -> None:
    """Not of the jobs that the logits were taken from; but of pairs, splits and train counts."""
    job = site.recomputed()
    again = site.recomputed()
    requests = [
        plan(site, job), plan(site, job, splits=["val"]), plan(site, {"job": job, "expert": "ce"}),
        plan(site, {"job": job, "expert": "bal"}, {"job": job, "expert": "ce"}),
        plan(site, {"job": job, "expert": "ce"}, {"job": job, "expert": "bal"}),
    ]  # fmt: skip
    assert len({request.identity for request in requests}) == len(requests)
    assert plan(site, again).identity == requests[0].identity
    assert plan(site, job, name="mine").identity == requests[0].identity
    site.write_counts([60, 10, 3])
    assert plan(site, job).identity != requests[0].identity


def test_a_job_is_not_deleted_while_a_comparison_reads_it(site: ExpertJobs, database: Database) -> None:
    """Both sides are kept until the comparison has ended."""
    one, two = site.recomputed(), site.recomputed()
    comparison = site.store.submit(plan(site, one, two))
    references = References(database)
    for job in (one, two):
        with pytest.raises(Conflict, match=f"Job {comparison.id} builds on job {job}"):
            references.remove(job)
    site.store.cancel(comparison.id)
    assert site.store.get(comparison.id).state is JobState.CANCELLED
    references.remove(one)


def test_a_name_that_was_given_is_given_again(site: ExpertJobs) -> None:
    """One that was made of the content is not sent: it follows from what is compared."""
    source = site.recomputed()
    cases: list[dict[str, str]] = [{}, {"name": "mine", "output_dir": "papers"}]
    for given in cases:
        request = plan(site, source, **given)
        again = submission_of(request)
        assert again is not None
        assert ("name" in again.body) == bool(given)
        body = ComparisonBody.model_validate(again.body)
        assert plan_comparison(body, site.home.catalog(), site.store) == request
