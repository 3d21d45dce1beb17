"""The same picture at different indices, found by its pixels: within a list, across lists, across bases.

CIFAR has such. To the index lists they are different samples; to a network they are one, so a picture that is in
train and in test leaks as a shared index does. The same index twice is a repeat, and none of this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from worker.verify.check import MAX_EVIDENCE, Check, warning_check

DIGEST_BYTES = 16
SHOWN_DIGITS = 12  # of the digest, in hex

Lists = Mapping[str, tuple[str, NDArray[np.int64]]]
"""By the list's name: its base, and [N] indices into it."""


def image_digests(images: NDArray[np.uint8]) -> NDArray[np.void]:
    """What tells pictures apart: BLAKE2b of each one's pixels, row by row. Shapes are not part of it.

    Args:
        images: [N, H, W, 3] uint8; a memory map will do.

    Returns:
        [N] of 16 opaque bytes (dtype V16), in the order of the images.
    """
    # One by one: nothing but a single picture is copied, whatever the layout of the whole.
    each = (np.ascontiguousarray(image).data for image in images)
    digests = (hashlib.blake2b(pixels, digest_size=DIGEST_BYTES).digest() for pixels in each)
    return np.frombuffer(b"".join(digests), dtype=f"V{DIGEST_BYTES}")


class Pictures:
    """Which places of some bases show the same picture. A place is an index into one of them.

    Args:
        digests: [N] for each base, of every image in its order, as `image_digests` gives them.
    """

    def __init__(self, digests: Mapping[str, NDArray[np.void]]) -> None:
        sizes = [len(of_base) for of_base in digests.values()]
        # Places of all bases are numbered through.
        self._starts = dict(zip(digests, np.cumsum([0, *sizes]).tolist(), strict=False))
        self._digests = np.concatenate([np.empty(0, f"V{DIGEST_BYTES}"), *digests.values()])
        # [all places], the number of the picture at each
        self._numbers = np.unique(self._digests, return_inverse=True)[1]

    def check_within(self, lists: Lists) -> Check:
        """No picture is at several indices of the one list that is given."""
        (name,) = lists
        return self._check(lists, 1, {}, f"in {name!r} at several indices; each counts in every figure.")

    def check_across(self, lists: Lists, pairs: Iterable[tuple[str, str]]) -> list[Check]:
        """No picture of a list is, at another index or in another base, also in another list.

        Args:
            lists: by name.
            pairs: that are to be compared; one or more.

        Returns:
            A failed check for each pair that shares pictures, or one that passed.
        """
        checks = [self._check_pair(lists, one, other) for one, other in pairs]
        return [check for check in checks if check.verdict == "failed"] or [
            warning_check(
                "same-picture", True, {"pictures": 0}, {"pictures": 0},
                "No picture is in several lists, at different indices.",
            )
        ]  # fmt: skip

    def _check_pair(self, lists: Lists, one: str, other: str) -> Check:
        rest = f"in {one!r} and, at another index, in {other!r}; what was chosen on one is not tested on the other."
        return self._check({name: lists[name] for name in (one, other)}, 2, {"splits": [one, other]}, rest)

    def _check(self, lists: Lists, least: int, about: Mapping[str, object], rest: str) -> Check:
        # Each index once: only different places count.
        places = {name: self._starts[base] + np.unique(indices) for name, (base, indices) in lists.items()}
        in_lists = np.zeros(len(self._digests), np.int64)  # by picture, of which there are no more than places
        used = np.zeros(len(self._digests), np.bool_)  # by place
        for rows in places.values():
            in_lists[np.unique(self._numbers[rows])] += 1
            used[rows] = True
        at_places = np.bincount(self._numbers[used], minlength=len(in_lists))
        # Two lists and two places: then one of the lists has it at a place, and the other at another.
        several = (in_lists >= least) & (at_places > 1)
        count = int(several.sum())
        shown: list[int] = []
        for rows in places.values():  # in the order of the lists, and of the indices in each
            numbers = self._numbers[rows]
            shown += [number for number in dict.fromkeys(numbers[several[numbers]].tolist()) if number not in shown]
            if len(shown) >= MAX_EVIDENCE:
                break
        evidence = [self._places_of(number, lists, places) for number in shown[:MAX_EVIDENCE]]
        message = f"No picture is {rest.split(';')[0].rstrip('.')}."
        if count:
            message = f"{count} {'picture is' if count == 1 else 'pictures are'} {rest}"
        measured = {**about, "pictures": count}
        return warning_check("same-picture", not count, measured, {"pictures": 0}, message, evidence)

    def _places_of(self, number: int, lists: Lists, places: Mapping[str, NDArray[np.int64]]) -> dict[str, object]:
        """One picture, with the first of its places: at most MAX_EVIDENCE, since many images may be all black."""
        found = []
        for name, rows in places.items():
            base = lists[name][0]
            here = rows[self._numbers[rows] == number][:MAX_EVIDENCE] - self._starts[base]
            found += [{"list": name, "base": base, "index": index} for index in here.tolist()]
        first = int(np.argmax(self._numbers == number))
        digest = self._digests[first : first + 1].tobytes().hex()[:SHOWN_DIGITS]
        return {"digest": digest, "places": found[:MAX_EVIDENCE]}
