"""A verification of files of logits, as a handle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypedDict

from relogit.wire import Wire
from relogit.work import Work


class VerifyRequest(TypedDict, total=False):
    """How files are to be verified; what is left out, or None, is the server's default.

    Attributes:
        dataset: a name out of the server's `datasets.toml`.
        splits_dir: folder below the server's data.
        expert: of a single file; the name of its folder by default.
        split: of a single file; what stands before `_logits` in its name by default.
        head_threshold: train samples; a class with more is head, any other is tail.
        floors: fractions by the accuracy's name; a result below one gets a warning.
        recompute: rows of each result that the server computes anew with its checkpoint and compares; 0 for none.
        checkpoint_prefix: what stands before the expert in its checkpoint's name; "best_" by default.
        experts_dir: folder below the server's checkpoints. Both are for files whose manifest names no checkpoint.
    """

    dataset: str | None
    splits_dir: str | None
    expert: str | None
    split: str | None
    head_threshold: int | None
    floors: Mapping[str, float] | None
    recompute: int | None
    checkpoint_prefix: str | None
    experts_dir: str | None


class Verification(Work):
    """A verification as last seen; it stays usable as long as its `Client` is open.

    It `succeeded` once it was carried out, whatever it found: `verdict` says whether the files may be trusted.

    Attributes:
        data: its JSON as last seen.
        others: files beside those verified that look like arrays but are not named `<split>_logits.npz` or `.pt`,
            as found when it was asked for.
    """

    kind = "Verification"
    resource = "verifications"

    def __init__(self, wire: Wire, data: dict[str, Any], others: tuple[str, ...] = ()) -> None:
        super().__init__(wire, data)
        self.others = others or tuple(data["request"]["others"])

    @property
    def verdict(self) -> str | None:
        """`passed` or `failed`; None until it has been carried out."""
        return None if self.data["verdict"] is None else str(self.data["verdict"])

    @property
    def checks(self) -> list[dict[str, Any]]:
        """The checks between the results; empty until it has been carried out."""
        return list(self.data["checks"])

    @property
    def results(self) -> list[dict[str, Any]]:
        """For each file expert, split, verdict, checks, metrics, error; empty until it has been carried out."""
        return list(self.data["results"])

    def cancel(self) -> Self:
        """Ask the server to stop it; returns this handle, which may still be `cancelling`."""
        self._wire.post(f"{self._job}/cancel")
        return self.refresh()
