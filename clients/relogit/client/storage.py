"""The client's methods for what the server keeps on its disk."""

from __future__ import annotations

from typing import Any

from relogit.wire import Wire, segment, without_none

CHECK_S = 600.0  # seconds for which the server may read every row of a large pool


class StorageMethods:
    """The methods of `Client` for kept rows and old jobs."""

    _wire: Wire

    def rows(self) -> dict[str, Any]:
        """List the rows kept for later jobs, last used first.

        Returns:
            One entry for each key under `rows`, and their sums under `totals`.
        """
        return self._wire.get("/rows")

    def row_condition(self, key: str) -> dict[str, Any]:
        """Check every kept row of one key.

        Returns:
            The entry of `rows()` with `source`, and the counts of whole and damaged rows under `condition`.
        """
        return self._wire.get(f"/rows/{segment(key)}", hold_s=CHECK_S)

    def delete_rows(self, key: str) -> None:
        """Delete the kept rows of one key.

        Later jobs compute them again.
        """
        self._wire.delete(f"/rows/{segment(key)}")

    def prune_rows(self, *, max_bytes: int | None = None, older_than_s: float | None = None) -> dict[str, Any]:
        """Remove kept rows by age and size.

        At least one of the limits is required.

        Example:
            freed = client.prune_rows(older_than_s=30 * 86400)["freed_bytes"]

        Args:
            max_bytes: size of what stays on the server's disk; the longest unused rows go first.
            older_than_s: seconds since a job last used the rows.

        Returns:
            `removed`, `freed_bytes`, and the totals of what is `left`.
        """
        return self._wire.post("/rows/prune", {"max_bytes": max_bytes, "older_than_s": older_than_s})

    def collect_garbage(
        self,
        *,
        jobs_older_than_s: float | None = None,
        artifacts_max_bytes: int | None = None,
        rows_older_than_s: float | None = None,
        rows_max_bytes: int | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Remove jobs and rows beyond limits, and files without a job.

        The server never removes what an open job needs.

        Example:
            jobs = client.collect_garbage(jobs_older_than_s=30 * 86400, dry_run=True)["jobs"]

        Args:
            jobs_older_than_s: removes jobs that ended longer ago; the server's setting by default, as all limits.
            artifacts_max_bytes: not supported any more; the server refuses it.
            rows_older_than_s: removes kept rows that no job used for longer.
            rows_max_bytes: size of kept rows; the longest unused go first.
            dry_run: report only, and remove nothing.

        Returns:
            The removed `jobs` and `rows`, `freed_bytes`, errors under `kept_back`, and totals of what is `left`.
        """
        limits = {
            "jobs_older_than_s": jobs_older_than_s,
            "artifacts_max_bytes": artifacts_max_bytes,
            "rows_older_than_s": rows_older_than_s,
            "rows_max_bytes": rows_max_bytes,
        }
        return self._wire.post("/gc", {**without_none(limits), "dry_run": dry_run}, hold_s=CHECK_S)
