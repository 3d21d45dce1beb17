"""The client's methods for reports: the page, its charts and tables, and all of it as a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from relogit.wire import Wire, segment

TableFormat = Literal["tex", "md", "csv"]

AGAIN_S = 1.0
PATIENCE_S = 1800.0
"""For analyses of files that no worker has looked at yet."""


class ReportMethods:
    """The methods of `Client` for reports."""

    _wire: Wire

    def report_files(self, job_id: str) -> dict[str, Any]:
        """List the charts and tables of a job's report.

        Returns:
            `figures` and `tables`, each with `name`, `title` and `files`; `complete` is False while workers still
            analyse the results.
        """
        return self._wire.get(f"/jobs/{segment(job_id)}/report/files", hold_s=PATIENCE_S)

    def complete_report(self, job_id: str, waiting: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Wait until a report has all its analyses; return as `report_files`.

        Args:
            job_id: of a job that has ended.
            waiting: is called each time before the report is asked for again.

        Raises:
            TimeoutError: half an hour was not enough.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not (files := self.report_files(job_id))["complete"]:
            if time.monotonic() > deadline:
                raise TimeoutError("The workers have not analysed the results in half an hour.")
            waiting()
            time.sleep(AGAIN_S)
        return files

    def report(self, job_id: str) -> str:
        """Get a job's report as one page of HTML that needs no other file.

        Example:
            Path("report.html").write_text(client.report(job.id))
        """
        return self._text(f"/jobs/{segment(job_id)}/report?saved=true")

    def report_table(self, job_id: str, name: str, form: TableFormat) -> str:
        """Get a table of a report as LaTeX, Markdown or CSV."""
        return self._text(f"/jobs/{segment(job_id)}/report/tables/{segment(name)}.{form}")

    def report_bundle(self, job_id: str) -> bytes:
        """Get a report as the zip of a static folder."""
        return self._bytes(f"/jobs/{segment(job_id)}/report/bundle")

    def _text(self, path: str) -> str:
        return self._bytes(path).decode()

    def _bytes(self, path: str) -> bytes:
        with self._wire.stream(path) as chunks:
            return b"".join(chunks)
