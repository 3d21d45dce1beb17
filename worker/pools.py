"""A data set's base as decoded images and labels: decoded once, kept as long as its files do not change."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.bases import CIFAR, Bases, check_md5, image_files, npz_errors, read_file
from app.datasets import Dataset
from app.errors import RequestError
from worker.device import cores
from worker.torchvision_import import import_torchvision


@dataclass(frozen=True)
class Pool:
    """Every image of a base, in the base's own order."""

    base: str
    images: NDArray[np.uint8]
    """[N, H, W, 3] uint8, RGB."""
    labels: NDArray[np.int64]
    """[N] int64, each in [0, classes)."""
    classes: int
    sha256: str
    """Of shape, pixels and labels: two pools with equal content are the same pool."""


class Pools:
    """The pools that were asked for last. Lives as long as the worker; used by both of its threads.

    Args:
        bases: where they lie.
        max_bytes: decoded pixels to keep; the pool asked for last stays whatever its size.
    """

    def __init__(self, bases: Bases, max_bytes: int = 8 * 2**30) -> None:
        self._bases = bases
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[Any, ...], tuple[object, Pool]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, dataset: Dataset, base: str) -> Pool:
        """The decoded base.

        Raises:
            RequestError: `data-missing`, `data-corrupt`, `base-unknown`.
        """
        place = (dataset.kind, dataset.root, base, dataset.resize, dataset.crop)
        with self._lock:  # two threads that ask for one pool must not decode it twice
            identity = (self._bases.identity(dataset, base), self._bases.classes(dataset))
            kept = self._kept.get(place)
            if kept is None or kept[0] != identity:
                self._kept.pop(place, None)  # an outdated pool goes before the new one takes its room
                kept = (identity, self._decode(dataset, base))
                self._kept[place] = kept
            self._kept.move_to_end(place)
            while (
                len(self._kept) > 1 and sum(pool.images.nbytes for _, pool in self._kept.values()) > self._max_bytes
            ):
                self._kept.popitem(last=False)
            return kept[1]

    def labels(self, dataset: Dataset, base: str) -> NDArray[np.int64]:
        """[N] int64, the base's labels alone: its images are neither decoded nor kept.

        Raises:
            RequestError: as `get`.
        """
        self._bases.size(dataset, base)
        paths = self._bases.files(dataset, base)
        if dataset.kind in CIFAR:
            return _read_cifar(dataset.kind, base, paths)[1]
        if dataset.kind == "npz":
            with npz_errors(paths[0]), np.load(paths[0], allow_pickle=False) as arrays:
                labels = arrays["labels"].astype(np.int64)
        else:
            numbered = _numbered_files(self._bases.root(dataset) / base, self._bases.class_names(dataset))
            labels = np.asarray([label for _, label in numbered], dtype=np.int64)
        return _checked_labels(labels, self._bases.classes(dataset), base)

    def _decode(self, dataset: Dataset, base: str) -> Pool:
        paths = self._bases.files(dataset, base)
        if dataset.kind in CIFAR:
            images, labels = _read_cifar(dataset.kind, base, paths)
        else:
            images, labels = self._images(dataset, base, paths), self.labels(dataset, base)
        images.flags.writeable = False
        labels.flags.writeable = False
        return Pool(base, images, labels, self._bases.classes(dataset), _digest(images, labels))

    def _images(self, dataset: Dataset, base: str, paths: tuple[Path, ...]) -> NDArray[np.uint8]:
        self._bases.size(dataset, base)  # shapes and types, with its clear errors
        if dataset.kind == "npz":
            with npz_errors(paths[0]), np.load(paths[0], allow_pickle=False) as arrays:
                images: NDArray[np.uint8] = arrays["images"]
                return images
        folder = self._bases.root(dataset) / base
        return _read_images(dataset, _numbered_files(folder, self._bases.class_names(dataset)))

    def _bytes(self) -> int:
        return sum(pool.images.nbytes for _, pool in self._kept.values())


def _checked_labels(labels: NDArray[np.int64], classes: int, base: str) -> NDArray[np.int64]:
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise RequestError(
            "data-corrupt",
            f"The labels of base {base!r} reach from {labels.min()} to {labels.max()}, but there are {classes} "
            f"classes: 0 to {classes - 1} would have been right.",
        )
    return labels


def _read_cifar(kind: str, base: str, paths: tuple[Path, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    layout = CIFAR[kind]
    images, labels = [], []
    for path, (_, md5) in zip(paths, layout.files[base], strict=True):
        # The very bytes whose md5 is the published one are unpickled; any others might run code.
        batch: dict[str, Any] = pickle.loads(check_md5(read_file(path), path, md5), encoding="latin1")
        images.append(batch["data"])
        labels.append(np.asarray(batch[layout.label_key], dtype=np.int64))
    planes = np.concatenate(images).reshape(-1, 3, 32, 32)  # [N, C, H, W]
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.concatenate(labels)


def _numbered_files(folder: Path, class_names: tuple[str, ...]) -> list[tuple[str, int]]:
    return [(path, number) for number, name in enumerate(class_names) for path in image_files(folder / name)]


def _read_images(dataset: Dataset, numbered: list[tuple[str, int]]) -> NDArray[np.uint8]:
    torchvision = import_torchvision()
    prepare = _resizer(dataset, torchvision)
    load = torchvision.datasets.folder.default_loader

    def decode(path: str) -> NDArray[np.uint8]:
        try:
            return np.asarray(prepare(load(path)), dtype=np.uint8)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow's ways to say so
            raise RequestError("data-corrupt", f"{path} is not a readable image: {error}.") from error

    paths = [path for path, _ in numbered]
    first = decode(paths[0])
    images = np.empty((len(paths), *first.shape), np.uint8)  # filled in place: a list and a stack would take twice it

    def place(row: int) -> None:
        image = decode(paths[row])
        if image.shape != first.shape:
            sizes = [f"{path} has {shape[1]}x{shape[0]}" for path, shape in
                     ((paths[0], first.shape), (paths[row], image.shape))]  # fmt: skip
            raise RequestError(
                "data-corrupt",
                f"The images differ in size: {sizes[0]}, {sizes[1]}. Declare `resize` and `crop` for the data set.",
            )
        images[row] = image

    with ThreadPoolExecutor(cores()) as threads:
        for _ in threads.map(place, range(len(paths))):
            pass
    return images


def _resizer(dataset: Dataset, torchvision: Any) -> Callable[[Any], Any]:
    transforms = torchvision.transforms
    steps = []
    if dataset.resize is not None:
        steps.append(transforms.Resize(dataset.resize))
    if dataset.crop is not None:
        steps.append(transforms.CenterCrop(dataset.crop))
    compose: Callable[[Any], Any] = transforms.Compose(steps)
    return compose


def _digest(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(labels.astype("<i8").data)
    return digest.hexdigest()
