"""The audit of a set of splits as it lies on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.catalog.split_sets import list_sha256
from app.store.inspection_requests.splits import AuditRequest, GroupsRequest
from tests.fakes import DIGITS, Home, refused
from tests.unit.mapped import mapped
from worker.datasets.pools import Pools
from worker.inspections.audit import Auditor

LABELS = {"test": [0, 1, 2] * 2, "train": [0, 1, 2] * 3}
LISTS = {"test": ("test", [0, 1, 2]), "val": ("test", [4, 3, 5]), "train": ("train", [0, 3, 1])}


@pytest.fixture
def folder(home: Home) -> Path:
    """A set that is all that its description says."""
    folder = home.data / "lt"
    folder.mkdir()
    described: dict[str, Any] = {"dataset": {"name": "digits"}, "lists": {}}
    described["dataset"]["labels_sha256"] = {base: list_sha256(labels) for base, labels in LABELS.items()}
    for name, (base, indices) in LISTS.items():
        (folder / f"{name}_indices.json").write_text(json.dumps(indices))
        described["lists"][name] = {"base": base, "size": len(indices), "sha256": list_sha256(indices)}
    (folder / "splits.json").write_text(json.dumps(described))
    return folder


def _audited(home: Home, name: str = "lt") -> dict[str, Any]:
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    question = AuditRequest.of(dataset, catalog.splits_folder(dataset, name), catalog)
    return Auditor(catalog, Pools(catalog.bases)).audit(question)


def _failed(found: dict[str, Any], check_id: str = "as-described") -> dict[str, str]:
    """Messages by the list's name; of the whole set under no name."""
    every = {**found["lists"], "": found["checks"]}
    return {
        name: check["message"]
        for name, checks in every.items()
        for check in checks
        if (check["id"], check["verdict"]) == (check_id, "failed")
    }


def _describe(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "splits.json"
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))


def test_a_set_that_is_what_it_says_passes(home: Home, folder: Path) -> None:
    """Lists that were written anew with other spaces are the same lists; the answer has the files' own sha256."""
    (folder / "val_indices.json").write_text("[4,\n3,\n5]")
    found = _audited(home)
    assert (found["verdict"], _failed(found)) == ("passed", {})
    [whole] = [check for check in found["checks"] if check["id"] == "as-described"]
    assert whole["verdict"] == "passed"
    data = (folder / "val_indices.json").read_bytes()
    assert found["sha256"].keys() == LISTS.keys()
    assert found["sha256"]["val"] == hashlib.sha256(data).hexdigest()


def test_a_rewritten_list_is_another_question(home: Home, folder: Path) -> None:
    """Also where its times stay; the old question, put again, has no answer that could be kept."""
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    place = catalog.splits_folder(dataset, "lt")
    with mapped(folder / "val_indices.json") as rewriter:
        before = AuditRequest.of(dataset, place, catalog)
        rewriter.write(b"[3, 4, 5]")
        after = AuditRequest.of(dataset, place, catalog)
    assert after.key != before.key
    auditor = Auditor(catalog, Pools(catalog.bases))
    assert auditor.audit(after)["sha256"] == after.lists
    with refused("file-changed"):
        auditor.audit(before)


def test_lists_that_were_changed_or_deleted_are_named(home: Home, folder: Path) -> None:
    """The same samples in another order are other rows of logits."""
    (folder / "val_indices.json").write_text("[3, 4, 5]")
    (folder / "test_indices.json").unlink()
    (folder / "more_indices.json").write_text("[5]")
    assert _failed(_audited(home)).keys() == {"val", "test", "more"}


def test_labels_that_were_changed_are_named(home: Home, folder: Path) -> None:
    """Also those of a base that no list is left of."""
    (folder / "train_indices.json").unlink()
    _describe(folder, lambda described: described["lists"].pop("train"))
    np.savez(home.data / "digits" / "train.npz", images=np.zeros((9, 2, 2, 3), np.uint8), labels=np.zeros(9, int))
    found = _failed(_audited(home))
    assert found.keys() == {""}
    assert "labels of 'train'" in found[""]


def test_a_set_of_another_data_set_is_named(home: Home, folder: Path) -> None:
    """It is the name in datasets.toml that counts, so a data set of two names has the sets of both."""
    home.declare(DIGITS + DIGITS.replace("[digits", "[twin"))
    assert _failed(_audited(home)) == {}
    home.declare(DIGITS.replace('splits = "digits_splits"', 'splits = "lt"') + DIGITS.replace("[digits", "[twin"))
    _describe(folder, lambda described: described["dataset"].update(name="twin"))
    assert "'twin', not for 'digits'" in _failed(_audited(home))[""]


@pytest.mark.parametrize("base", ["nosuch", "../x"])
def test_a_base_that_the_data_set_does_not_have_fails_the_audit(home: Home, folder: Path, base: str) -> None:
    """A job that names the list is refused. The other lists are audited all the same, and so are its groups."""
    _describe(folder, lambda described: described["lists"]["train"].update(base=base))
    found = _audited(home)
    assert found["verdict"] == "failed"
    assert base in _failed(found, "schema")["train"]
    assert found["lists"]["val"][0]["verdict"] == "passed"
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    question = GroupsRequest.of(dataset, catalog.splits_folder(dataset, "lt"), catalog, 20)
    assert Auditor(catalog, Pools(catalog.bases)).groups(question) == {"groups": None}


def test_a_declared_base_whose_files_are_not_there_fails_nothing(home: Home, folder: Path) -> None:
    """It is no fault of its lists; the labels that they were drawn from are said not to be at hand."""
    (home.data / "digits" / "train.npz").unlink()
    found = _audited(home)
    assert (found["verdict"], _failed(found)) == ("passed", {})
    assert {check["verdict"] for check in found["lists"]["train"]} == {"skipped"}
    assert "train are not available" in found["checks"][-1]["message"]
    assert "train" in found["sha256"]  # the list itself is as it was


def test_a_list_under_no_plain_name_fails_the_audit(home: Home, folder: Path) -> None:
    """No job could name it."""
    (folder / "-x_indices.json").write_text("[1]")
    found = _audited(home)
    assert found["verdict"] == "failed"
    assert "plain name" in _failed(found, "schema")["-x"]


def test_a_description_of_wrong_types_is_an_answer(home: Home, folder: Path) -> None:
    """An error that is kept, where an unexpected one would be asked for again and again."""
    _describe(folder, lambda described: described["lists"]["val"].update(part_of=["val"]))
    with refused("splits-file-invalid", "lists.val.part_of"):
        _audited(home)
