"""Bases on disk: sizes and classes seen without decoding, and damage named before anything is read."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.catalog.bases import CIFAR, Bases, check_md5, image_files
from app.catalog.datasets import Dataset
from tests.fakes import refused
from tests.unit.mapped import mapped


def dataset(kind: str, **more: Any) -> Dataset:
    keys = {"kind": kind, "root": ".", "splits": "s", "experts": "e", "mean": (0, 0, 0), "std": (1, 1, 1)}
    return Dataset.model_validate(keys | more)


def save(path: Path, **arrays: np.ndarray[Any, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, allow_pickle=True, **arrays)
    return path


def images(n: int) -> np.ndarray[Any, Any]:
    return np.zeros((n, 2, 2, 3), np.uint8)


def folders(root: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.png").touch()
    return root


# --- npz ----------------------------------------------------------------------------------------------


def test_an_npz_base_has_as_many_images_as_its_array_and_as_many_classes_as_its_labels_show(tmp_path: Path) -> None:
    """Classes are counted over every base that is there; a declared number stands above what labels show."""
    save(tmp_path / "test.npz", images=images(4), labels=np.array([0, 1, 1, 0]))
    save(tmp_path / "train.npz", images=images(2), labels=np.array([0, 6], np.int32))
    bases = Bases(tmp_path)
    assert bases.size(dataset("npz"), "test") == 4
    assert bases.classes(dataset("npz")) == 2
    assert bases.classes(dataset("npz", bases={"train": "train", "extra": "absent"})) == 7
    assert bases.classes(dataset("npz", classes=11)) == 11
    save(tmp_path / "test.npz", images=images(3), labels=np.array([0, 4, 2], np.uint8))
    assert bases.classes(dataset("npz")) == 5


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((4, 3, 2, 2), np.uint8), "labels": np.zeros(4, np.int64)},
        {"images": np.zeros((4, 2, 2), np.uint8), "labels": np.zeros(4, np.int64)},
        {"images": np.zeros((4, 2, 2, 3), np.float32), "labels": np.zeros(4, np.int64)},
        {"images": np.zeros((4, 2, 2, 3), np.int8), "labels": np.zeros(4, np.int64)},
        {"images": images(4), "labels": np.zeros(3, np.int64)},
        {"images": images(4), "labels": np.zeros((4, 1), np.int64)},
        {"images": images(4), "labels": np.zeros(4, np.float64)},
        {"images": images(4), "labels": np.zeros(4, np.bool_)},
        {"images": images(4), "labels": np.array([{}, 1, 2, 3], dtype=object)},
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    """The refusal shows what was found and what would have been right; no pickle is opened for it."""
    save(tmp_path / "test.npz", **arrays)
    right = "images uint8 [N, H, W, 3] and integer labels [N] would have been right"
    with refused("data-corrupt", str(arrays["images"].dtype), str(list(arrays["labels"].shape)), right):
        Bases(tmp_path).size(dataset("npz"), "test")


def _zip_of(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip", _zip_of("other.npy", b""), _zip_of("images.npy", b"no npy"), _zip_of("images.npy", b"")],
)
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    """Not a zip, a zip without the arrays, arrays that are none: each is named with its file."""
    (tmp_path / "test.npz").write_bytes(content)
    with refused("data-corrupt", str(tmp_path / "test.npz"), "`images` and `labels`"):
        Bases(tmp_path).size(dataset("npz"), "test")


def test_a_base_is_looked_at_again_when_its_file_was_written(tmp_path: Path) -> None:
    """What is remembered never outlives its file."""
    bases, declared = Bases(tmp_path), dataset("npz")
    save(tmp_path / "test.npz", images=images(4), labels=np.arange(4))
    before = bases.identity(declared, "test")
    assert (bases.size(declared, "test"), bases.classes(declared)) == (4, 4)
    save(tmp_path / "test.npz", images=images(5), labels=np.arange(5))
    assert (bases.size(declared, "test"), bases.classes(declared)) == (5, 5)
    assert bases.identity(declared, "test") != before


def test_a_base_is_told_by_its_content_where_its_times_stay(tmp_path: Path) -> None:
    """A whole .npz of the same length, written through a memory map: identity and classes are the new file's."""
    bases, declared = Bases(tmp_path), dataset("npz")
    path = save(tmp_path / "test.npz", images=images(4), labels=np.array([0, 1, 2, 3]))
    other = save(tmp_path / "other.npz", images=images(4), labels=np.array([0, 1, 2, 7])).read_bytes()
    with mapped(path) as rewriter:
        before = bases.identity(declared, "test")
        assert bases.classes(declared) == 4
        rewriter.write(other)
        assert bases.identity(declared, "test") != before
        assert bases.classes(declared) == 8


