"""Bases decoded into images and labels."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.catalog.bases import CIFAR, Bases, CifarLayout
from app.catalog.datasets import Dataset
from app.domain.errors import RequestError, TransientError
from tests.unit.mapped import mapped
from worker.datasets.pools import Pools


def _dataset(kind: str, **more: object) -> Dataset:
    fields = {"kind": kind, "root": ".", "splits": "s", "experts": "e", "mean": (0, 0, 0), "std": (1, 1, 1)}
    return Dataset.model_validate(fields | more)


def _save(path: Path, count: int = 4, classes: int = 3) -> None:
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(count) % classes)


def test_npz_is_read_as_it_is(tmp_path: Path) -> None:
    """Images and labels keep their order and values, and cannot be written to."""
    _save(tmp_path / "test.npz")
    pool = Pools(Bases(tmp_path)).get(_dataset("npz"), "test")
    with np.load(tmp_path / "test.npz") as arrays:
        np.testing.assert_array_equal(pool.images, arrays["images"])
        np.testing.assert_array_equal(pool.labels, arrays["labels"])
    assert (pool.classes, pool.labels.dtype) == (3, np.dtype(np.int64))
    with pytest.raises(ValueError, match="read-only"):
        pool.images[0] = 0


def test_a_pool_is_decoded_once_until_its_file_changes(tmp_path: Path) -> None:
    """The same object comes back; a file that was written since is read again."""
    _save(tmp_path / "test.npz")
    pools = Pools(Bases(tmp_path))
    first = pools.get(_dataset("npz"), "test")
    assert pools.get(_dataset("npz"), "test") is first
    _save(tmp_path / "test.npz", count=5)
    os.utime(tmp_path / "test.npz", ns=(1, 1))
    assert len(pools.get(_dataset("npz"), "test").images) == 5


def test_an_npz_whose_times_stay_is_decoded_again_when_its_content_changed(tmp_path: Path) -> None:
    """Rewritten through a memory map: pixels, labels and digests are those that lie on disk now."""
    _save(tmp_path / "test.npz")
    images, labels = np.full((4, 4, 5, 3), 7, np.uint8), np.array([2, 1, 0, 2])
    np.savez(tmp_path / "other.npz", images=images, labels=labels)
    pools = Pools(Bases(tmp_path))
    expected = pools.get(_dataset("npz"), "other")
    with mapped(tmp_path / "test.npz") as rewriter:
        before = pools.get(_dataset("npz"), "test")
        rewriter.write((tmp_path / "other.npz").read_bytes())
        after = pools.get(_dataset("npz"), "test")
    assert before.sha256 != after.sha256 == expected.sha256
    np.testing.assert_array_equal(after.images, images)
    np.testing.assert_array_equal(after.labels, labels)


def test_an_npz_with_pixels_that_its_checksum_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A pixel written through a memory map leaves the zip's checksum: no number is computed of it."""
    _save(tmp_path / "test.npz")
    with mapped(tmp_path / "test.npz") as rewriter:
        rewriter.flip((tmp_path / "test.npz").read_bytes().index(b"images.npy") + 200)
    with pytest.raises(RequestError) as caught:
        Pools(Bases(tmp_path)).get(_dataset("npz"), "test")
    assert caught.value.code == "data-corrupt"


def test_the_digest_covers_pixels_and_labels(tmp_path: Path) -> None:
    """Equal content has the same sha256 whatever the file; one label changes it."""
    images, labels = np.zeros((2, 1, 1, 3), np.uint8), np.array([0, 1])
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.savez_compressed(tmp_path / "b.npz", images=images, labels=labels.astype(np.int32))
    np.savez(tmp_path / "c.npz", images=images, labels=labels[::-1])
    np.savez(tmp_path / "test.npz", images=images, labels=labels)
    pools = Pools(Bases(tmp_path))
    a, b, c = (pools.get(_dataset("npz"), base).sha256 for base in "abc")
    assert len({pools.get(_dataset("npz"), base).pixels_sha256 for base in "abc"}) == 1  # labels have no part in it
    assert a == b != c


def test_labels_beyond_the_declared_classes_are_refused(tmp_path: Path) -> None:
    """A class count that does not match the labels is named with both numbers."""
    _save(tmp_path / "test.npz", classes=3)
    with pytest.raises(RequestError, match="from 0 to 2, but there are 2 classes"):
        Pools(Bases(tmp_path)).get(_dataset("npz", classes=2), "test")


def _small_cifar(folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    # The published files are not in the repository: a small one of the same format, with its own md5.
    planes = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    data = pickle.dumps({"data": planes.reshape(3, 3072), "fine_labels": [5, 99, 0]})
    (folder / "cifar-100-python").mkdir()
    (folder / "cifar-100-python" / "test").write_bytes(data)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    layout = CifarLayout("cifar-100-python", 100, "fine_labels", {"test": (("test", md5),)}, {"test": 3})
    monkeypatch.setitem(CIFAR, "cifar100", layout)
    return planes


def test_cifar_planes_become_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR stores [3, 32, 32] planes; pixel (y, x) of image n is planes[n, :, y, x]."""
    planes = _small_cifar(tmp_path, monkeypatch)
    pool = Pools(Bases(tmp_path)).get(_dataset("cifar100"), "test")
    assert pool.images[2, 7, 30].tolist() == planes[2, :, 7, 30].tolist()
    assert pool.labels.tolist() == [5, 99, 0]


def test_a_changed_cifar_file_is_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle can run code: only the published bytes are loaded."""
    _small_cifar(tmp_path, monkeypatch)
    path = tmp_path / "cifar-100-python" / "test"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(RequestError, match="md5") as caught:
        Pools(Bases(tmp_path)).get(_dataset("cifar100"), "test")
    assert caught.value.code == "data-corrupt"


def test_the_pool_asked_for_last_is_kept_and_older_ones_go(tmp_path: Path) -> None:
    """Decoded pixels are bounded; one pool is kept whatever its size."""
    for base in ("a", "b", "test"):
        _save(tmp_path / f"{base}.npz")
    pools = Pools(Bases(tmp_path), max_bytes=1)
    a, b = pools.get(_dataset("npz"), "a"), pools.get(_dataset("npz"), "b")
    assert pools.get(_dataset("npz"), "b") is b
    assert pools.get(_dataset("npz"), "a") is not a


def test_a_file_that_changes_while_it_is_read_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it would be of one state and half of another."""
    _save(tmp_path / "test.npz")
    pools = Pools(Bases(tmp_path))
    read = pools._read

    def slow(*args: Any, **more: Any) -> Any:
        found = read(*args, **more)
        _save(tmp_path / "test.npz", count=9)
        return found

    monkeypatch.setattr(pools, "_read", slow)
    with pytest.raises(TransientError, match="while they were read"):
        pools.get(_dataset("npz"), "test")


def test_labels_alone_are_those_of_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for without pixels, and without keeping any."""
    _small_cifar(tmp_path, monkeypatch)
    _save(tmp_path / "test.npz")
    for kind in ("npz", "cifar100"):
        pools = Pools(Bases(tmp_path))
        assert pools.labels(_dataset(kind), "test").tolist() == pools.get(_dataset(kind), "test").labels.tolist()
