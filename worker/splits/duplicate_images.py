"""Checks for the same image at different indices: within a list, across lists, across bases.

CIFAR has such images. They are different samples for the index lists and the same sample for a network, so an image
that is in train and in test leaks like a shared index. Images are compared by their pixels. The same index twice is a
repeat (`worker.verify.lists.check_repeats`) and does not count here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE, Check, warning_check

DIGEST_BYTES = 16
SHOWN_DIGITS = 12  # hex digits of a digest in the evidence

Lists = Mapping[str, tuple[str, NDArray[np.int64]]]
"""Name of a list → its base, and [N] indices into that base."""


def image_digests(images: NDArray[np.uint8]) -> NDArray[np.void]:
    """Hash each image's pixels, not its shape, with BLAKE2b.

    `images` are [N, H, W, 3] uint8, and may be a memory map. Returns [N] of 16 opaque bytes (dtype V16).
    """
    # Images are copied one at a time, so a large array needs no second copy, whatever its layout.
    buffers = (np.ascontiguousarray(image).data for image in images)
    digests = (hashlib.blake2b(pixels, digest_size=DIGEST_BYTES).digest() for pixels in buffers)
    return np.frombuffer(b"".join(digests), dtype=f"V{DIGEST_BYTES}")


class ImageGroups:
    """Groups of places, indices into several bases, with the same image.

    Args:
        digests: [N] for each base, the result of `image_digests` for all its images.
    """

    def __init__(self, digests: Mapping[str, NDArray[np.void]]) -> None:
        sizes = [len(base_digests) for base_digests in digests.values()]
        # The places of all bases are numbered consecutively.
        self._starts = dict(zip(digests, np.cumsum([0, *sizes]).tolist(), strict=False))
        self._digests = np.concatenate([np.empty(0, f"V{DIGEST_BYTES}"), *digests.values()])
        # [places], the number of the image at each place
        self._numbers = np.unique(self._digests, return_inverse=True)[1]

    def check_within(self, lists: Lists) -> Check:
        """Check the only list for images at several indices."""
        (name,) = lists
        harm = "; each counts in every figure."
        return self._check(lists, 1, {}, f"in {name!r} at several indices", harm)

    def check_across(self, lists: Lists, pairs: Iterable[tuple[str, str]]) -> list[Check]:
        """Check that the pairs of lists share no image.

        An image at the same index of the same base is a shared sample, which `check_overlap` reports. Returns a
        failed check for each of the `pairs` (one or more) that shares images, or one passed check.
        """
        checks = [self._check_pair(lists, first, second) for first, second in pairs]
        return [check for check in checks if check.verdict == "failed"] or [
            warning_check(
                "same-picture", True, {"pictures": 0}, {"pictures": 0},
                "No picture is in several lists, at different indices.",
            )
        ]  # fmt: skip

    def _check_pair(self, lists: Lists, first: str, second: str) -> Check:
        where = f"in {first!r} and, at another index, in {second!r}"
        pair = {name: lists[name] for name in (first, second)}
        harm = "; what was chosen on one is not tested on the other."
        return self._check(pair, 2, {"splits": [first, second]}, where, harm)

    def _check(self, lists: Lists, least: int, labels: Mapping[str, object], where: str, harm: str) -> Check:
        """Check for images repeated in at least `least` lists.

        `labels` begin the measured values; `where` and `harm` follow "is" in the message.
        """
        # Each index counts once, because only different places make a duplicate.
        places = {name: self._starts[base] + np.unique(indices) for name, (base, indices) in lists.items()}
        list_counts = np.zeros(len(self._digests), np.int64)  # by image; there are no more images than places
        occupied = np.zeros(len(self._digests), np.bool_)  # by place
        for rows in places.values():
            list_counts[np.unique(self._numbers[rows])] += 1
            occupied[rows] = True
        place_counts = np.bincount(self._numbers[occupied], minlength=len(list_counts))
        # An image in two lists and at two places is at different places in them.
        duplicate = (list_counts >= least) & (place_counts > 1)
        count = int(duplicate.sum())
        numbers: list[int] = []
        for rows in places.values():  # in the order of the lists, and of the indices in each
            here = self._numbers[rows]
            numbers += [number for number in dict.fromkeys(here[duplicate[here]].tolist()) if number not in numbers]
            if len(numbers) >= MAX_EVIDENCE:
                break
        evidence = [self._places_of(number, lists, places) for number in numbers[:MAX_EVIDENCE]]
        message = f"No picture is {where}."
        if count:
            message = f"{count} {'picture is' if count == 1 else 'pictures are'} {where}{harm}"
        measured = {**labels, "pictures": count}
        return warning_check("same-picture", not count, measured, {"pictures": 0}, message, evidence)

    def _places_of(self, number: int, lists: Lists, places: Mapping[str, NDArray[np.int64]]) -> dict[str, object]:
        """Give an image's digest and first MAX_EVIDENCE places."""
        entries = []
        for name, rows in places.items():
            base = lists[name][0]
            indices = rows[self._numbers[rows] == number][:MAX_EVIDENCE] - self._starts[base]
            entries += [{"list": name, "base": base, "index": index} for index in indices.tolist()]
        first = int(np.argmax(self._numbers == number))
        digest = self._digests[first : first + 1].tobytes().hex()[:SHOWN_DIGITS]
        return {"digest": digest, "places": entries[:MAX_EVIDENCE]}
