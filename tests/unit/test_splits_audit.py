"""The audit of a set of splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.catalog.split_lists import parse_indices
from app.catalog.split_sets import DatasetDescription, ListDescription, list_sha256
from app.domain.checks import MAX_EVIDENCE, Check
from app.domain.errors import RelogitError, RequestError
from worker.datasets.class_counts import LongTail
from worker.splits.audit import LIST_CHECKS, AuditedList, AuditReport, audit
from worker.splits.description import check_dataset
from worker.splits.duplicate_images import image_digests

NOTHING = LongTail(None, "There are no counts.", None, "There are no weights.")
LABELS = np.repeat(np.arange(3), 10)
"""Of a base of 30 images, sorted by class."""


def _list(name: str, *indices: int, base: str = "test") -> AuditedList:
    rows = np.array(indices, dtype=np.int64)
    return AuditedList(name, base, rows, LABELS[rows])


def _said(base: str = "test", **more: Any) -> ListDescription:
    return ListDescription(base=base, **more)


def _digests(*pictures: int) -> NDArray[np.void]:
    """Of images that show the given pictures; equal numbers are equal pictures."""
    return image_digests(np.array(pictures, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(3, axis=3))


def _audit(
    *lists: AuditedList,
    problems: Mapping[str, RelogitError] | None = None,
    digests: Mapping[str, NDArray[np.void] | str] | None = None,
    long_tail: LongTail = NOTHING,
    described: Mapping[str, ListDescription] | None = None,
) -> AuditReport:
    every = {"test": _digests(*range(30)), "train": _digests(*range(30, 60))}
    report = audit(lists, problems or {}, 3, every | dict(digests or {}), long_tail, described)
    json.dumps(report.to_dict(), allow_nan=False)
    return report


def _named(checks: tuple[Check, ...], check_id: str) -> list[Check]:
    return [check for check in checks if check.id == check_id]


def _of_list(report: AuditReport, name: str, check_id: str) -> Check:
    (check,) = _named(report.lists[name], check_id)
    return check


def _refusal(data: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse_indices(data, "val_indices.json", "test", 30)
    return caught.value


# --- lists that cannot be used --------------------------------------------------------------------


def test_every_list_has_every_check_in_order() -> None:
    """Sound or not, a list has all the checks with their levels, so that a reader finds each at its place."""
    report = _audit(_list("val", 0, 10, 20), _list("none"), problems={"bad": _refusal(b"{}")})
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
        (_refusal(b"{}"), "schema", ()),
        (_refusal(b"[]"), "empty", ()),
        (_refusal(b"[1, 2.0]"), "schema", (1,)),
        (_refusal(b"[1, 2, 30]"), "range", (2,)),
        (RequestError("invalid-name", "There is no such base."), "schema", ()),
        (RequestError("base-unknown", "There is no such base."), "schema", ()),
    ],
)
def test_what_the_catalog_refuses_is_an_error(problem: RequestError, failing: str, evidence: tuple[int, ...]) -> None:
    """Such a list fails the audit with the catalog's words and the first offender; no check after it is done."""
    report = _audit(_list("test", 0, 10, 20), problems={"val": problem})
    assert report.verdict == "failed"
    check = _of_list(report, "val", failing)
    assert (check.verdict, check.level, check.evidence) == ("failed", "error", evidence)
    assert check.message == problem.message
    place = list(LIST_CHECKS).index(failing)
    assert {other.verdict for other in report.lists["val"][:place]} <= {"passed"}
    assert {other.verdict for other in report.lists["val"][place + 1 :]} == {"skipped"}


