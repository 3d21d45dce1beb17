"""The audit of a set of splits."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from app.domain.checks import MAX_EVIDENCE
from app.domain.errors import RequestError
from tests.unit.audited import (
    audited,
    declared_tail,
    described_as,
    listed,
    named,
    of_list,
    picture_digests,
    refusal,
)
from worker.splits.audit import LIST_CHECKS
from worker.splits.duplicate_images import image_digests


def test_every_list_has_every_check_in_order() -> None:
    """Sound or not, a list has all the checks with their levels, so that a reader finds each at its place."""
    report = audited(listed("val", 0, 10, 20), listed("none"), problems={"bad": refusal(b"{}")})
    for checks in report.lists.values():
        assert {check.id: check.level for check in checks} == LIST_CHECKS
        assert [check.id for check in checks] == list(LIST_CHECKS)
    assert list(report.lists) == ["val", "none", "bad"]
    verdicts = {check.id: check.verdict for check in report.lists["val"]}
    assert verdicts.pop("as-described") == "skipped"  # nothing is
    assert set(verdicts.values()) == {"passed"}
    assert [check.id for check in report.lists["none"] if check.fatal] == ["empty"]


@pytest.mark.parametrize(
    ("problem", "failing", "evidence"),
    [
        (refusal(b"{}"), "schema", ()),
        (refusal(b"[]"), "empty", ()),
        (refusal(b"[1, 2.0]"), "schema", (1,)),
        (refusal(b"[1, 2, 30]"), "range", (2,)),
        (RequestError("invalid-name", "There is no such base."), "schema", ()),
        (RequestError("base-unknown", "There is no such base."), "schema", ()),
    ],
)
def test_what_the_catalog_refuses_is_an_error(problem: RequestError, failing: str, evidence: tuple[int, ...]) -> None:
    """Such a list fails the audit with the catalog's words and the first offender; no check after it is done."""
    report = audited(listed("test", 0, 10, 20), problems={"val": problem})
    assert report.verdict == "failed"
    check = of_list(report, "val", failing)
    assert (check.verdict, check.level, check.evidence) == ("failed", "error", evidence)
    assert check.message == problem.message
    place = list(LIST_CHECKS).index(failing)
    assert {other.verdict for other in report.lists["val"][:place]} <= {"passed"}
    assert {other.verdict for other in report.lists["val"][place + 1 :]} == {"skipped"}


def test_a_base_that_is_missing_is_no_fault_of_its_lists() -> None:
    """Its lists' checks are skipped with the reason, also among the comparisons; the audit does not fail for it."""
    problem = RequestError("data-missing", "The base 'train' needs a file.")
    report = audited(
        listed("test", 0, 10, 20), problems={"train": problem}, long_tail=declared_tail([5, 3, 2], [0.5, 0.3, 0.2])
    )
    assert report.verdict == "passed"
    assert {(check.verdict, check.message) for check in report.lists["train"]} == {("skipped", problem.message)}
    last = {check.id: check for check in report.checks}  # of several, the last
    left_out = "'train' was compared with no other list: The base 'train' needs a file."
    assert last["overlap"].message == last["same-picture"].message == left_out
    assert last["class-counts"].message == "There is nothing to count: The base 'train' needs a file."
    assert {last[name].verdict for name in ("overlap", "same-picture", "class-counts")} == {"skipped"}
    assert last["class-weights"].verdict == "passed"


def test_repeats_and_missing_classes_are_warnings_of_their_list() -> None:
    """They are found in the list that has them, and fail no audit."""
    report = audited(listed("val", 0, 0, 11), listed("test", 1, 12, 22))
    assert report.verdict == "passed"
    assert of_list(report, "val", "repeats").measured == {"repeated_rows": 1, "distinct": 2}
    assert of_list(report, "val", "missing-classes").evidence == (2,)
    failed = {check.id for check in report.lists["val"] if check.verdict == "failed"}
    assert failed == {"repeats", "missing-classes"}
    assert {check.verdict for check in report.lists["test"]} == {"passed", "skipped"}


def test_lists_overlap_within_a_base_only() -> None:
    """An index of another base is another sample; over one base each pair of lists is a check."""
    report = audited(
        listed("train", 0, 10, 20, base="train"), listed("val", 0, 10, 21), listed("test", 10, 0), listed("tunev", 5)
    )
    overlaps = {tuple(check.measured["splits"]): check for check in named(report.checks, "overlap") if check.measured}
    assert {pair: check.measured["shared"] for pair, check in overlaps.items()} == {
        ("val", "test"): 2,
        ("val", "tunev"): 0,
        ("test", "tunev"): 0,
    }
    assert overlaps["val", "test"].evidence == ({"index": 0}, {"index": 10})


def test_a_picture_at_two_indices_of_a_list_is_found_by_its_pixels() -> None:
    """Counted once, with the digest's beginning and all of its places; the same index twice is a repeat instead."""
    pictures = [*range(30)]
    pictures[25] = pictures[3] = 7
    report = audited(listed("val", 25, 3, 7, 9, 9), digests={"test": picture_digests(*pictures)})
    check = of_list(report, "val", "same-picture")
    assert (check.verdict, check.measured) == ("failed", {"pictures": 1})
    places = [{"list": "val", "base": "test", "index": index} for index in (3, 7, 25)]
    digest = hashlib.blake2b(bytes([7, 7, 7]), digest_size=16).hexdigest()[:12]
    assert check.evidence == ({"digest": digest, "places": places},)


