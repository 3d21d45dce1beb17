"""The edge between two batches: the place where work may be stopped. Within a batch nothing is interrupted."""

from __future__ import annotations

from app.domain.jobs import Claim
from worker.context import Cancelled, Context, Stopped


class CancellationPoint:
    """Of one claim's work.

    Args:
        claim: what is worked on.
        context: the worker's.
    """

    def __init__(self, claim: Claim, context: Context) -> None:
        self._claim, self._context = claim, context
        self._seen = -1

    def cross(self) -> None:
        """Show that this worker lives, and go on unless there is a reason not to. Costs microseconds a batch.

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
        if version != self._seen:
            self._seen = version  # taken before the look: what comes in between moves it again
            if not context.jobs.go_on(self._claim):
                raise Cancelled