def test_a_base_that_is_missing_is_no_fault_of_its_lists() -> None:
    """Its lists' checks are skipped with the reason, also among the comparisons; the audit does not fail for it."""
    problem = RequestError("data-missing", "The base 'train' needs a file.")
    report = _audit(
        _list("test", 0, 10, 20), problems={"train": problem}, long_tail=_declared([5, 3, 2], [0.5, 0.3, 0.2])
    )
    assert report.verdict == "passed"
    assert {(check.verdict, check.message) for check in report.lists["train"]} == {("skipped", problem.message)}
    last = {check.id: check for check in report.checks}  # of several, the last
    left_out = "'train' was compared with no other list: The base 'train' needs a file."
    assert last["overlap"].message == last["same-picture"].message == left_out
    assert last["class-counts"].message == "There is nothing to count: The base 'train' needs a file."
    assert {last[name].verdict for name in ("overlap", "same-picture", "class-counts")} == {"skipped"}
    assert last["class-weights"].verdict == "passed"


# --- repeats, overlaps, pictures ------------------------------------------------------------------


def test_repeats_and_missing_classes_are_warnings_of_their_list() -> None:
    """They are found in the list that has them, and fail no audit."""
    report = _audit(_list("val", 0, 0, 11), _list("test", 1, 12, 22))
    assert report.verdict == "passed"
    assert _of_list(report, "val", "repeats").measured == {"repeated_rows": 1, "distinct": 2}
    assert _of_list(report, "val", "missing-classes").evidence == (2,)
    failed = {check.id for check in report.lists["val"] if check.verdict == "failed"}
    assert failed == {"repeats", "missing-classes"}
    assert {check.verdict for check in report.lists["test"]} == {"passed", "skipped"}


def test_lists_overlap_within_a_base_only() -> None:
    """An index of another base is another sample; over one base each pair of lists is a check."""
    report = _audit(
        _list("train", 0, 10, 20, base="train"), _list("val", 0, 10, 21), _list("test", 10, 0), _list("tunev", 5)
    )
    overlaps = {
        tuple(check.measured["splits"]): check for check in _named(report.checks, "overlap") if check.measured
    }
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
    report = _audit(_list("val", 25, 3, 7, 9, 9), digests={"test": _digests(*pictures)})
    check = _of_list(report, "val", "same-picture")
    assert (check.verdict, check.measured) == ("failed", {"pictures": 1})
    places = [{"list": "val", "base": "test", "index": index} for index in (3, 7, 25)]
    digest = hashlib.blake2b(bytes([7, 7, 7]), digest_size=16).hexdigest()[:12]
    assert check.evidence == ({"digest": digest, "places": places},)


def test_a_picture_in_two_lists_is_found_across_bases() -> None:
    """Train and test share no index, yet they may share a picture; that is said of the whole set, not of either."""
    train, test = [*range(30, 60)], [*range(30)]
    train[4] = test[8]
    lists = (_list("train", 4, 5, base="train"), _list("test", 4, 8), _list("val", 5))
    report = _audit(*lists, digests={"train": _digests(*train), "test": _digests(*test)})
    (check,) = _named(report.checks, "same-picture")
    assert (check.verdict, check.level) == ("failed", "warning")
    assert check.measured == {"splits": ["train", "test"], "pictures": 1}
    assert "1 picture is in 'train' and, at another index, in 'test';" in check.message
    assert len(check.evidence) == 1
    assert [place["list"] for place in check.evidence[0]["places"]] == ["train", "test"]
    assert [(place["base"], place["index"]) for place in check.evidence[0]["places"]] == [("train", 4), ("test", 8)]
    assert {_of_list(report, name, "same-picture").verdict for name in report.lists} == {"passed"}


def test_pictures_that_no_list_has_and_shared_indices_are_not_the_same_picture() -> None:
    """A twin outside all lists harms nothing, a shared index is an overlap, and twins of one list are its own."""
    pictures = [*range(30)]
    pictures[29] = pictures[28] = 0  # 29 is in one list beside 28; 0 is in none
    digests = {"test": _digests(*pictures)}
    assert _named(_audit(_list("a", 1, 2), _list("b", 2, 29), digests=digests).checks, "same-picture")[0].verdict == (
        "passed"
    )
    report = _audit(_list("a", 1, 2), _list("b", 28, 29), digests=digests)
    assert _named(report.checks, "same-picture")[0].verdict == "passed"
    assert _of_list(report, "b", "same-picture").measured == {"pictures": 1}


