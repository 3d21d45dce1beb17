"""Class counts and weights of a folder of splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.settings import Settings
from worker.datasets.class_counts import LongTail, read_long_tail
from worker.datasets.pools import Pools


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory with an npz data set of three classes and an empty splits folder."""
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    np.savez(tmp_path / "train.npz", images=np.zeros((7, 2, 2, 3), np.uint8), labels=labels)
    np.savez(tmp_path / "test.npz", images=np.zeros((3, 2, 2, 3), np.uint8), labels=np.arange(3))
    (tmp_path / "splits").mkdir()
    return tmp_path


def _read(data_dir: Path) -> LongTail:
    dataset = Dataset(
        kind="npz", root=".", splits="splits", experts="e", mean=(0, 0, 0), std=(1, 1, 1), bases={"train": "train"}
    )
    catalog = Catalog(Settings(data_dir=data_dir))
    return read_long_tail(catalog, Pools(catalog.bases), dataset, Folder("splits", data_dir / "splits"))


def _write(data_dir: Path, **files: object) -> None:
    for name, content in files.items():
        (data_dir / "splits" / f"{name}.json").write_text(json.dumps(content))


def test_the_files_are_taken_as_they_are(folder: Path) -> None:
    """Counts and weights that lie there are used, not worked out anew."""
    _write(folder, train_class_counts=[40, 20, 10], class_weights=[0.5, 0.3, 0.2])
    found = _read(folder)
    np.testing.assert_array_equal(found.counts, [40, 20, 10])
    np.testing.assert_array_equal(found.weights, [0.5, 0.3, 0.2])


def test_without_files_the_train_split_is_counted(folder: Path) -> None:
    """n_c from the labels at the train split's indices, w_c = n_c / Σ n."""
    _write(folder, train_indices=[0, 1, 4, 6])
    found = _read(folder)
    np.testing.assert_array_equal(found.counts, [2, 1, 1])
    np.testing.assert_array_equal(found.weights, [0.5, 0.25, 0.25])


def test_nothing_there_gives_reasons(folder: Path) -> None:
    """Without files and train split, or without the images of its base, both are None, each with a sentence."""
    found = _read(folder)
    assert (found.counts, found.weights) == (None, None)
    assert "train_class_counts.json" in str(found.counts_reason)
    assert "class_weights.json" in str(found.weights_reason)
    _write(folder, train_indices=[0, 1])
    (folder / "train.npz").unlink()
    assert "train.npz" in str(_read(folder).counts_reason)


@pytest.mark.parametrize("content", [{"0": 0.5}, ["a"], [True, False, True], "text"])
def test_a_file_of_another_form_gives_a_reason(folder: Path, content: object) -> None:
    """Anything but a flat list of numbers is named, not guessed at."""
    _write(folder, class_weights=content, train_class_counts=content)
    found = _read(folder)
    assert found.weights is None
    assert "flat list of numbers" in str(found.weights_reason)
    assert "flat list of numbers" in str(found.counts_reason)


def test_counts_that_are_not_whole_give_a_reason(folder: Path) -> None:
    """Half a sample is no count."""
    for count, reason in ((2.5, "no count"), (10**400, "flat list"), (1e300, "no count")):
        _write(folder, train_class_counts=[1, count, 3])
        assert reason in str(_read(folder).counts_reason)
