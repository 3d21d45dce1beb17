"""Old logits and published ones, verified: what is right passes, and what is wrong is said to be."""

from __future__ import annotations

import io
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relogit
from app.catalog.catalog import Catalog
from app.settings import Settings
from tests.integration.workspace import Service, Workspace
from tests.realdata.location import REALDATA, needs_realdata
from worker.verify.lists import check_overlap

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

# Plain accuracy and mean over classes, in %, as the README of the real data gives them.
VAL_LT = {
    "ce_baseline": (62.73, 38.62),
    "balsoftmax_baseline": (58.90, 46.27),
    "logitadjust_baseline": (61.40, 49.46),
}
TUNEV = {"ce_baseline": 1.2, "balsoftmax_baseline": 0.5, "logitadjust_baseline": 0.5}
OVERLAPS = {("val_lt", "test_lt"): 1309, ("test_lt", "tuneV"): 872, ("val_lt", "tuneV"): 402}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The test images and the legacy lists; no checkpoint at all."""
    root = tmp_path_factory.mktemp("legacy")
    (root / "data" / "legacy").mkdir(parents=True)
    (root / "data" / "datasets.toml").write_text(DATASETS)
    (root / "data" / "cifar-100-python").symlink_to((REALDATA / "cifar-100-python").resolve())
    for path in (REALDATA / "legacy" / "splits").iterdir():
        (root / "data" / "legacy" / path.name).symlink_to(path.resolve())
    (root / "data" / "legacy" / "all_indices.json").write_text(json.dumps(list(range(10_000))))
    return Workspace(root)


@pytest.fixture(scope="module")
def found(service: Service) -> dict[tuple[str, str], dict[str, Any]]:
    """The results for the legacy logits, as the client has them; and under ("", "") the whole."""
    with relogit.Client(service.url) as client:
        verification = client.verify(REALDATA / "legacy" / "logits", dataset="legacy").wait()
        results = {(result["expert"], result["split"]): result for result in verification.data["results"]}
        causes = {(r["expert"], r["split"]): r for r in verification.analysis("causes")["results"]}
        return {key: {**result, "causes": causes[key]} for key, result in results.items()} | {
            ("", ""): verification.data
        }


def _failed(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["id"]: check for check in result["checks"] if check["verdict"] == "failed"}


@pytest.mark.parametrize("expert", VAL_LT)
def test_val_lt_passes_with_the_published_accuracies(
    found: dict[tuple[str, str], dict[str, Any]], expert: str
) -> None:
    """Right logits pass, with the accuracies of the README to two decimals; that samples repeat is a warning."""
    result = found[expert, "val_lt"]
    metrics = result["metrics"]
    assert result["verdict"] == "passed"
    assert (round(metrics["accuracy"] * 100, 2), round(metrics["balanced_accuracy"] * 100, 2)) == VAL_LT[expert]
    assert _failed(result).keys() == {"repeats"}
    assert _failed(result)["repeats"]["level"] == "warning"


@pytest.mark.parametrize("expert", TUNEV)
def test_tunev_fails_since_its_logits_belong_to_other_samples(
    found: dict[tuple[str, str], dict[str, Any]], expert: str
) -> None:
    """Right shapes, wrong images: an error that says so, and that the labels of `train` could not be tried."""
    result = found[expert, "tuneV"]
    assert result["verdict"] == "failed"
    assert round(result["metrics"]["accuracy"] * 100, 1) == TUNEV[expert]
    check = _failed(result)["accuracy"]
    assert check["level"] == "error"
    assert "do not belong to these samples" in check["message"]
    causes = result["causes"]["analysis"]
    assert causes["found"] is None
    assert [item["base"] for item in causes["untried"]] == ["train"]
    assert "which is not there" in causes["message"]


def test_the_whole_fails_and_experts_are_told_apart(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Three experts of one architecture are no copies of each other; the overlap of the lists is a warning."""
    checks = found["", ""]["checks"]
    assert found["", ""]["verdict"] == "failed"
    assert {check["verdict"] for check in checks if check["id"] == "duplicate-outputs"} == {"passed"}
    [overlap] = [check for check in checks if check["id"] == "overlap"]
    assert (overlap["level"], overlap["measured"]["shared"]) == ("warning", 402)


def test_the_overlaps_are_those_of_the_readme(workspace: Workspace) -> None:
    """In distinct samples, for each pair of lists over the test set."""
    settings = Settings(data_dir=workspace.root / "data", _env_file=None)
    catalog = Catalog(settings)
    dataset = catalog.dataset("legacy")
    folder = catalog.splits_folder(dataset, None)
    names = ("val_lt", "test_lt", "tuneV")
    lists = {name: catalog.read_split(dataset, folder, name).indices for name in names}
    shared = {tuple(check.measured["splits"]): check.measured["shared"] for check in check_overlap("test", lists)}
    assert shared.keys() == set(combinations(names, 2))
    assert {frozenset(pair): count for pair, count in shared.items()} == {
        frozenset(pair): count for pair, count in OVERLAPS.items()
    }


def test_the_published_logits_have_the_published_accuracy(service: Service, tmp_path: Path) -> None:
    """Somebody else's float32 logits for all 10,000 images: 70.16 % top-1 and 90.89 % top-5."""
    with np.load(REALDATA / "reference_logits" / "cifar100" / "cifar100_resnet32_test.npz") as arrays:
        logits, labels = arrays["logits"], arrays["labels"]
    body = io.BytesIO()
    np.savez(body, logits=logits, targets=labels.astype(np.int64), predictions=logits.argmax(1))
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "all_logits.npz").write_bytes(body.getvalue())
    with relogit.Client(service.url) as client:
        verification = client.verify(tmp_path, dataset="legacy").wait()
    [result] = verification.data["results"]
    assert (verification.data["verdict"], _failed(result)) == ("passed", {})
    assert round(result["metrics"]["accuracy"] * 100, 2) == 70.16
    assert round(result["metrics"]["top5_accuracy"] * 100, 2) == 90.89