def test_a_part_may_hold_the_twin_of_a_picture_in_its_whole() -> None:
    """Train and its own part are one; two parts of it, or a list that is no part, are different lists."""
    pictures = [*range(30)]
    pictures[3] = pictures[2]
    digests, whole = {"test": _digests(*pictures)}, _list("train", 2, 3, 14, 25)
    lists = (whole, _list("expert", 2, 14), _list("gating", 25))
    described = {"train": _said(), "expert": _said(part_of="train"), "gating": _said(part_of="train")}
    (check,) = _named(_audit(*lists, digests=digests, described=described).checks, "same-picture")
    assert (check.verdict, check.measured) == ("passed", {"pictures": 0})
    (alone,) = _named(_audit(*lists[:2], digests=digests, described=described).checks, "same-picture")
    assert alone.verdict == "skipped"
    more = (whole, _list("expert", 2, 14), _list("gating", 3, 25), _list("val", 2, 4))
    checks = _named(_audit(*more, digests=digests, described=described | {"val": _said()}).checks, "same-picture")
    assert {tuple(check.measured["splits"]) for check in checks} == {
        ("train", "val"), ("expert", "gating"), ("gating", "val")
    }  # fmt: skip


def test_the_evidence_of_pictures_is_bounded() -> None:
    """Ten pictures and ten places of each are shown, however many there are."""
    one, pairs = _digests(*[5] * 30), _digests(*[*range(15)] * 2)
    black = _audit(_list("val", *range(30)), _list("all", *range(30)), digests={"test": one})
    for check in (_of_list(black, "val", "same-picture"), _named(black.checks, "same-picture")[0]):
        assert check.measured["pictures"] == 1
        assert [len(picture["places"]) for picture in check.evidence] == [MAX_EVIDENCE]
    check = _of_list(_audit(_list("val", *range(30)), digests={"test": pairs}), "val", "same-picture")
    assert (check.measured, len(check.evidence)) == ({"pictures": 15}, MAX_EVIDENCE)


def test_without_pixels_pictures_are_skipped_with_the_reason() -> None:
    """Lists whose base cannot be seen are named; the others are compared all the same."""
    lists = (_list("train", 0, base="train"), _list("a", 1), _list("b", 2))
    twins = _digests(0, 9, 9, *range(10, 37))
    report = _audit(*lists, digests={"train": "No images of 'train'.", "test": twins})
    assert _of_list(report, "train", "same-picture").message == "No images of 'train'."
    done, left_out = _named(report.checks, "same-picture")
    assert (done.verdict, done.measured) == ("failed", {"splits": ["a", "b"], "pictures": 1})
    assert (left_out.verdict, "'train'" in left_out.message) == ("skipped", True)
    alone = _audit(_list("a", 1), digests={"train": "No images."})
    assert _named(alone.checks, "same-picture")[0].verdict == "skipped"


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


# --- counts and weights ---------------------------------------------------------------------------


def _declared(counts: list[int] | None, weights: list[float] | None) -> LongTail:
    return LongTail(
        None if counts is None else np.array(counts),
        None if counts is not None else "There is no train_class_counts.json.",
        None if weights is None else np.array(weights),
        None if weights is not None else "There is no class_weights.json.",
    )


def _train_checks(*lists: AuditedList, declared: LongTail) -> dict[str, Check]:
    report = _audit(*lists, long_tail=declared)
    assert report.verdict == "passed"  # they are warnings, all of them
    return {check_id: _named(report.checks, check_id)[0] for check_id in ("class-counts", "class-weights")}


TRAIN = _list("train", 0, 1, 2, 3, 4, 10, 11, 12, 20, 21, base="train")
"""5, 3 and 2 rows."""


