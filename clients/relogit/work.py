"""What takes the server longer than an answer, as a handle: a job, or a verification of files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal, Self

from relogit.errors import StillRunning
from relogit.wire import Wire, segment

ENDED = frozenset({"succeeded", "failed", "cancelled"})
HOLD_S = 20.0  # how long one request may wait for news; the server allows up to 60
MIN_INTERVAL_S = 0.05  # between two looks at what changes with every batch

Part = Literal["statistics", "causes"]


class Work:
    """Something that the server does, as last seen; it stays usable as long as its `Client` is open.

    Attributes:
        data: its JSON as last seen.
    """

    kind = "Job"  # what a sentence calls it
    resource = "jobs"

    def __init__(self, wire: Wire, data: dict[str, Any]) -> None:
        self._wire = wire
        self.data = data

    def __repr__(self) -> str:
        return f"<{self.kind} {self.id} {self.state}>"

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.data["id"])

    @property
    def state(self) -> str:
        """Last seen: `queued`, `running`, `cancelling`, `succeeded`, `failed` or `cancelled`."""
        return str(self.data["state"])

    @property
    def ended(self) -> bool:
        """Whether it, as last seen, will not change any more."""
        return self.state in ENDED

    @property
    def _path(self) -> str:
        return f"/{self.resource}/{segment(self.id)}"

    @property
    def _job(self) -> str:
        """Its path among all jobs, whatever its kind."""
        return f"/jobs/{segment(self.id)}"

    def refresh(self) -> Self:
        """Look again; returns this handle."""
        self.data = self._wire.get(self._path)
        return self

    def watch(self, *, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Its JSON now and after each change, until it has ended.

        Args:
            timeout: seconds after which to give up; None waits for ever.

        Raises:
            StillRunning: it had not ended by then; it goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        yield self.data
        while not self.ended:
            asked = time.monotonic()
            left = HOLD_S if deadline is None else deadline - asked
            if left <= 0:
                raise StillRunning(
                    f"{self.kind} {self.id} is still {self.state} after {timeout:g} seconds; it goes on."
                )
            hold = min(HOLD_S, left)
            seen = self._wire.get(self._path, params={"wait": f"{hold:g}"}, hold_s=hold)
            if seen != self.data:
                self.data = seen
                yield seen
            if not self.ended:
                time.sleep(max(0.0, MIN_INTERVAL_S - (time.monotonic() - asked)))

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until it has ended; returns this handle. `state` then says how.

        Raises:
            StillRunning: it had not ended after `timeout` seconds.
        """
        for _ in self.watch(timeout=timeout):
            pass
        return self

    def cancel(self) -> Self:
        """Ask the server to stop it; returns this handle, which may still be `cancelling`."""
        self.data = self._wire.post(f"{self._job}/cancel")
        return self

    def delete(self) -> None:
        """Delete its record from the server, and what was uploaded for it; only what has ended may be deleted."""
        self._wire.delete(self._job)

    def analysis(self, part: Part, *, timeout: float = 60.0) -> dict[str, Any]:
        """What is computed of the results only when somebody asks for it; the server keeps it.

        Args:
            part: "statistics" for 95 % intervals, risk-coverage curves and reliability; "causes" for what may have
                brought an accuracy no better than chance.
            timeout: seconds after which what is there is taken; `complete` is False then.

        Returns:
            `complete`, and under `results` for each (expert, split) its `state` (`ready`; `pending`; `failed`, then
            with `error`; `none` where there is nothing to analyse) and `analysis`, None unless ready.
        """
        deadline = time.monotonic() + timeout
        while True:
            asked = time.monotonic()
            hold = max(0.0, min(HOLD_S, deadline - asked))
            params = {"part": part, "wait": f"{hold:g}"}
            found = self._wire.get(f"{self._job}/analysis", params=params, hold_s=hold)
            if found["complete"] or time.monotonic() >= deadline:
                return found
            time.sleep(max(0.0, MIN_INTERVAL_S - (time.monotonic() - asked)))
