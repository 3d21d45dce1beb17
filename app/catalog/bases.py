"""A data set's bases on disk: their files, sizes and classes, without decoding an image.

A base is a numbered collection of labelled images (CIFAR's `test`, an npz file, a folder of class folders).
The worker decodes the same files; the checks here are made before a job is accepted and again there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.catalog.datasets import Dataset
from app.catalog.npz_bases import npz_checksums, npz_classes, npz_size
from app.domain.errors import RequestError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""As torchvision.datasets.folder.IMG_EXTENSIONS."""

FileId = tuple[str, int, int, int, int]
"""Path, bytes, modification and change time in ns, inode: changes whenever a file is written or replaced.

Size and modification time alone would not suffice: checkpoints of one network are equally large, and `cp -p` or an
archive sets the time. No program sets the change time. A memory map, though, can change content without moving any
time: where a number depends on the content, its digest or checksum has to be compared as well.
"""


@dataclass(frozen=True, slots=True)
class CifarLayout:
    """The published files of one CIFAR version, with their md5 (https://www.cs.toronto.edu/~kriz/cifar.html)."""

    folder: str
    classes: int
    label_key: str
    files: dict[str, tuple[tuple[str, str], ...]]
    sizes: dict[str, int]


CIFAR = {
    "cifar10": CifarLayout(
        folder="cifar-10-batches-py",
        classes=10,
        label_key="labels",
        files={
            "train": (
                ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
                ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
                ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
                ("data_batch_4", "634d18415352ddfa80567beed471001a"),
                ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
            ),
            "test": (("test_batch", "40351d587109b95175f43aff81a1287e"),),
        },
        sizes={"train": 50_000, "test": 10_000},
    ),
    "cifar100": CifarLayout(
        folder="cifar-100-python",
        classes=100,
        label_key="fine_labels",
        files={
            "train": (("train", "16019d7e3df5f24257cddd939b257f8d"),),
            "test": (("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
        },
        sizes={"train": 50_000, "test": 10_000},
    ),
}


def file_id(path: Path) -> FileId:
    """Identify the state of a file, following symbolic links."""
    stat = path.stat()
    return (str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


class Bases:
    """Sizes and class counts of bases, cached until their files change. Lives as long as its process."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._cache: dict[tuple[str, tuple[FileId, ...]], int] = {}

    def root(self, dataset: Dataset) -> Path:
        """Return the folder that holds the data set's bases."""
        return self._data_dir / dataset.root

    def names(self, dataset: Dataset) -> tuple[str, ...]:
        """List the declared bases and those of the kind."""
        layout = CIFAR.get(dataset.kind)
        return tuple(sorted({*dataset.base_names(), *(layout.files if layout else ())}))

    def files(self, dataset: Dataset, base: str) -> tuple[Path, ...]:
        """Return the base's files, or an `imagefolder`'s class folders.

        Raises:
            RequestError: `base-unknown` or `data-missing`.
        """
        root = self.root(dataset)
        layout = CIFAR.get(dataset.kind)
        if layout:
            if base not in layout.files:
                raise RequestError(
                    "base-unknown", f"{dataset.kind} has no base {base!r}; it has {', '.join(sorted(layout.files))}."
                )
            paths = tuple(root / layout.folder / name for name, _ in layout.files[base])
        elif dataset.kind == "npz":
            paths = (root / f"{base}.npz",)
        else:
            folder = root / base
            paths = tuple(sorted(p for p in folder.iterdir() if p.is_dir())) if folder.is_dir() else (folder,)
        missing = [str(path) for path in paths if not path.exists()]
        if missing or not paths:
            needed = ", ".join(missing) if missing else f"a class folder in {root / base}"
            raise RequestError(
                "data-missing", f"The base {base!r} needs {needed}, which is not there.", missing=missing
            )
        return paths

    def size(self, dataset: Dataset, base: str) -> int:
        """Return the number of images in the base.

        Raises:
            RequestError: `data-missing`, or `data-corrupt` for an unexpected content or md5.
        """
        paths = self.files(dataset, base)
        layout = CIFAR.get(dataset.kind)
        if layout:
            # Cached by times alone, because no number depends on it: sizes are those of the published files, and the
            # worker compares the md5 of the very bytes that it decodes.
            for path, (_, md5) in zip(paths, layout.files[base], strict=True):
                self._cached("md5", (file_id(path),), partial(_check_file, path, md5))
            return layout.sizes[base]
        if dataset.kind == "npz":
            return npz_size(paths[0])
        return len(_images(paths))

    def classes(self, dataset: Dataset) -> int:
        """Return the number of classes.

        It comes from the kind, the class folders, the declaration, or the labels.

        Raises:
            RequestError: `data-missing`, none of its bases is there.
        """
        layout = CIFAR.get(dataset.kind)
        if layout:
            return layout.classes
        if dataset.kind == "imagefolder":
            return len(self.class_names(dataset))
        if dataset.classes is not None:
            return dataset.classes
        present = [b for b in dataset.base_names() if (self.root(dataset) / f"{b}.npz").exists()]
        paths = [self.files(dataset, base)[0] for base in present or dataset.base_names()]
        return max(self._cached("labels", _npz_identity(path), partial(npz_classes, path)) for path in paths)

    def class_names(self, dataset: Dataset) -> tuple[str, ...]:
        """List the names of an `imagefolder`'s classes, sorted.

        Class c is the c-th. All bases count, because one that lacks a class would number the later ones differently.
        """
        present = [b for b in dataset.base_names() if (self.root(dataset) / b).is_dir()]
        names = {path.name for base in present or dataset.base_names() for path in self.files(dataset, base)}
        return tuple(sorted(names))

    def identity(self, dataset: Dataset, base: str) -> tuple[FileId, ...]:
        """Tell one state of a base's files from another.

        For `npz` also by the checksums of its arrays, which are compared again when the arrays are read: a memory
        map can exchange content without moving times. For CIFAR by times alone, since only the published bytes are
        ever decoded. For `imagefolder` by the times of every image, in one entry: reading them all takes too long.

        Raises:
            RequestError: `base-unknown`, `data-missing`, or `data-corrupt` for a file that is no .npz.
        """
        paths = self.files(dataset, base)
        if dataset.kind == "npz":
            return _npz_identity(paths[0])
        if dataset.kind != "imagefolder":
            return tuple(file_id(path) for path in paths)
        try:
            ids = [file_id(Path(path)) for path in _images(paths)]
        except OSError as error:
            raise RequestError("data-missing", f"{error.filename} is not there: {error.strerror}.") from error
        digest = hashlib.sha256(repr(ids).encode()).hexdigest()
        return ((digest, len(ids), 0, 0, 0),)

    def _cached(self, kind: str, identity: tuple[FileId, ...], find_out: Callable[[], int]) -> int:
        key = (kind, identity)
        if key not in self._cache:
            self._cache[key] = find_out()
        return self._cache[key]


def _images(folders: tuple[Path, ...]) -> list[str]:
    return [path for folder in folders for path in image_files(folder)]


def _check_file(path: Path, md5: str) -> int:
    try:
        with path.open("rb") as stream:
            actual = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error
    _compare_md5(actual, path, md5)
    return 1


def check_md5(data: bytes, path: Path, expected: str) -> bytes:
    """Return the bytes if they are the published ones.

    Call it before unpickling them.

    Raises:
        RequestError: `data-corrupt`.
    """
    _compare_md5(hashlib.md5(data, usedforsecurity=False).hexdigest(), path, expected)
    return data


def _compare_md5(actual: str, path: Path, expected: str) -> None:
    if actual != expected:
        raise RequestError(
            "data-corrupt",
            f"{path} is not the published file: its md5 is {actual}, {expected} would have been right. "
            "Download it again.",
        )


def image_files(folder: Path) -> list[str]:
    """List a class folder's images in torchvision's order, following links."""
    return [
        os.path.join(parent, name)  # noqa: PTH118 — torchvision's own spelling of the same path
        for parent, _, names in sorted(os.walk(folder, followlinks=True))
        for name in sorted(names)
        if name.lower().endswith(IMAGE_SUFFIXES)
    ]


def read_file(path: Path) -> bytes:
    """Read a file's bytes.

    Raises:
        RequestError: `data-unreadable`.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RequestError:
    return RequestError("data-unreadable", f"{path} cannot be read: {error.strerror}.")


def _npz_identity(path: Path) -> tuple[FileId, ...]:
    return (file_id(path), *npz_checksums(path))
