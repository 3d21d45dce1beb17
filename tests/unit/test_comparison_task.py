"""Comparing recorded logits as a worker does: outcome, files, pictures, causes, and what is left out."""

from __future__ import annotations

import base64
import csv
import io
import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from app.domain.comparisons import ComparisonOutcome
from app.domain.jobs import Job, JobState
from app.store.database import Database
from tests.fakes import Home
from tests.unit.compared_jobs import compared, comparison_request, side_of
from tests.unit.expert_jobs import CLASSES, EXPERTS, LISTS, ExpertJobs, expert_logits, npz
from worker.outputs.thumbnails import MAX_BYTES, in_turns


@pytest.fixture
def site(home: Home, database: Database) -> ExpertJobs:
    return ExpertJobs.make(home, database)


def all_pairs(site: ExpertJobs) -> tuple[Job, ComparisonOutcome]:
    job_id = site.recomputed()
    pairs = [("ce", "bal"), ("ce", "adj"), ("bal", "adj")]
    return compared(site, comparison_request(site, [side_of(site, job_id, e) for e in EXPERTS], pairs))


def test_every_pair_is_compared_on_every_split(site: ExpertJobs) -> None:
    """Accuracies are those of the logits, with groups by the train counts; the record is the outcome, read again."""
    job, outcome = all_pairs(site)
    assert [(pair.split, pair.a, pair.b) for pair in outcome.pairs] == [
        (split, *pair) for split in LISTS for pair in (("ce", "bal"), ("ce", "adj"), ("bal", "adj"))
    ]
    assert (outcome.group_names, outcome.resamples, outcome.level) == (("head", "tail"), 1000, 0.95)
    for pair in outcome.pairs:
        labels = np.asarray(site.indices(pair.split)) % CLASSES
        right = [expert_logits(expert, labels).argmax(axis=1) == labels for expert in (pair.a, pair.b)]
        figure = pair.figure("accuracy")
        assert (figure.a, figure.b) == pytest.approx((right[0].mean(), right[1].mean()))
        assert pair.mcnemar.only_a == int((right[0] & ~right[1]).sum())
        tail = labels == 2
        assert pair.figure("tail_accuracy").a == pytest.approx(right[0][tail].mean())
        assert [recall.train_count for recall in pair.classes] == [60, 30, 3]
    assert ComparisonOutcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome
    assert job.verification is not None
    assert job.verification.verdict == "passed"


def test_the_files_hold_what_the_outcome_says(site: ExpertJobs) -> None:
    """Tables for papers and scripts, under their digests, and no picture for a flip that is not listed."""
    _, outcome = all_pairs(site)
    folder = site.outputs / "comparisons" / "compared"
    assert outcome.files == {
        f"comparisons/compared/{path.name}": sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
    }
    tables = {
        name: list(csv.DictReader(io.StringIO((folder / f"{name}.csv").read_text())))
        for name in ("pairs", "flips", "classes")
    }
    assert len(tables["pairs"]) == len(outcome.pairs)
    for line, pair in zip(tables["pairs"], outcome.pairs, strict=True):
        difference = pair.figure("ece").difference
        assert difference is not None
        assert float(line["ece_low"]) == difference.low
        assert (line["cause"], int(line["tail_flips"])) == (pair.cause.kind, pair.flips[2].flips)
    assert len(tables["flips"]) == sum(len(pair.largest_flips) for pair in outcome.pairs)
    assert [float(line["recall_a"]) for line in tables["classes"][:3]] == [r.a for r in outcome.pairs[0].classes]
    stored = ComparisonOutcome.from_dict(json.loads((folder / "comparison.json").read_text()))
    assert stored == replace(outcome, files={})


def test_the_pictures_are_those_of_the_samples(site: ExpertJobs) -> None:
    """PNG of the base's own pixels, by base and sample."""
    _, outcome = all_pairs(site)
    pictures = json.loads((site.outputs / "comparisons" / "compared" / "pictures.json").read_text())
    dataset = site.home.catalog().dataset("digits")
    images = site.context.pools.get(dataset, "test").images
    assert outcome.pictures_reason is None
    assert sum(map(len, pictures.values())) <= MAX_BYTES
    flips = [flip for pair in outcome.pairs for flip in pair.largest_flips]
    assert {flip.picture for flip in flips} == set(pictures)
    for flip in flips[:5]:
        image = Image.open(io.BytesIO(base64.b64decode(pictures[flip.picture])))
        np.testing.assert_array_equal(np.asarray(image), images[flip.sample])


def test_two_jobs_that_differ_by_a_temperature(site: ExpertJobs) -> None:
    """A calibrated job against a raw one: no flip, and the temperature with its value."""
    raw = site.recomputed(("ce",), ("test",))
    labels = np.asarray(site.indices("test")) % CLASSES
    logits = expert_logits("ce", labels) / np.float32(1.37)
    content = npz(logits=logits, targets=labels, predictions=logits.argmax(axis=1))
    calibrated = site.recomputed(("ce",), ("test",), {"ce_test": content})
    sides = [side_of(site, raw, "ce", "raw:ce"), side_of(site, calibrated, "ce", "calibrated:ce")]
    _, outcome = compared(site, comparison_request(site, sides, [("raw:ce", "calibrated:ce")]))
    [pair] = outcome.pairs
    assert (pair.cause.kind, pair.cause.value) == ("temperature", "1.37")
    assert (pair.flips[0].flips, pair.mcnemar.p, pair.agreement) == (0, 1.0, 1.0)
    assert not any(name.endswith("pictures.json") for name in outcome.files)


