"""The client's methods for sets of splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from relogit.errors import StillRunning
from relogit.wire import Wire, segments, without_none

CREATE_S = 600.0  # seconds for which the server may list the files of a large base
AUDIT_S = 60.0  # seconds for which an audit may read all images


class SplitsRequest(TypedDict, total=False):
    """The options of new splits; the server has defaults for those missing.

    Attributes:
        dataset: a name in the server's `datasets.toml`.
        profile: "exponential" or "step", of the train list's class counts.
        imbalance_factor: samples of the most common class over those of the rarest, 1 or more.
        seed: 0 to 2^32 - 1; equal seeds give equal lists.
        test_shares: of each class of the test base, for `test`, `val` and `tunev`.
        expert_share: between 0 and 1; divides the train list into `expert` and `gating`.
        overwrite: whether to replace a set of that name.
    """

    dataset: str | None
    profile: Literal["exponential", "step"] | None
    imbalance_factor: float | None
    seed: int | None
    test_shares: Sequence[int] | None
    expert_share: float | None
    overwrite: bool | None


class SplitMethods:
    """The methods of `Client` for sets of splits."""

    _wire: Wire

    def splits(self, *, dataset: str | None = None) -> dict[str, Any]:
        """List the sets of splits of a data set.

        Example:
            default = next(s["name"] for s in client.splits()["sets"] if s["own"])

        Returns:
            The sets under `sets`, each with its lists; jobs use the one with `own` by default.
        """
        return self._wire.get("/splits", params={"dataset": dataset})

    def split_set(self, name: str, *, dataset: str | None = None) -> dict[str, Any]:
        """Get one set of splits.

        Returns:
            Under `splits` the base, size and class counts of each list; under `groups` the labels of many, medium,
            few, head and tail.
        """
        return self._wire.get(f"/splits/{segments(name)}", params={"dataset": dataset})

    def split(self, name: str, split: str, *, dataset: str | None = None) -> dict[str, Any]:
        """Get one index list: `base`, `size`, `sha256` and `indices` in order."""
        return self._wire.get(f"/splits/{segments(f'{name}/{split}')}", params={"dataset": dataset})

    def create_splits(self, name: str, **request: Unpack[SplitsRequest]) -> dict[str, Any]:
        """Create a set of splits; `SplitsRequest` describes the options.

        Example:
            client.create_splits("lt_50", imbalance_factor=50)
            client.submit(splits_dir="lt_50")

        Returns:
            Its description: under `lists` the base, size and sha256 of each, and `train_class_counts`.

        Raises:
            Problem: the server refused it, for example because a set of that name exists.
        """
        return self._wire.post("/splits", without_none({"name": name, **request}), hold_s=CREATE_S)

    def import_splits(self, name: str, lists: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
        """Write existing index lists as a new set of splits.

        Example:
            client.import_splits("mine", [{"name": "val", "base": "test", "indices": [5, 3, 8]}])

        Args:
            name: of the new set.
            lists: each with `name`, `base` and `indices`.
            more: `dataset`, `class_weights` and `train_class_counts` in class order, `overwrite`.

        Returns:
            The description of the set, with doubts about it as sentences under `doubtful`.
        """
        return self._wire.post("/splits/import", without_none({"name": name, "lists": list(lists), **more}))

    def audit(self, name: str, *, dataset: str | None = None) -> dict[str, Any]:
        """Audit a set of splits for errors and for what misleads.

        Example:
            assert client.audit("lt_50")["verdict"] == "passed"

        Returns:
            `verdict`, `checks` of the whole set, and under `lists` the checks of each list.

        Raises:
            StillRunning: no worker has answered within a minute.
        """
        params = {"dataset": dataset, "wait": AUDIT_S}
        audit = self._wire.get(f"/splits/{segments(name)}/audit", params=params, hold_s=AUDIT_S)
        if audit["state"] != "ready":
            raise StillRunning(f"The audit of the splits {name!r} is still running; try again when a worker is free.")
        return audit
