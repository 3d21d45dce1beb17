"""Pools: the decoded images and labels of a base, kept in memory as long as the base's files do not change."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.catalog.bases import CIFAR, Bases
from app.catalog.datasets import Dataset
from app.catalog.labels import check_labels, cifar_batches, labelled_files, read_labels
from app.catalog.npz_bases import npz_errors
from app.domain.errors import RequestError, TransientError
from app.domain.syntax_trees import SYNTAX_TREES
from worker.device import cores
from worker.torchvision_import import import_torchvision

Decoded = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""[N, H, W, 3] uint8 images, and [N] int64 labels."""

LOCK_TIMEOUT_S = 1.0
"""Seconds to wait for another thread's decoding before the next heartbeat."""


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
    """Digest of shape, pixels and labels: two pools with equal content are the same pool."""
    pixels_sha256: str
    """Digest of shape and pixels alone, which logits depend on."""


class Pools:
    """Cache of the most recently requested pools, for both worker threads.

    Args:
        max_bytes: decoded pixels to keep; the last requested pool stays whatever its size.
        beat: sends a heartbeat; called by a thread that decodes, or that waits while another one decodes.
    """

    def __init__(self, bases: Bases, max_bytes: int = 8 * 2**30, beat: Callable[[], None] = lambda: None) -> None:
        self._bases = bases
        self._beat = beat
        self._decoded = 0
        """Images decoded so far; a number that stands still shows that the decoding thread hangs."""
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[Any, ...], tuple[object, Pool]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, dataset: Dataset, base: str) -> Pool:
        """Return the decoded base.

        Raises:
            RequestError: `data-missing`, `data-corrupt`, `base-unknown`.
            TransientError: `data-changing`, its files were changed while they were read.
        """
        key = (dataset.kind, dataset.root, base, dataset.resize, dataset.crop)
        with self._locked():  # two threads that request one pool must not decode it twice
            identity = self._identity(dataset, base)
            kept = self._kept.get(key)
            if kept is None or kept[0] != identity:
                self._kept.pop(key, None)  # frees the outdated pool's memory before the new one is decoded
                pool = self._decode(dataset, base)
                if self._identity(dataset, base) != identity:
                    message = f"The files of base {base!r} were changed while they were read."
                    raise TransientError("data-changing", message)
                self._kept[key] = kept = (identity, pool)
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(p.images.nbytes for _, p in self._kept.values()) > self._max_bytes:
                self._kept.popitem(last=False)
            return kept[1]

    def _report_image(self) -> None:
        self._decoded += 1
        self._beat()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        decoded = -1
        while not self._lock.acquire(timeout=LOCK_TIMEOUT_S):
            # Without progress of the lock's holder both threads hang, and the heartbeat has to stop.
            if self._decoded != decoded:
                decoded = self._decoded
                self._beat()
        try:
            yield
        finally:
            self._lock.release()

    def labels(self, dataset: Dataset, base: str) -> NDArray[np.int64]:
        """Return a base's labels [N] int64 without decoding images.

        Raises:
            RequestError: as `get`.
        """
        return read_labels(self._bases, dataset, base)

    def _decode(self, dataset: Dataset, base: str) -> Pool:
        images, labels = self._read(dataset, base)
        images.flags.writeable = False
        labels.flags.writeable = False
        pixels = hashlib.sha256(repr(images.shape).encode())
        pixels.update(np.ascontiguousarray(images).data)
        both = pixels.copy()
        both.update(labels.astype("<i8").data)
        classes = self._bases.classes(dataset)
        return Pool(base, images, labels, classes, both.hexdigest(), pixels.hexdigest())

    def _read(self, dataset: Dataset, base: str) -> Decoded:
        # Images and labels are read together: two separate reads could see two states, shifted by a row.
        self._bases.size(dataset, base)  # checks shapes and types, with clear errors
        paths = self._bases.files(dataset, base)
        if dataset.kind in CIFAR:
            return _read_cifar(dataset.kind, base, paths)
        if dataset.kind == "npz":
            images, labels = _read_npz(paths[0])
        else:
            files = labelled_files(self._bases, dataset, base)
            images = _read_images(dataset, [path for path, _ in files], self._report_image)
            labels = np.asarray([label for _, label in files], dtype=np.int64)
        return images, check_labels(labels, self._bases.classes(dataset), base)

    def _identity(self, dataset: Dataset, base: str) -> tuple[object, int]:
        return self._bases.identity(dataset, base), self._bases.classes(dataset)


def _read_cifar(kind: str, base: str, paths: tuple[Path, ...]) -> Decoded:
    key, images, labels = CIFAR[kind].label_key, [], []
    for batch in cifar_batches(kind, base, paths):
        images.append(batch["data"])
        labels.append(np.asarray(batch[key], dtype=np.int64))
    planes = np.concatenate(images).reshape(-1, 3, 32, 32)  # [N, C, H, W]
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.concatenate(labels)


def _read_npz(path: Path) -> Decoded:
    with npz_errors(path), SYNTAX_TREES, np.load(path, allow_pickle=False) as arrays:
        return arrays["images"], arrays["labels"].astype(np.int64)


def _read_images(dataset: Dataset, paths: list[str], beat: Callable[[], None]) -> NDArray[np.uint8]:
    torchvision = import_torchvision()
    prepare = _resizer(dataset, torchvision)
    load = torchvision.datasets.folder.default_loader

    def decode(path: str) -> NDArray[np.uint8]:
        try:
            return np.asarray(prepare(load(path)), dtype=np.uint8)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow's errors
            raise RequestError("data-corrupt", f"{path} is not a readable image: {error}.") from error

    first = decode(paths[0])
    # Filled in place, because np.stack of a list would need twice the memory.
    images = np.empty((len(paths), *first.shape), np.uint8)

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
            beat()
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
