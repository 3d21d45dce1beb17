"""A set is compared with its declared counts and weights, and with its description."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from app.catalog.split_sets import DatasetDescription, ListDescription, list_sha256
from app.domain.checks import Check
from tests.unit.audited import (
    audited,
    declared_tail,
    described_as,
    listed,
    named,
    of_list,
)
from worker.datasets.class_counts import LongTail
from worker.splits.audit import LIST_CHECKS, AuditedList
from worker.splits.description import check_dataset


def _train_checks(*lists: AuditedList, declared: LongTail) -> dict[str, Check]:
    report = audited(*lists, long_tail=declared)
    assert report.verdict == "passed"  # they are warnings, all of them
    return {check_id: named(report.checks, check_id)[0] for check_id in ("class-counts", "class-weights")}


TRAIN = listed("train", 0, 1, 2, 3, 4, 10, 11, 12, 20, 21, base="train")
"""5, 3 and 2 rows."""


def test_counts_and_weights_that_fit_pass() -> None:
    """n_c as the train list has them, and w_c = n_c / Σ n."""
    checks = _train_checks(TRAIN, declared=declared_tail([5, 3, 2], [0.5, 0.3, 0.2]))
    assert {check.verdict for check in checks.values()} == {"passed"}


def test_counts_of_another_list_are_named_by_class() -> None:
    """The classes that differ are shown with both numbers; weights are held against the list, not the counts."""
    checks = _train_checks(TRAIN, declared=declared_tail([5, 4, 2], [5 / 11, 4 / 11, 2 / 11]))
    assert checks["class-counts"].measured == {"unlike": 1}
    assert checks["class-counts"].evidence == ({"class": 1, "counted": 3, "declared": 4},)
    assert [shown["expected"] for shown in checks["class-weights"].evidence] == [0.5, 0.3, 0.2]


def test_absent_counts_and_weights_are_warnings() -> None:
    """What is not there fails its check, with the reason, whether or not there is a train list."""
    for lists in ((TRAIN,), (listed("val", 0, 10, 20),)):
        checks = _train_checks(*lists, declared=declared_tail(None, None))
        assert {(check.verdict, check.level) for check in checks.values()} == {("failed", "warning")}
        assert "There is no train_class_counts.json." in checks["class-counts"].message
        assert "There is no class_weights.json." in checks["class-weights"].message


def test_counts_and_weights_of_other_classes_do_not_fit() -> None:
    """There is one number a class."""
    checks = _train_checks(TRAIN, declared=declared_tail([5, 3, 1, 1], [0.5, 0.3, 0.1, 0.1]))
    assert {check.measured for check in checks.values()} == {"an array of shape [4]"}
    assert {check.verdict for check in checks.values()} == {"failed"}


def test_without_a_train_list_counts_are_not_checked_but_weights_are_held_against_them() -> None:
    """The declared counts are then the only word on the shares."""
    checks = _train_checks(listed("val", 0, 10, 20), declared=declared_tail([6, 3, 1], [0.6, 0.2, 0.2]))
    assert (checks["class-counts"].verdict, checks["class-weights"].verdict) == ("skipped", "failed")
    assert "There is no list 'train'." in checks["class-counts"].message
    assert [shown["class"] for shown in checks["class-weights"].evidence] == [1, 2]


def test_what_is_described_of_a_list_is_held_against_it() -> None:
    """A list that is otherwise than described is a warning of its own; no other list's, and no error."""
    described = {"a": described_as(balance="long-tailed", row_order="shuffled"), "b": described_as()}
    report = audited(listed("a", 0, 10, 20), listed("b", 1, 11, 21), described=described)
    assert report.verdict == "passed"
    failed = {
        name: {check.id for check in checks if check.verdict == "failed"} for name, checks in report.lists.items()
    }
    assert failed == {"a": {"balance", "row-order"}, "b": set()}


def _fails(described: Mapping[str, ListDescription], *lists: AuditedList) -> dict[str, str]:
    """Messages of the failed `as-described`, by the list's name."""
    checks = {name: report[-1] for name, report in audited(*lists, described=described).lists.items()}
    assert {(check.id, check.level) for check in checks.values()} == {("as-described", "warning")}
    return {name: check.message for name, check in checks.items() if check.verdict == "failed"}


def test_a_list_has_the_rows_that_are_described() -> None:
    """Sorted, cut short or exchanged for others it is another list; what is not described is not held against it."""
    rows = described_as(size=3, sha256=list_sha256([20, 0, 10]))
    assert _fails({"a": rows, "b": described_as()}, listed("a", 20, 0, 10), listed("b", 7)) == {}
    assert "or their order" in _fails({"a": rows}, listed("a", 0, 10, 20))["a"]
    assert "it has 2 rows, and 3 are described" in _fails({"a": rows}, listed("a", 20, 0))["a"]


def test_lists_without_a_description_and_descriptions_without_a_list_are_named() -> None:
    """A list that was deleted has its place in the report, and fails no audit; a job that wants it is refused."""
    report = audited(
        listed("a", 0, 10, 20), listed("new", 1), described={"a": described_as(), "gone": described_as(size=3)}
    )
    assert of_list(report, "new", "as-described").verdict == "failed"
    gone = {check.id: check.verdict for check in report.lists["gone"]}
    assert list(gone) == list(LIST_CHECKS)
    assert gone.pop("as-described") == "failed"
    assert set(gone.values()) == {"skipped"}
    assert report.verdict == "passed"


def _overlaps(described: Mapping[str, ListDescription], *lists: AuditedList) -> dict[tuple[str, ...], str]:
    checks = named(audited(*lists, described=described).checks, "overlap")
    return {tuple(check.measured["splits"]): check.verdict for check in checks if check.measured}


def test_a_part_of_train_overlaps_it_without_a_warning() -> None:
    """That is what it is for. What they share is told all the same, and two parts may not share anything."""
    lists = (listed("train", 0, 1, 10, 20), listed("expert", 1, 10), listed("gating", 10, 20))
    described = {
        "train": described_as(),
        "expert": described_as(part_of="train"),
        "gating": described_as(part_of="train"),
    }
    assert _overlaps(described, *lists) == {
        ("train", "expert"): "passed", ("train", "gating"): "passed", ("expert", "gating"): "failed"
    }  # fmt: skip
    assert _fails(described, *lists) == {}
    checks = named(audited(*lists, described=described).checks, "overlap")
    assert "'train' and 'expert' share 2 samples" in checks[0].message


@pytest.mark.parametrize(
    ("whole", "part", "part_of", "said"),
    [
        (listed("train", 0, 1, 10), listed("part", 1, 2, 10), "train", "1 of its samples are not in 'train'"),
        (listed("test", 0, 1, 10), listed("part", 1, 10), "test", "only 'train' has parts"),
        (listed("train", 0, 1, base="train"), listed("part", 0, 1), "train", "another base, 'train'"),
        (listed("val", 0, 1), listed("part", 0, 1), "train", "is not there"),
        (listed("val", 0, 1), listed("part", 0, 1), "nosuch", "only 'train' has parts"),
    ],
)
def test_who_is_no_part_of_train_is_not_taken_for_one(
    whole: AuditedList, part: AuditedList, part_of: str, said: str
) -> None:
    """It is said so, and what the two share is leakage."""
    described = {whole.name: described_as(whole.base), "part": described_as(part.base, part_of=part_of)}
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
