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
from app.domain.errors import RequestError
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


def refusal(bases: Bases, declared: Dataset, base: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        bases.size(declared, base)
    return caught.value


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
    error = refusal(Bases(tmp_path), dataset("npz"), "test")
    assert error.code == "data-corrupt"
    assert str(arrays["images"].dtype) in error.message
    assert str(list(arrays["labels"].shape)) in error.message
    assert "images uint8 [N, H, W, 3] and integer labels [N] would have been right" in error.message


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
    error = refusal(Bases(tmp_path), dataset("npz"), "test")
    assert error.code == "data-corrupt"
    assert str(tmp_path / "test.npz") in error.message
    assert "`images` and `labels`" in error.message


def test_a_truncated_npz_is_refused(tmp_path: Path) -> None:
    """Half a download is no base."""
    path = save(tmp_path / "test.npz", images=images(400), labels=np.arange(400))
    path.write_bytes(path.read_bytes()[:-30])
    assert refusal(Bases(tmp_path), dataset("npz"), "test").code == "data-corrupt"


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


def test_labels_may_be_unsigned(tmp_path: Path) -> None:
    """uint8 is an integer type, and what most people save labels as."""
    save(tmp_path / "test.npz", images=images(3), labels=np.array([0, 4, 2], np.uint8))
    assert Bases(tmp_path).classes(dataset("npz")) == 5


def test_a_compressed_npz_with_damaged_bytes_is_refused(tmp_path: Path) -> None:
    """A flipped byte in the middle is damage like any other, not an internal error."""
    path = tmp_path / "test.npz"
    np.savez_compressed(path, images=images(400), labels=np.random.default_rng(0).integers(0, 9, 400))
    data = bytearray(path.read_bytes())
    start = data.index(b"labels.npy") + 120
    data[start : start + 80] = bytes(byte ^ 0xFF for byte in data[start : start + 80])
    path.write_bytes(data)
    assert refusal(Bases(tmp_path), dataset("npz"), "test").code == "data-corrupt"


# --- CIFAR --------------------------------------------------------------------------------------------


def test_a_cifar_file_with_the_wrong_md5_is_refused_unread(tmp_path: Path) -> None:
    """Both digests are named. The file here is a pickle that would fail this test if anything opened it."""
    path = tmp_path / "cifar-100-python" / "test"
    path.parent.mkdir()
    path.write_bytes(b"cpytest\nfail\n(S'it was unpickled'\ntR.")
    error = refusal(Bases(tmp_path), dataset("cifar100"), "test")
    assert error.code == "data-corrupt"
    assert hashlib.md5(path.read_bytes()).hexdigest() in error.message
    assert CIFAR["cifar100"].files["test"][0][1] in error.message


def test_published_bytes_pass_as_they_are(tmp_path: Path) -> None:
    """The digest is compared, nothing else is done to the bytes."""
    assert check_md5(b"abc", tmp_path, "900150983cd24fb0d6963f7d28e17f72") == b"abc"


def test_the_test_base_does_not_ask_for_train(tmp_path: Path) -> None:
    """Only the files of the base in question have to be there."""
    (tmp_path / "cifar-10-batches-py").mkdir()
    test = tmp_path / "cifar-10-batches-py" / "test_batch"
    test.touch()
    bases = Bases(tmp_path)
    assert bases.files(dataset("cifar10"), "test") == (test,)
    error = refusal(bases, dataset("cifar10"), "train")
    assert error.code == "data-missing"
    assert all(f"data_batch_{i}" in error.message for i in range(1, 6))
    assert len(error.details["missing"]) == 5


def test_cifar_knows_its_classes_without_its_files(tmp_path: Path) -> None:
    """So that an expert's outputs can be checked before the images are there."""
    assert (Bases(tmp_path).classes(dataset("cifar10")), Bases(tmp_path).classes(dataset("cifar100"))) == (10, 100)


def test_an_unknown_cifar_base_lists_those_that_there_are(tmp_path: Path) -> None:
    """A typing error under `bases` is answered with the right names."""
    error = refusal(Bases(tmp_path), dataset("cifar10"), "trian")
    assert error.code == "base-unknown"
    assert "it has test, train" in error.message


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
    assert str(tmp_path / "test") in refusal(bases, declared, "test").message
    (tmp_path / "test").mkdir()
    error = refusal(bases, declared, "test")
    assert error.code == "data-missing"
    assert f"a class folder in {tmp_path / 'test'}" in error.message


def test_an_image_added_in_a_deeper_folder_is_counted(tmp_path: Path) -> None:
    """What is remembered never outlives its files, at any depth."""
    folders(tmp_path / "test" / "cat", deeper=2)
    bases = Bases(tmp_path)
    assert bases.size(dataset("imagefolder"), "test") == 2
    (tmp_path / "test" / "cat" / "deeper" / "new.png").touch()
    assert bases.size(dataset("imagefolder"), "test") == 3


def test_an_image_written_over_gives_the_base_another_identity(tmp_path: Path) -> None:
    """The identity decides whether decoded images are still good."""
    folders(tmp_path / "test", cat=1)
    bases = Bases(tmp_path)
    before = bases.identity(dataset("imagefolder"), "test")
    (tmp_path / "test" / "cat" / "0.png").write_bytes(b"other pixels")
    assert bases.identity(dataset("imagefolder"), "test") != before


def test_an_image_link_that_leads_nowhere_is_missing_data(tmp_path: Path) -> None:
    """It is named as the owner's to mend, when the base's identity is asked for."""
    folders(tmp_path / "test", cat=1)
    (tmp_path / "test" / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(RequestError):
        Bases(tmp_path).identity(dataset("imagefolder"), "test")
