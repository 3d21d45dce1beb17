"""The handle of a long task on the server."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, Literal, Self

from relogit.errors import StillRunning
from relogit.wire import Wire, segment

ENDED = frozenset({"succeeded", "failed", "cancelled"})
HOLD_S = 20.0  # how long one request may wait for a change; the server allows up to 60
MIN_INTERVAL_S = 0.05  # between two requests: a running job changes with every batch

Part = Literal["statistics", "causes", "ensemble", "seeds"]


class Work:
    """A long task of the server, with its last known state.

    It is the base of jobs and verifications, and usable while its `Client` is open.

    Attributes:
        data: its JSON, as the server last sent it.
    """

    kind = "Job"  # its name in sentences
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
        """The last known state: `queued`, `running`, `cancelling`, `succeeded`, `failed` or `cancelled`."""
        return str(self.data["state"])

    @property
    def ended(self) -> bool:
        """Whether the last known state is final."""
        return self.state in ENDED

    @property
    def _path(self) -> str:
        return f"/{self.resource}/{segment(self.id)}"

    @property
    def _job_path(self) -> str:
        return f"/jobs/{segment(self.id)}"

    def refresh(self) -> Self:
        """Fetch the current state and return this handle."""
        self.data = self._wire.get(self._path)
        return self

    def watch(self, *, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Yield its JSON now and after changes, until it ends.

        Example:
            for data in job.watch():
                print(data["state"])

        Raises:
            StillRunning: it did not end within `timeout` seconds; it goes on.
        """
        yield self.data
        if self.ended:
            return
        for data in self._answers(self._path, {}, timeout):
            if data != self.data:
                self.data = data
                yield data
            if self.ended:
                return
        raise StillRunning(f"{self.kind} {self.id} is still {self.state} after {timeout:g} seconds; it goes on.")

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until it has ended, and return this handle.

        Example:
            assert client.submit(splits=["val"]).wait().state == "succeeded"

        Raises:
            StillRunning: it did not end within `timeout` seconds.
        """
        for _ in self.watch(timeout=timeout):
            pass
        return self

    def cancel(self) -> Self:
        """Ask the server to stop it; return this handle.

        The state may be `cancelling` for a while; `job.cancel().wait()` waits for the end.
        """
        self.data = self._wire.post(f"{self._job_path}/cancel")
        return self

    def delete(self) -> None:
        """Delete its record and uploaded files.

        Raises:
            Problem: it has not ended.
        """
        self._wire.delete(self._job_path)

    def report_page(self) -> bytes:
        """Get its report, one HTML page without links to other files.

        The server waits ten seconds at most for intervals and causes; a page without them says so.
        """
        with self._wire.stream(f"{self._job_path}/report?saved=true") as chunks:
            return b"".join(chunks)

    def analysis(self, part: Part, *, timeout: float = 60.0) -> dict[str, Any]:
        """Request an analysis, which the server computes on demand.

        Example:
            for result in job.analysis("statistics")["results"]:
                print(result["expert"], result["analysis"]["intervals"])

        Args:
            part: "statistics" for 95 % intervals, risk-coverage curves, reliability, calibration by group, scores,
                shifted priors and confusion; "causes" for likely reasons of an accuracy that is no better than
                chance; "ensemble" for all experts of each split together; "seeds" for mean and standard deviation
                over experts whose names differ in a seed alone, such as `ce_seed1` and `ce_seed2`.
            timeout: seconds after which the method returns what is ready; `complete` is False then.

        Returns:
            `complete`, and under `results` for each (expert, split), or for each split or family of seeds with its
            `experts`, the `state` (`ready`; `pending`; `failed`, then
            with `error`; `none` where there is nothing to analyse) and `analysis`, None unless ready.
        """
        answer: dict[str, Any] = {}
        for answer in self._answers(f"{self._job_path}/analysis", {"part": part}, timeout):
            if answer["complete"]:
                break
        return answer

    def _answers(self, path: str, params: dict[str, str], timeout: float | None) -> Iterator[dict[str, Any]]:
        """Repeat a request until `timeout` seconds are over.

        The server holds each answer for at most HOLD_S seconds.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            requested_at = time.monotonic()
            hold_s = max(0.0, min(HOLD_S, deadline - requested_at))
            yield self._wire.get(path, params={**params, "wait": f"{hold_s:g}"}, hold_s=hold_s)
            if time.monotonic() >= deadline:
                return
            time.sleep(max(0.0, requested_at + MIN_INTERVAL_S - time.monotonic()))