def test_a_damaged_or_truncated_npz_is_refused(tmp_path: Path) -> None:
    """Flipped bytes in the middle, or half a download, are no internal error."""
    path = tmp_path / "test.npz"
    np.savez_compressed(path, images=images(400), labels=np.random.default_rng(0).integers(0, 9, 400))
    data = bytearray(path.read_bytes())
    start = data.index(b"labels.npy") + 120
    data[start : start + 80] = bytes(byte ^ 0xFF for byte in data[start : start + 80])
    for content in (data, data[:-30]):
        path.write_bytes(content)
        with refused("data-corrupt"):
            Bases(tmp_path).size(dataset("npz"), "test")


# --- CIFAR --------------------------------------------------------------------------------------------


def test_a_cifar_file_with_the_wrong_md5_is_refused_unread(tmp_path: Path) -> None:
    """Both digests are named. The file here is a pickle that would fail this test if anything opened it."""
    path = tmp_path / "cifar-100-python" / "test"
    path.parent.mkdir()
    path.write_bytes(b"cpytest\nfail\n(S'it was unpickled'\ntR.")
    actual = hashlib.md5(path.read_bytes()).hexdigest()
    with refused("data-corrupt", actual, CIFAR["cifar100"].files["test"][0][1]):
        Bases(tmp_path).size(dataset("cifar100"), "test")
    assert check_md5(b"abc", path, "900150983cd24fb0d6963f7d28e17f72") == b"abc"  # published bytes pass as they are


def test_the_test_base_does_not_ask_for_train(tmp_path: Path) -> None:
    """Only the files of the base in question have to be there; a typing error is answered with the right names."""
    (tmp_path / "cifar-10-batches-py").mkdir()
    test = tmp_path / "cifar-10-batches-py" / "test_batch"
    test.touch()
    bases = Bases(tmp_path)
    assert bases.files(dataset("cifar10"), "test") == (test,)
    with refused("data-missing", *(f"data_batch_{i}" for i in range(1, 6))) as caught:
        bases.size(dataset("cifar10"), "train")
    assert len(caught.value.details["missing"]) == 5
    with refused("base-unknown", "it has test, train"):
        bases.size(dataset("cifar10"), "trian")


def test_cifar_knows_its_classes_without_its_files(tmp_path: Path) -> None:
    """So that an expert's outputs can be checked before the images are there."""
    assert (Bases(tmp_path).classes(dataset("cifar10")), Bases(tmp_path).classes(dataset("cifar100"))) == (10, 100)


# --- imagefolder --------------------------------------------------------------------------------------


def test_a_base_that_lacks_a_class_does_not_number_the_others_anew(tmp_path: Path) -> None:
    """Class numbers come from all bases together; sizes from each alone."""
    folders(tmp_path / "test", ant=2, cow=3)
    folders(tmp_path / "train", ant=1, bee=1, cow=1)
    bases, declared = Bases(tmp_path), dataset("imagefolder", bases={"train": "train"})
    assert bases.class_names(declared) == ("ant", "bee", "cow")
    assert bases.classes(declared) == 3
    assert (bases.size(declared, "test"), bases.size(declared, "train")) == (5, 3)


def test_images_are_known_by_their_suffix_and_links_are_followed(tmp_path: Path) -> None:
    """Other files do not count; a folder of links to images elsewhere does, in order of path."""
    folders(tmp_path / "elsewhere", cat=2)
    folders(tmp_path / "test", dog=1)
    (tmp_path / "test" / "dog" / "a.JPEG").touch()
    (tmp_path / "test" / "dog" / "notes.txt").touch()
    (tmp_path / "test" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    (tmp_path / "test" / "dog" / "more").symlink_to(tmp_path / "elsewhere" / "cat")
    bases = Bases(tmp_path)
    assert bases.size(dataset("imagefolder"), "test") == 6
    assert bases.class_names(dataset("imagefolder")) == ("cat", "dog")
    names = [Path(path).name for path in image_files(tmp_path / "test" / "dog")]
    assert names == ["0.png", "a.JPEG", "0.png", "1.png"]


def test_a_base_without_class_folders_says_what_it_needs(tmp_path: Path) -> None:
    """An absent base and an empty one are both missing data."""
    bases, declared = Bases(tmp_path), dataset("imagefolder")
    with refused("data-missing", str(tmp_path / "test")):
        bases.size(declared, "test")
    (tmp_path / "test").mkdir()
    with refused("data-missing", f"a class folder in {tmp_path / 'test'}"):
        bases.size(declared, "test")


def test_a_changed_image_is_noticed_at_any_depth(tmp_path: Path) -> None:
    """The identity decides whether decoded images are still good; a link to nowhere is missing data."""
    folders(tmp_path / "test" / "cat", deeper=2)
    bases, declared, deeper = Bases(tmp_path), dataset("imagefolder"), tmp_path / "test" / "cat" / "deeper"
    before = bases.identity(declared, "test")
    (deeper / "0.png").write_bytes(b"other pixels")
    assert bases.identity(declared, "test") != before
    (deeper / "new.png").touch()
    assert bases.size(declared, "test") == 3
    (deeper / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with refused("data-missing", "gone.png"):
        bases.identity(declared, "test")
