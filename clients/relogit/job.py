"""One job of the server, as a handle."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from relogit.download import Saved, fetch, save
from relogit.errors import Missing
from relogit.work import Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AUDIT_S = 3.0  # seconds that a verdict may wait for what there is to be said of the splits


class Logits(NamedTuple):
    """What one expert says about one split; row n belongs to the n-th entry of the split's index file.

    Attributes:
        logits: [N, C] float32, before softmax; divided by the temperature only if the job asked for it.
        targets: [N] int64, the data set's labels.
        predictions: [N] int64, the argmax of `logits`.
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    predictions: NDArray[np.int64]


class Job(Work):
    """A job as last seen; it stays usable as long as its `Client` is open.

    Attributes:
        data: the job's JSON as last seen. A verification is a job too, of the kind `verification`.
    """

    @property
    def verifies_files(self) -> bool:
        """Whether it is a verification of files, which `Client.verification` has more to say about."""
        return bool(self.data["kind"] == "verification")

    def verification(self, *, wait_s: float = AUDIT_S) -> dict[str, Any]:
        """The verdict, every check with what it measured, and the figures of every result.

        Args:
            wait_s: seconds, at most, that the server may take to look at the splits, of which it warns.
        """
        return self._wire.get(f"{self._path}/verification", params={"wait": wait_s}, hold_s=wait_s)

    def artifacts(self) -> list[dict[str, Any]]:
        """What the job has written so far: expert, split, path, bytes, sha256 and manifest of each."""
        return self._wire.get_list(f"{self._path}/artifacts", "artifacts")

    def logits(self, expert: str, split: str) -> Logits:
        """The arrays of one artifact, fetched and held against its sha256.

        Raises:
            Missing: the job has no such artifact, or not yet; names those it has.
            IntegrityError: the download was damaged.
        """
        import numpy as np  # here, for it takes longer to import than most commands take to run

        listed = {(artifact["expert"], artifact["split"]): artifact for artifact in self.artifacts()}
        if (expert, split) not in listed:
            there = ", ".join(f"{name} / {part}" for name, part in sorted(listed)) or "none yet"
            raise Missing(f"Job {self.id} has no logits for {expert} / {split}. It has: {there}.")
        body = io.BytesIO()
        fetch(self._wire, self.id, listed[expert, split], body)
        body.seek(0)
        with np.load(body, allow_pickle=False) as arrays:
            return Logits(arrays["logits"], arrays["targets"], arrays["predictions"])

    def download(self, folder: str | Path = ".") -> list[Saved]:
        """Bring the job's files to `<folder>/<output_dir>/<expert>/<split>_logits.npz`, manifests beside them.

        Files appear whole or not at all; those already there with the right sha256 are not fetched again.

        Returns:
            One entry for each artifact that the job has at this moment.

        Raises:
            IntegrityError: a download was damaged; the files before it are in place.
            OSError: the folder cannot be written.
        """
        return [save(self._wire, self.id, artifact, Path(folder)) for artifact in self.artifacts()]