def test_a_job_against_a_folder_of_its_copies(site: ExpertJobs) -> None:
    """Verified files are compared like a job's."""
    job_id = site.recomputed()
    for split in LISTS:
        path = site.outputs / "copies" / "ce" / f"{split}_logits.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(site.content("ce", split))
    verified = site.verification(path="copies").id
    sides = [side_of(site, job_id, "ce"), side_of(site, verified, "ce", "copies:ce")]
    _, outcome = compared(site, comparison_request(site, sides, [("ce", "copies:ce")]))
    assert {pair.cause.kind for pair in outcome.pairs} == {"identical"}


def test_lists_of_one_base_are_paired_by_sample(site: ExpertJobs) -> None:
    """What one alone has is left out and counted, and named where all else is the same."""
    every = np.random.default_rng(0).normal(size=(600, CLASSES)).astype(np.float32)
    jobs = []
    for number, indices in enumerate((range(306, 540), range(400, 560))):
        site.home.write_split("test", list(indices))
        content = npz(logits=every[list(indices)], targets=np.asarray(indices) % CLASSES)
        jobs.append(site.recomputed(("ce",), ("test",), {"ce_test": content}))
        if not number:
            side = side_of(site, jobs[0], "ce", "old")
            (site.home.data / "old_splits").mkdir()
            site.list_path("test").rename(site.home.data / "old_splits" / "test_indices.json")
    sides = [replace(side, splits_dir="old_splits"), side_of(site, jobs[1], "ce", "new")]
    _, outcome = compared(site, comparison_request(site, sides, [("old", "new")], splits_dir=sides[1].splits_dir))
    [pair] = outcome.pairs
    assert (pair.pairing.by, pair.pairing.rows, pair.pairing.left_out_a, pair.pairing.left_out_b) == (
        "sample", 140, 94, 20
    )  # fmt: skip
    assert (pair.cause.kind, pair.cause.value) == ("other-split", "114")


def test_what_cannot_be_compared_is_left_out_with_its_reason(site: ExpertJobs) -> None:
    """The other splits are compared; if nothing is left, the job fails and says why."""
    job_id = site.recomputed(("ce", "bal"))
    request = comparison_request(site, [side_of(site, job_id, e) for e in ("ce", "bal")], [("ce", "bal")])
    site.home.write_split("val", list(range(150, 300)))
    _, outcome = compared(site, request)
    assert [pair.split for pair in outcome.pairs] == ["tunev", "test"]
    [skipped] = outcome.skipped
    assert (skipped.split, skipped.a, skipped.b) == ("val", "ce", "bal")
    assert "index list of 'val' was changed" in skipped.reason
    nothing = site.done(site.store.submit(replace(request, splits=("val",))), JobState.FAILED)
    assert nothing.verification is not None
    assert nothing.verification.error is not None
    assert nothing.verification.error["code"] == "nothing-paired"
    assert "index list of 'val' was changed" in nothing.verification.error["message"]


def test_files_of_probabilities_are_not_compared(site: ExpertJobs) -> None:
    """Their softmax would be no probability."""
    labels = np.asarray(site.indices("test")) % CLASSES
    exponents = np.exp(expert_logits("ce", labels).astype(float))
    content = npz(logits=(exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32), targets=labels)
    job_id = site.recomputed(("ce", "bal"), ("test",), {"ce_test": content})
    request = comparison_request(site, [side_of(site, job_id, e) for e in ("ce", "bal")], [("ce", "bal")])
    assert site.failure(site.store.submit(request)) == "nothing-paired"


def test_train_counts_that_changed_fail_the_job_and_missing_ones_leave_no_groups(site: ExpertJobs) -> None:
    """Groups of other counts would be other groups."""
    job_id = site.recomputed(("ce", "bal"), ("test",))
    sides = [side_of(site, job_id, expert) for expert in ("ce", "bal")]
    request = comparison_request(site, sides, [("ce", "bal")])
    _, outcome = compared(site, replace(request, counts_sha256=None))
    [pair] = outcome.pairs
    assert outcome.group_names == ()
    assert (pair.figure("tail_accuracy").difference, len(pair.flips)) == (None, 1)
    assert [recall.number for recall in pair.classes] == [0, 1, 2]
    site.write_counts([3, 30, 60])
    assert site.failure(site.store.submit(request)) == "train-counts-changed"


def test_pictures_that_cannot_be_read_are_left_out_with_the_reason(
    site: ExpertJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures do not need the images."""
    from app.domain.errors import RequestError

    def missing(*_: object) -> None:
        raise RequestError("data-missing", "There is no test.npz.")

    monkeypatch.setattr(site.context.pools, "get", missing)
    _, outcome = all_pairs(site)
    assert outcome.pictures_reason == "The images of base 'test' cannot be read: There is no test.npz."
    assert {flip.picture for pair in outcome.pairs for flip in pair.largest_flips} == {None}


def test_every_list_gets_its_first_entries_first() -> None:
    """So that the room for pictures is shared."""
    assert in_turns([2, 0, 3]) == [(0, 0), (2, 0), (0, 1), (2, 1), (2, 2)]
    assert in_turns([]) == []
