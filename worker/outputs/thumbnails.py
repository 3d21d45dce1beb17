"""Small pictures of samples, as PNG in base64."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field

from PIL import Image

from app.catalog.bases import Bases
from app.catalog.datasets import Dataset
from app.catalog.labels import labelled_files
from app.domain.errors import RelogitError
from worker.datasets.pools import Pools

SIDE = 96
"""Pixels of a picture's longer side at most; smaller images stay as they are."""
MAX_BYTES = 280_000
"""Of all pictures together, as base64."""


@dataclass
class Thumbnails:
    """The pictures of a comparison, up to MAX_BYTES. Lives as long as a task.

    Attributes:
        pictures: key → PNG in base64.
        reason: why some picture could not be made, if any.
    """

    bases: Bases
    pools: Pools
    pictures: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    _full: bool = False
    _paths: dict[str, list[str]] = field(default_factory=dict)
    """Base → the files of its images."""

    def add(self, dataset: Dataset, base: str, sample: int) -> str | None:
        """Make a sample's picture; return its key, or None if it cannot be made or has no room left."""
        key = f"{base}/{sample}"
        if key in self.pictures:
            return key
        if self._full or self.reason:
            return None
        try:
            encoded = _encoded(self._image(dataset, base, sample))
        except (RelogitError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            self.reason = f"The images of base {base!r} cannot be read: {_text(error)}"
            return None
        self._full = sum(map(len, self.pictures.values())) + len(encoded) > MAX_BYTES
        if self._full:
            return None
        self.pictures[key] = encoded
        return key

    def _image(self, dataset: Dataset, base: str, sample: int) -> Image.Image:
        if dataset.kind == "imagefolder":  # decoding the whole base may take minutes
            if base not in self._paths:
                self._paths[base] = [path for path, _ in labelled_files(self.bases, dataset, base)]
            with Image.open(self._paths[base][sample]) as image:
                return image.convert("RGB")
        return Image.fromarray(self.pools.get(dataset, base).images[sample])


def _encoded(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def _text(error: Exception) -> str:
    text = error.message if isinstance(error, RelogitError) else str(error) or type(error).__name__
    return text if text.endswith(".") else f"{text}."


def in_turns(lengths: Iterable[int]) -> list[tuple[int, int]]:
    """List (list, place) of all entries of several lists, first those at place 0, so that each gets some room."""
    sizes = list(lengths)
    return [
        (number, place) for place in range(max(sizes, default=0)) for number, size in enumerate(sizes) if place < size
    ]
