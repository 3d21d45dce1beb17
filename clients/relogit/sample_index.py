"""The samples that the rows of an artifact belong to, as the server's index list names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relogit.errors import IntegrityError, Problem, StaleList
from relogit.wire import Wire, segments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SampleIndex:
    """The samples of a split, in the order of its rows."""

    base: str
    """What the indices point into, such as "test"."""
    indices: NDArray[np.int64]
    """[N] int64."""

    @property
    def sample_ids(self) -> list[str]:
        """The ids of the samples, `<base>:<index>`."""
        return [f"{self.base}:{index}" for index in self.indices.tolist()]


def read_sample_index(wire: Wire, manifest: Mapping[str, Any]) -> SampleIndex:
    """Read the index list that an artifact's rows come from.

    Args:
        wire: to the server that has the list.
        manifest: of the artifact; it has the list's name, folder and sha256.

    Raises:
        StaleList: the list is not the one that the job used, or is gone.
        IntegrityError: the server's answer contradicts itself.
    """
    import numpy as np  # here, because the import takes longer than most commands

    split = manifest["split"]
    name = f"{split['folder']}/{split['name']}"
    where = f"/splits/{segments(name)}"
    try:
        answer = wire.get(where, params={"dataset": manifest["dataset"]["name"]})
    except Problem as problem:
        if problem.status >= 500:
            raise
        raise StaleList(f"The index list {name!r} cannot be read any more: {problem.detail} {REMEDY}") from problem
    if answer.get("sha256") != split["sha256"]:
        raise StaleList(
            f"The index list {name!r} has the sha256 {answer.get('sha256')}; "
            f"the job used the one with {split['sha256']}. {REMEDY}"
        )
    indices = np.asarray(answer["indices"], np.int64)
    base = str(answer["base"])
    if indices.shape != (split["size"],) or base != manifest["dataset"]["base"]:
        raise IntegrityError(
            f"The server lists {indices.size} samples of {base!r} in {name!r}; the manifest has {split['size']} of "
            f"{manifest['dataset']['base']!r}."
        )
    return SampleIndex(base, indices)


REMEDY = "So nothing tells which samples the rows are; recompute the logits, or restore the list."
