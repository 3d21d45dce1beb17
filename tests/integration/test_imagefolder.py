"""Folders of images, decoded through torchvision (its import takes seconds, so this is no unit test)."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from app.catalog.bases import Bases
from app.catalog.datasets import Dataset
from app.domain.errors import RequestError
from worker.datasets.pools import Pools


def _dataset(**more: object) -> Dataset:
    fields = {"kind": "imagefolder", "root": ".", "splits": "s", "experts": "e", "mean": (0, 0, 0), "std": (1, 1, 1)}
    return Dataset.model_validate(fields | more)


def _save_image(path: Path, value: int, size: tuple[int, int] = (4, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(path)


@pytest.mark.parametrize("missing", ["bird", "cat"])
def test_class_numbers_are_those_of_all_bases(tmp_path: Path, missing: str) -> None:
    """A base that lacks a class does not number the later ones differently."""
    for number, name in enumerate(("ant", "bird", "cat")):
        _save_image(tmp_path / "train" / name / "1.png", number)
        if name != missing:
            _save_image(tmp_path / "test" / name / "1.png", number)
    pool = Pools(Bases(tmp_path)).get(_dataset(bases={"train": "train"}), "test")
    assert pool.labels.tolist() == pool.images[:, 0, 0, 0].tolist()
    assert pool.classes == 3


def test_images_of_different_sizes_need_a_crop(tmp_path: Path) -> None:
    """relogit does not guess how to fit them: the message names two images and the keys that help."""
    _save_image(tmp_path / "test" / "a" / "1.png", 1, (4, 4))
    _save_image(tmp_path / "test" / "a" / "2.png", 2, (8, 6))
    with pytest.raises(RequestError, match=r"4x4.*8x6.*`crop`"):
        Pools(Bases(tmp_path)).get(_dataset(), "test")
    pool = Pools(Bases(tmp_path)).get(_dataset(resize=4, crop=4), "test")
    assert pool.images.shape == (2, 4, 4, 3)


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    """One bad file says which one it is."""
    _save_image(tmp_path / "test" / "a" / "1.png", 1)
    (tmp_path / "test" / "a" / "2.png").write_bytes(b"no image")
    with pytest.raises(RequestError, match=r"2\.png"):
        Pools(Bases(tmp_path)).get(_dataset(), "test")


def test_an_image_that_was_replaced_is_decoded_again(tmp_path: Path) -> None:
    """A file written over leaves its folder's own time as it was; the pool must not go stale all the same."""
    _save_image(tmp_path / "test" / "a" / "1.png", 1)
    pools = Pools(Bases(tmp_path))
    assert pools.get(_dataset(), "test").images[0, 0, 0, 0] == 1
    _save_image(tmp_path / "test" / "a" / "1.png", 200, (6, 6))
    assert pools.get(_dataset(), "test").images[0, 0, 0, 0] == 200
