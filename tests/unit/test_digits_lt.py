"""The demo data set: what is committed is what the script makes, and it is what the README says.

Training takes minutes and is not repeated here; the experts that came of it are looked at.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.digits_lt.make_digits_lt import Base, long_tail, make_bases, make_splits, write_data
from data.digits_lt.train_experts import RECIPES, SPEC, Normaliser, fit_temperature
from worker.experts.architectures import CifarResNet

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
EXPERTS = ROOT / "checkpoints" / "experts" / "digits_lt"
SPLITS = DATA / "digits_lt_splits"
HELD_OUT = {"test": 48, "val": 6, "tunev": 6}  # images of each class


@pytest.fixture(scope="module")
def bases() -> dict[str, Base]:
    return make_bases()


def read(name: str) -> Any:
    return json.loads((SPLITS / f"{name}.json").read_text(encoding="utf-8"))


def stored_labels(base: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    with np.load(DATA / "digits_lt" / f"{base}.npz") as file:
        labels: np.ndarray[Any, np.dtype[np.int64]] = file["labels"]
    return labels


@pytest.mark.parametrize("name", ["train", "test"])
def test_committed_images_are_what_the_script_makes(bases: dict[str, Base], name: str) -> None:
    """The committed arrays equal the script's, pixel by pixel, in the types that kind `npz` asks for."""
    with np.load(DATA / "digits_lt" / f"{name}.npz") as file:
        assert set(file.files) == {"images", "labels"}
        images, labels = file["images"], file["labels"]
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert images.shape == (len(labels), 32, 32, 3)
    np.testing.assert_array_equal(images, bases[name].images)
    np.testing.assert_array_equal(labels, bases[name].labels)


def test_images_are_the_scans_in_blocks(bases: dict[str, Base]) -> None:
    """Every 4th pixel, divided by 255/16, gives scikit-learn's scan back; each scan lies in just one base."""
    from sklearn.datasets import load_digits

    scans = np.concatenate([base.images[:, ::4, ::4, 0] for base in bases.values()])
    back = np.rint(scans / (255 / 16))
    assert sorted(scan.tobytes() for scan in back) == sorted(scan.tobytes() for scan in load_digits().images)


def test_writing_twice_gives_the_same_bytes(bases: dict[str, Base], tmp_path: Path) -> None:
    """Two runs write the same eight files, byte for byte, and the JSON files are the committed ones."""
    for folder in ("one", "two"):
        write_data(tmp_path / folder, bases, make_splits(bases))
    ones = {path.relative_to(tmp_path / "one"): path for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert len(ones) == 8
    for name, path in ones.items():
        assert path.read_bytes() == (tmp_path / "two" / name).read_bytes(), name
        if path.suffix == ".json":
            assert path.read_bytes() == (SPLITS / path.name).read_bytes(), name


def test_train_split_is_long_tailed_by_the_formula() -> None:
    """n_c = max(1, trunc(114·20^(−c/9))): a head of six classes above 20 images and a tail of four."""
    rows = read("train_indices")
    counts = np.bincount(stored_labels("train")[rows]).tolist()
    assert counts == [114, 81, 58, 41, 30, 21, 15, 11, 7, 5]
    assert counts == read("train_class_counts")
    assert counts == long_tail(114)
    assert len(set(rows)) == len(rows)


def test_class_weights_are_shares_of_the_train_split() -> None:
    """w_c = n_c/Σn, and they sum to one."""
    counts, weights = read("train_class_counts"), read("class_weights")
    assert weights == [count / sum(counts) for count in counts]
    assert sum(weights) == pytest.approx(1.0)


def test_test_base_is_divided_without_overlap() -> None:
    """test, val and tunev share no row, and together they are the whole test base."""
    rows = [row for name in HELD_OUT for row in read(f"{name}_indices")]
    assert sorted(rows) == list(range(len(stored_labels("test")))) == list(range(600))


@pytest.mark.parametrize("name", ["train", *HELD_OUT])
def test_splits_are_flat_class_major_and_in_range(name: str) -> None:
    """An index file is a flat list of integers, class after class, each a row of its base."""
    rows = read(f"{name}_indices")
    assert all(type(row) is int for row in rows)
    labels = stored_labels("train" if name == "train" else "test")
    assert min(rows) >= 0
    assert max(rows) < len(labels)
    assert np.all(np.diff(labels[rows]) >= 0)
    if name in HELD_OUT:
        assert np.bincount(labels[rows]).tolist() == [HELD_OUT[name]] * 10


@pytest.mark.parametrize("name", ["train", *HELD_OUT])
def test_rows_within_a_class_are_shuffled(name: str) -> None:
    """Rows of a class do not ascend, so a reader that sorts the indices is found out."""
    labels = stored_labels("train" if name == "train" else "test")
    rows = np.array(read(f"{name}_indices"))
    assert any(np.any(np.diff(rows[labels[rows] == label]) < 0) for label in range(10))


def test_mean_and_std_are_those_of_the_train_split(bases: dict[str, Base]) -> None:
    """The figures that the README gives and data sets declare are measured on the train split's images."""
    images = torch.from_numpy(bases["train"].images[read("train_indices")]).permute(0, 3, 1, 2)
    assert Normaliser.of(images) == Normaliser(mean=(0.3066,) * 3, std=(0.3776,) * 3)


def test_temperature_follows_the_scale_of_the_logits() -> None:
    """Logits k times as large have a best temperature k times as large, and it beats its neighbours."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 10, generator=rng)
    labels = torch.distributions.Categorical(logits=logits).mode
    labels[:60] = torch.randint(0, 10, (60,), generator=rng)
    best = fit_temperature(logits, labels)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * best)
    loss = [float(torch.nn.functional.cross_entropy(logits / (best * k), labels)) for k in (0.98, 1, 1.02)]
    assert loss[1] < min(loss[0], loss[2])


def test_temperature_of_faultless_predictions_is_refused() -> None:
    """Where every prediction is right by far there is no best temperature, and none is made up."""
    with pytest.raises(ValueError, match="No temperature between"):
        fit_temperature(10 * torch.eye(10), torch.arange(10))


@pytest.mark.parametrize("name", [recipe.name for recipe in RECIPES])
def test_committed_experts_have_the_old_format(name: str) -> None:
    """`best_` has temperature 1 of shape (1,); `final_calibrated_` differs only in a fitted one of shape ()."""
    best = torch.load(EXPERTS / f"best_{name}.pth", weights_only=True)
    calibrated = torch.load(EXPERTS / f"final_calibrated_{name}.pth", weights_only=True)
    assert list(best) == list(calibrated)
    assert torch.equal(best.pop("temperature"), torch.ones(1))
    temperature = calibrated.pop("temperature")
    assert temperature.shape == ()
    assert 0.5 < float(temperature) < 2
    assert all(torch.equal(best[key], calibrated[key]) for key in best)
    network = CifarResNet(SPEC)
    network.load_state_dict({key.removeprefix("backbone."): best[key] for key in best}, strict=True)
    assert {key.split(".")[0] for key in best} == {"backbone", "fc"}