def test_counts_and_weights_that_fit_pass() -> None:
    """n_c as the train list has them, and w_c = n_c / Σ n."""
    checks = _train_checks(TRAIN, declared=_declared([5, 3, 2], [0.5, 0.3, 0.2]))
    assert {check.verdict for check in checks.values()} == {"passed"}


def test_counts_of_another_list_are_named_by_class() -> None:
    """The classes that differ are shown with both numbers; weights are held against the list, not the counts."""
    checks = _train_checks(TRAIN, declared=_declared([5, 4, 2], [5 / 11, 4 / 11, 2 / 11]))
    assert checks["class-counts"].measured == {"unlike": 1}
    assert checks["class-counts"].evidence == ({"class": 1, "counted": 3, "declared": 4},)
    assert [shown["expected"] for shown in checks["class-weights"].evidence] == [0.5, 0.3, 0.2]


def test_absent_counts_and_weights_are_warnings() -> None:
    """What is not there fails its check, with the reason, whether or not there is a train list."""
    for lists in ((TRAIN,), (_list("val", 0, 10, 20),)):
        checks = _train_checks(*lists, declared=_declared(None, None))
        assert {(check.verdict, check.level) for check in checks.values()} == {("failed", "warning")}
        assert "There is no train_class_counts.json." in checks["class-counts"].message
        assert "There is no class_weights.json." in checks["class-weights"].message


def test_counts_and_weights_of_other_classes_do_not_fit() -> None:
    """There is one number a class."""
    checks = _train_checks(TRAIN, declared=_declared([5, 3, 1, 1], [0.5, 0.3, 0.1, 0.1]))
    assert {check.measured for check in checks.values()} == {"an array of shape [4]"}
    assert {check.verdict for check in checks.values()} == {"failed"}


def test_without_a_train_list_counts_are_not_checked_but_weights_are_held_against_them() -> None:
    """The declared counts are then the only word on the shares."""
    checks = _train_checks(_list("val", 0, 10, 20), declared=_declared([6, 3, 1], [0.6, 0.2, 0.2]))
    assert (checks["class-counts"].verdict, checks["class-weights"].verdict) == ("skipped", "failed")
    assert "There is no list 'train'." in checks["class-counts"].message
    assert [shown["class"] for shown in checks["class-weights"].evidence] == [1, 2]


def test_what_is_described_of_a_list_is_held_against_it() -> None:
    """A list that is otherwise than described is a warning of its own; no other list's, and no error."""
    described = {"a": _said(balance="long-tailed", row_order="shuffled"), "b": _said()}
    report = _audit(_list("a", 0, 10, 20), _list("b", 1, 11, 21), described=described)
    assert report.verdict == "passed"
    failed = {
        name: {check.id for check in checks if check.verdict == "failed"} for name, checks in report.lists.items()
    }
    assert failed == {"a": {"balance", "row-order"}, "b": set()}


# --- what is described ----------------------------------------------------------------------------


def _fails(described: Mapping[str, ListDescription], *lists: AuditedList) -> dict[str, str]:
    """Messages of the failed `as-described`, by the list's name."""
    checks = {name: report[-1] for name, report in _audit(*lists, described=described).lists.items()}
    assert {(check.id, check.level) for check in checks.values()} == {("as-described", "warning")}
    return {name: check.message for name, check in checks.items() if check.verdict == "failed"}


def test_a_list_has_the_rows_that_are_described() -> None:
    """Sorted, cut short or exchanged for others it is another list; what is not described is not held against it."""
    rows = _said(size=3, sha256=list_sha256([20, 0, 10]))
    assert _fails({"a": rows, "b": _said()}, _list("a", 20, 0, 10), _list("b", 7)) == {}
    assert "or their order" in _fails({"a": rows}, _list("a", 0, 10, 20))["a"]
    assert "it has 2 rows, and 3 are described" in _fails({"a": rows}, _list("a", 20, 0))["a"]


