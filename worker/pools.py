"""A data set's base as decoded images and labels: decoded once, kept as long as its files do not change."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """The pools that have been asked for. Lives as long as the worker."""

    def __init__(self, bases: Bases) -> None:
        self._bases = bases
        self._kept: dict[str, tuple[object, Pool]] = {}

    def get(self, dataset: Dataset, base: str) -> Pool:
        """The decoded base.

        Raises:
            RequestError: `data-missing`, `data-corrupt`, `base-unknown`.
        """
        place = f"{dataset.kind}:{dataset.root}:{base}:{dataset.resize}:{dataset.crop}"
        identity = (self._bases.identity(dataset, base), self._bases.classes(dataset))
        kept = self._kept.get(place)
        if kept is None or kept[0] != identity:
            self._kept.pop(place, None)  # an outdated pool goes before the new one takes its room
            self._kept[place] = kept = (identity, self._decode(dataset, base))
        return kept[1]

    def _decode(self, dataset: Dataset, base: str) -> Pool:
        self._bases.size(dataset, base)  # shapes and types, with its clear errors
        paths = self._bases.files(dataset, base)
        if dataset.kind in CIFAR:
            images, labels = _read_cifar(dataset.kind, base, paths)
        elif dataset.kind == "npz":
            with npz_errors(paths[0]), np.load(paths[0], allow_pickle=False) as arrays:
                images, labels = arrays["images"], arrays["labels"].astype(np.int64)
        else:
            images, labels = _read_folders(
                dataset, self._bases.root(dataset) / base, self._bases.class_names(dataset)
            )
        classes = self._bases.classes(dataset)
        if labels.size and not (labels.min() >= 0 and labels.max() < classes):
            raise RequestError(
                "data-corrupt",
                f"The labels of base {base!r} reach from {labels.min()} to {labels.max()}, but there are {classes} "
                f"classes: 0 to {classes - 1} would have been right.",
            )
        images.flags.writeable = False
        labels.flags.writeable = False
        return Pool(base, images, labels, classes, _digest(images, labels))


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


def _read_folders(
    dataset: Dataset, folder: Path, class_names: tuple[str, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    torchvision = import_torchvision()
    prepare = _resizer(dataset, torchvision)
    load = torchvision.datasets.folder.default_loader
    numbers = {name: number for number, name in enumerate(class_names)}
    paths = [(path, numbers[name]) for name in class_names for path in image_files(folder / name)]

    def decode(path: str) -> NDArray[np.uint8]:
        try:
            return np.asarray(prepare(load(path)), dtype=np.uint8)
        except OSError as error:
            raise RequestError("data-corrupt", f"{path} is not a readable image: {error}.") from error

    with ThreadPoolExecutor(cores()) as threads:
        images = list(threads.map(decode, [path for path, _ in paths]))
    odd = next((i for i, image in enumerate(images) if image.shape != images[0].shape), None)
    if odd is not None:
        sizes = [f"{paths[i][0]} has {images[i].shape[1]}x{images[i].shape[0]}" for i in (0, odd)]
        raise RequestError(
            "data-corrupt",
            f"The images differ in size: {sizes[0]}, {sizes[1]}. Declare `resize` and `crop` for the data set.",
        )
    return np.stack(images), np.asarray([label for _, label in paths], dtype=np.int64)


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