def test_a_picture_in_two_lists_is_found_across_bases() -> None:
    """Train and test share no index, yet they may share a picture; that is said of the whole set, not of either."""
    train, test = [*range(30, 60)], [*range(30)]
    train[4] = test[8]
    lists = (listed("train", 4, 5, base="train"), listed("test", 4, 8), listed("val", 5))
    report = audited(*lists, digests={"train": picture_digests(*train), "test": picture_digests(*test)})
    (check,) = named(report.checks, "same-picture")
    assert (check.verdict, check.level) == ("failed", "warning")
    assert check.measured == {"splits": ["train", "test"], "pictures": 1}
    assert "1 picture is in 'train' and, at another index, in 'test';" in check.message
    assert len(check.evidence) == 1
    assert [place["list"] for place in check.evidence[0]["places"]] == ["train", "test"]
    assert [(place["base"], place["index"]) for place in check.evidence[0]["places"]] == [("train", 4), ("test", 8)]
    assert {of_list(report, name, "same-picture").verdict for name in report.lists} == {"passed"}


def test_pictures_that_no_list_has_and_shared_indices_are_not_the_same_picture() -> None:
    """A twin outside all lists harms nothing, a shared index is an overlap, and twins of one list are its own."""
    pictures = [*range(30)]
    pictures[29] = pictures[28] = 0  # 29 is in one list beside 28; 0 is in none
    digests = {"test": picture_digests(*pictures)}
    assert named(audited(listed("a", 1, 2), listed("b", 2, 29), digests=digests).checks, "same-picture")[
        0
    ].verdict == ("passed")
    report = audited(listed("a", 1, 2), listed("b", 28, 29), digests=digests)
    assert named(report.checks, "same-picture")[0].verdict == "passed"
    assert of_list(report, "b", "same-picture").measured == {"pictures": 1}


def test_a_part_may_hold_the_twin_of_a_picture_in_its_whole() -> None:
    """Train and its own part are one; two parts of it, or a list that is no part, are different lists."""
    pictures = [*range(30)]
    pictures[3] = pictures[2]
    digests, whole = {"test": picture_digests(*pictures)}, listed("train", 2, 3, 14, 25)
    lists = (whole, listed("expert", 2, 14), listed("gating", 25))
    described = {
        "train": described_as(),
        "expert": described_as(part_of="train"),
        "gating": described_as(part_of="train"),
    }
    (check,) = named(audited(*lists, digests=digests, described=described).checks, "same-picture")
    assert (check.verdict, check.measured) == ("passed", {"pictures": 0})
    (alone,) = named(audited(*lists[:2], digests=digests, described=described).checks, "same-picture")
    assert alone.verdict == "skipped"
    more = (whole, listed("expert", 2, 14), listed("gating", 3, 25), listed("val", 2, 4))
    checks = named(
        audited(*more, digests=digests, described=described | {"val": described_as()}).checks, "same-picture"
    )
    assert {tuple(check.measured["splits"]) for check in checks} == {
        ("train", "val"), ("expert", "gating"), ("gating", "val")
    }  # fmt: skip


def test_the_evidence_of_pictures_is_bounded() -> None:
    """Ten pictures and ten places of each are shown, however many there are."""
    one, pairs = picture_digests(*[5] * 30), picture_digests(*[*range(15)] * 2)
    black = audited(listed("val", *range(30)), listed("all", *range(30)), digests={"test": one})
    for check in (of_list(black, "val", "same-picture"), named(black.checks, "same-picture")[0]):
        assert check.measured["pictures"] == 1
        assert [len(picture["places"]) for picture in check.evidence] == [MAX_EVIDENCE]
    check = of_list(audited(listed("val", *range(30)), digests={"test": pairs}), "val", "same-picture")
    assert (check.measured, len(check.evidence)) == ({"pictures": 15}, MAX_EVIDENCE)


def test_without_pixels_pictures_are_skipped_with_the_reason() -> None:
    """Lists whose base cannot be seen are named; the others are compared all the same."""
    lists = (listed("train", 0, base="train"), listed("a", 1), listed("b", 2))
    twins = picture_digests(0, 9, 9, *range(10, 37))
    report = audited(*lists, digests={"train": "No images of 'train'.", "test": twins})
    assert of_list(report, "train", "same-picture").message == "No images of 'train'."
    done, left_out = named(report.checks, "same-picture")
    assert (done.verdict, done.measured) == ("failed", {"splits": ["a", "b"], "pictures": 1})
    assert (left_out.verdict, "'train'" in left_out.message) == ("skipped", True)
    alone = audited(listed("a", 1), digests={"train": "No images."})
    assert named(alone.checks, "same-picture")[0].verdict == "skipped"


def test_a_digest_depends_on_every_pixel_and_on_nothing_else() -> None:
    """Equal images have equal digests wherever and however they lie in memory; one bit more is another picture."""
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 7), dtype=np.uint8)
    turned = images.transpose(0, 2, 3, 1)  # not contiguous
    digests = image_digests(turned)
    assert digests.shape == (4,)
    expected = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in turned]
    assert [digest.tobytes() for digest in digests] == expected
    images[2, 1, 4, 6] ^= 1
    np.testing.assert_array_equal(image_digests(turned) == digests, [True, True, False, True])
    assert image_digests(turned[:0]).shape == (0,)
