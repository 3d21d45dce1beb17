"""The audit of legacy lists over the real CIFAR-100 test set."""

from __future__ import annotations

import numpy as np
import pytest

from app.catalog.catalog import Catalog
from app.domain.checks import Check
from app.domain.errors import RequestError
from app.settings import Settings
from tests.realdata.location import REALDATA, needs_realdata
from worker.datasets.class_counts import read_long_tail
from worker.datasets.pools import Pools
from worker.splits.audit import AuditedList, AuditReport, audit
from worker.splits.duplicate_images import image_digests

pytestmark = needs_realdata

LISTS = ("val_lt", "test_lt", "tuneV", "all")
"""Those over the test set; the fourth legacy list is `train`."""

DATASETS = """
[legacy]
kind = "cifar100"
root = "."
splits = "legacy"
experts = "none"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[legacy.bases]
train = "train"
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> AuditReport:
    """Of the four legacy lists and one, `all`, of the whole test set; the train images are not there."""
    root = tmp_path_factory.mktemp("audit")
    (root / "datasets.toml").write_text(DATASETS)
    (root / "cifar-100-python").symlink_to((REALDATA / "cifar-100-python").resolve())
    (root / "legacy").symlink_to((REALDATA / "legacy" / "splits").resolve())
    catalog = Catalog(Settings(data_dir=root, _env_file=None))
    dataset = catalog.dataset("legacy")
    folder = catalog.splits_folder(dataset, None)
    pools = Pools(catalog.bases)
    pool = pools.get(dataset, "test")
    lists, problems = [AuditedList("all", "test", np.arange(10_000), pool.labels)], {}
    for name in catalog.split_names(folder):
        try:
            split = catalog.read_split(dataset, folder, name)
        except RequestError as error:
            problems[name] = error
        else:
            lists.append(AuditedList(name, split.base, split.indices, pool.labels[split.indices]))
    long_tail = read_long_tail(catalog, pools, dataset, folder)
    return audit(lists, problems, 100, {"test": image_digests(pool.images)}, long_tail)


def _one(report: AuditReport, name: str, check_id: str) -> Check:
    (check,) = [check for check in report.lists[name] if check.id == check_id]
    return check


def test_the_audit_passes_with_warnings(report: AuditReport) -> None:
    """Repeats and overlaps are no errors, nor is it one that the images of `train` are missing."""
    assert report.verdict == "passed"
    assert {check.verdict for check in report.lists["train"]} == {"skipped"}
    assert all("which is not there" in check.message for check in report.lists["train"])


def test_the_repeats_are_found(report: AuditReport) -> None:
    """In each of the legacy lists: rows that repeat a sample, and distinct samples."""
    repeats = {name: _one(report, name, "repeats") for name in LISTS}
    measured = {name: tuple(check.measured.values()) for name, check in repeats.items()}
    assert measured == {"val_lt": (418, 1986), "test_lt": (3581, 4570), "tuneV": (156, 1290), "all": (0, 10_000)}
    assert [name for name, check in repeats.items() if check.verdict == "failed"] == ["val_lt", "test_lt", "tuneV"]


def test_the_overlaps_are_those_of_the_readme(report: AuditReport) -> None:
    """In distinct samples, 1,309, 872 and 402; and each list lies in the whole test set."""
    overlaps = [check for check in report.checks if check.id == "overlap" and check.verdict == "failed"]
    assert {frozenset(check.measured["splits"]): check.measured["shared"] for check in overlaps} == {
        frozenset({"val_lt", "test_lt"}): 1309,
        frozenset({"test_lt", "tuneV"}): 872,
        frozenset({"val_lt", "tuneV"}): 402,
        frozenset({"all", "val_lt"}): 1986,
        frozenset({"all", "test_lt"}): 4570,
        frozenset({"all", "tuneV"}): 1290,
    }


def test_two_pictures_of_the_test_set_are_at_two_indices(report: AuditReport) -> None:
    """CIFAR-100's test set holds two of its pictures twice, pixel for pixel; `test_lt` has one of them twice."""
    check = _one(report, "all", "same-picture")
    assert (check.verdict, check.measured) == ("failed", {"pictures": 2})
    twins = [[place["index"] for place in picture["places"]] for picture in check.evidence]
    assert twins == [[3438, 7715], [4654, 6709]]
    found = {name: _one(report, name, "same-picture").measured["pictures"] for name in LISTS}
    assert found == {"val_lt": 0, "test_lt": 1, "tuneV": 0, "all": 2}


def test_what_the_lists_are_is_told(report: AuditReport) -> None:
    """The test set is balanced; the legacy lists are long-tailed and class-major."""
    balances = {name: _one(report, name, "balance").measured for name in LISTS}
    assert {name: (found["balance"], found["imbalance_factor"]) for name, found in balances.items()} == {
        "val_lt": ("long-tailed", 111),
        "test_lt": ("long-tailed", 94),
        "tuneV": ("long-tailed", 66),
        "all": ("balanced", 1),
    }
    orders = {name: _one(report, name, "row-order").measured["row_order"] for name in LISTS}
    assert orders == {name: ["class-major"] for name in LISTS} | {"all": ["ascending"]}
