"""The cancellation point between two batches. Within a batch nothing is interrupted."""

from __future__ import annotations

from app.domain.jobs import Claim
from worker.context import Cancelled, Context, Stopped


class CancellationPoint:
    """Where the work on one claim may be stopped. Lives as long as the claim."""

    def __init__(self, claim: Claim, context: Context) -> None:
        self._claim, self._context = claim, context
        self._version = -1

    def check(self) -> None:
        """Beat, then raise if the work is to stop.

        Takes microseconds.

        Raises:
            Stopped: the worker is to end.
            Cancelled: the job is to be cancelled, or its deadline has passed.
            ClaimLost: the claim was taken away.
        """
        context = self._context
        context.heartbeat.beat()
        if context.stopping():
            raise Stopped
        version = context.jobs.version()
        if version != self._version:
            self._version = version  # before the query: a change during it moves the version again
            if not context.jobs.go_on(self._claim):
                raise Cancelled
