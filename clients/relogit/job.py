"""One job of the server, as a handle."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from relogit.download import Saved, fetch, save
from relogit.errors import Missing, StillRunning
from relogit.wire import Wire, segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENDED = frozenset({"succeeded", "failed", "cancelled"})
HOLD_S = 20.0  # how long one request may wait for news; the server allows up to 60
MIN_INTERVAL_S = 0.05  # between two looks at a job that changes with every batch


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


class Job:
    """A job as last seen; it stays usable as long as its `Client` is open.

    Attributes:
        data: the job's JSON as last seen.
    """

    def __init__(self, wire: Wire, data: dict[str, Any]) -> None:
        self._wire = wire
        self.data = data

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.state}>"

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.data["id"])

    @property
    def state(self) -> str:
        """Last seen: `queued`, `running`, `cancelling`, `succeeded`, `failed` or `cancelled`."""
        return str(self.data["state"])

    @property
    def ended(self) -> bool:
        """Whether the job, as last seen, will not change any more."""
        return self.state in ENDED

    @property
    def _path(self) -> str:
        return f"/jobs/{segment(self.id)}"

    def refresh(self) -> Job:
        """Look again; returns this job."""
        self.data = self._wire.get(self._path)
        return self

    def watch(self, *, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """The job's JSON now and after each change, until it has ended.

        Args:
            timeout: seconds after which to give up; None waits for ever.

        Raises:
            StillRunning: the job had not ended by then; it goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        yield self.data
        while not self.ended:
            asked = time.monotonic()
            left = HOLD_S if deadline is None else deadline - asked
            if left <= 0:
                raise StillRunning(f"Job {self.id} is still {self.state} after {timeout:g} seconds; it goes on.")
            hold = min(HOLD_S, left)
            seen = self._wire.get(self._path, params={"wait": f"{hold:g}"}, hold_s=hold)
            if seen != self.data:
                self.data = seen
                yield seen
            if not self.ended:
                time.sleep(max(0.0, MIN_INTERVAL_S - (time.monotonic() - asked)))

    def wait(self, timeout: float | None = None) -> Job:
        """Wait until the job has ended; returns this job. `state` then says how it ended.

        Raises:
            StillRunning: it had not ended after `timeout` seconds.
        """
        for _ in self.watch(timeout=timeout):
            pass
        return self

    def cancel(self) -> Job:
        """Ask the server to stop the job; returns this job, which may still be `cancelling`."""
        self.data = self._wire.post(f"{self._path}/cancel")
        return self

    def delete(self) -> None:
        """Delete the job's record from the server; only an ended job may be deleted."""
        self._wire.delete(self._path)

    def verification(self) -> dict[str, Any]:
        """The verdict, every check with what it measured, and the figures of every result."""
        return self._wire.get(f"{self._path}/verification")

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
