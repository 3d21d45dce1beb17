"""The audit of legacy lists over the real CIFAR-100 test set."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from app.catalog import Catalog
from app.errors import RequestError
from app.settings import Settings
from tests.realdata.location import REALDATA, needs_realdata
from worker.long_tail import read_long_tail
from worker.pools import Pools
from worker.splits.audit import AuditedList, AuditReport, audit
from worker.splits.pictures import image_digests
from worker.verify.check import Check

pytestmark = needs_realdata

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
    catalog = Catalog(Settings(data_dir=Path(root), _env_file=None))
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


def test_dump(report: AuditReport) -> None:
    import json
    print(json.dumps(report.to_dict(), indent=0)[:60000])