def test_lists_without_a_description_and_descriptions_without_a_list_are_named() -> None:
    """A list that was deleted has its place in the report, and fails no audit; a job that wants it is refused."""
    report = _audit(_list("a", 0, 10, 20), _list("new", 1), described={"a": _said(), "gone": _said(size=3)})
    assert _of_list(report, "new", "as-described").verdict == "failed"
    gone = {check.id: check.verdict for check in report.lists["gone"]}
    assert list(gone) == list(LIST_CHECKS)
    assert gone.pop("as-described") == "failed"
    assert set(gone.values()) == {"skipped"}
    assert report.verdict == "passed"


def _overlaps(described: Mapping[str, ListDescription], *lists: AuditedList) -> dict[tuple[str, ...], str]:
    checks = _named(_audit(*lists, described=described).checks, "overlap")
    return {tuple(check.measured["splits"]): check.verdict for check in checks if check.measured}


def test_a_part_of_train_overlaps_it_without_a_warning() -> None:
    """That is what it is for. What they share is told all the same, and two parts may not share anything."""
    lists = (_list("train", 0, 1, 10, 20), _list("expert", 1, 10), _list("gating", 10, 20))
    described = {"train": _said(), "expert": _said(part_of="train"), "gating": _said(part_of="train")}
    assert _overlaps(described, *lists) == {
        ("train", "expert"): "passed", ("train", "gating"): "passed", ("expert", "gating"): "failed"
    }  # fmt: skip
    assert _fails(described, *lists) == {}
    checks = _named(_audit(*lists, described=described).checks, "overlap")
    assert "'train' and 'expert' share 2 samples" in checks[0].message


@pytest.mark.parametrize(
    ("whole", "part", "part_of", "said"),
    [
        (_list("train", 0, 1, 10), _list("part", 1, 2, 10), "train", "1 of its samples are not in 'train'"),
        (_list("test", 0, 1, 10), _list("part", 1, 10), "test", "only 'train' has parts"),
        (_list("train", 0, 1, base="train"), _list("part", 0, 1), "train", "another base, 'train'"),
        (_list("val", 0, 1), _list("part", 0, 1), "train", "is not there"),
        (_list("val", 0, 1), _list("part", 0, 1), "nosuch", "only 'train' has parts"),
    ],
)
def test_who_is_no_part_of_train_is_not_taken_for_one(
    whole: AuditedList, part: AuditedList, part_of: str, said: str
) -> None:
    """It is said so, and what the two share is leakage."""
    described = {whole.name: _said(whole.base), "part": _said(part.base, part_of=part_of)}
    assert said in _fails(described, whole, part)["part"]
    assert set(_overlaps(described, whole, part).values()) <= {"failed"}


def test_a_set_belongs_to_the_labels_that_it_was_drawn_from() -> None:
    """And to the data set that it was made for. Labels that are not available are named and not compared."""
    labels = {"test": np.array([0, 1, 2]), "train": np.array([2, 1])}
    said = DatasetDescription(name="a", labels_sha256={"test": list_sha256([0, 1, 2]), "train": list_sha256([2, 1])})
    assert check_dataset(said, ["a", "b"], labels).verdict == "passed"
    other = check_dataset(said, ["b"], labels)
    assert (other.verdict, "'a', not for 'b'" in other.message) == ("failed", True)
    relabelled = check_dataset(said, ["a"], labels | {"train": np.array([2, 2])})
    assert (relabelled.verdict, "the labels of 'train'" in relabelled.message) == ("failed", True)
    away = check_dataset(said, [], {"test": labels["test"]})
    assert (away.verdict, "train are not available" in away.message) == ("passed", True)
    for nothing in (None, DatasetDescription(), DatasetDescription(labels_sha256={"x": ""})):
        assert check_dataset(nothing, ["a"], labels).verdict == "skipped"
