"""Creating a set of splits: read the labels, draw the lists, write the folder, all in one call."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from app.catalog.labels import read_labels
from app.catalog.split_sets import list_sha256
from app.domain.errors import Conflict
from app.submission.bodies import SplitsBody
from app.submission.splits import create_splits
from tests.fakes import Home, changed, refused

BODY = SplitsBody(name="lt", dataset="digits", imbalance_factor=1.5, seed=1, test_shares=(2, 1, 1))


@pytest.fixture
def stocked(home: Home) -> Home:
    """A home with enough samples for every list."""
    home.write_npz("train", 90)
    home.write_npz("test", 60)
    return home


def _read(home: Home, file: str, name: str = "lt") -> Any:
    return json.loads((home.data / name / file).read_text())


def test_what_is_answered_is_what_lies_on_the_disk(stocked: Home) -> None:
    """The description names each list's digest and base, and the labels that it was drawn from."""
    description = create_splits(BODY, stocked.catalog())
    assert description == _read(stocked, "splits.json")
    assert set(description["lists"]) == {"train", "test", "val", "tunev"}
    for name, entry in description["lists"].items():
        indices = _read(stocked, f"{name}_indices.json")
        assert (entry["size"], entry["sha256"]) == (len(indices), list_sha256(indices))
        assert entry["base"] == ("train" if name == "train" else "test")
    labels = np.load(stocked.data / "digits" / "train.npz")["labels"]
    train = _read(stocked, "train_indices.json")
    assert np.bincount(labels[train]).tolist() == description["train_class_counts"] == [30, 24, 20]
    assert description["dataset"]["labels_sha256"]["train"] == list_sha256(labels.tolist())
    assert sorted(description["lists"]["test"].items()) == sorted(
        {
            "base": "test",
            "size": 30,
            "sha256": list_sha256(_read(stocked, "test_indices.json")),
            "balance": "balanced",
            "row_order": "class-major",
            "part_of": None,
        }.items()
    )


def test_a_set_that_is_there_stays(stocked: Home) -> None:
    """Unless it is to be overwritten, asking twice is a conflict, and the first answer stands."""
    catalog = stocked.catalog()
    first = create_splits(BODY, catalog)
    with pytest.raises(Conflict):
        create_splits(changed(BODY, seed=2), catalog)
    assert _read(stocked, "splits.json") == first
    assert create_splits(changed(BODY, seed=2, overwrite=True), catalog)["seed"] == 2
    assert _read(stocked, "splits.json")["seed"] == 2


@pytest.mark.parametrize(
    ("labels", "fields", "code", "words"),
    [
        ([0, 1, 0, 1], {}, "class-empty", "[2]"),
        ([0, 1, 2], {"expert_share": 0.5}, "split-empty", "expert"),
        ([0, 1, 3], {}, "data-corrupt", "0 to 2"),
    ],
)
def test_labels_that_no_set_can_be_drawn_from_write_nothing(
    stocked: Home, labels: list[int], fields: dict[str, Any], code: str, words: str
) -> None:
    """A class or a list without a sample, or a label that is no class, is refused by its name."""
    stocked.declare((stocked.data / "datasets.toml").read_text().replace('kind = "npz"', 'kind = "npz"\nclasses = 3'))
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    np.savez(stocked.data / "digits" / "train.npz", images=images, labels=np.array(labels))
    with refused(code, words):
        create_splits(changed(BODY, **fields), stocked.catalog())
    assert not (stocked.data / "lt").exists()
    assert not list(stocked.data.glob(".*"))


def test_labels_of_class_folders_follow_their_order(home: Home) -> None:
    """Class c is the c-th folder over all bases; images stand in the order of folders and names."""
    for base, folders in {"train": ("b", "a"), "test": ("b", "c")}.items():
        for folder in folders:
            (home.data / "photos" / base / folder).mkdir(parents=True)
            for name in ("2.png", "1.png", "notes.txt"):
                (home.data / "photos" / base / folder / name).touch()
    home.declare(
        """
        [photos]
        kind = "imagefolder"
        root = "photos"
        splits = "photos_splits"
        experts = "experts"
        mean = [0.5, 0.5, 0.5]
        std = [0.25, 0.25, 0.25]
        [photos.bases]
        train = "train"
        """
    )
    catalog = home.catalog()
    dataset = catalog.dataset("photos")
    assert read_labels(catalog.bases, dataset, "train").tolist() == [0, 0, 1, 1]
    assert read_labels(catalog.bases, dataset, "test").tolist() == [1, 1, 2, 2]
