"""The thread that carries out inspections beside the computing."""

from __future__ import annotations

import logging
import sqlite3
import threading
from typing import Any

from app.domain.errors import JobError, RelogitError, RequestError
from app.store.database import Database
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import AuditRequest, GroupsRequest
from app.store.inspections import InspectionStore
from worker.inspections.handlers import Handlers

log = logging.getLogger(__name__)

IDLE_S = 0.03
AFTER_ERROR_S = 1.0


class Inspector:
    """A thread that answers inspection requests, so that they need not wait for jobs. Lives as long as the worker."""

    def __init__(self, worker: str, database: Database, inspections: InspectionStore, handlers: Handlers) -> None:
        self._worker, self._database = worker, database
        self._inspections, self._handlers = inspections, handlers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inspector", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the inspection at hand."""
        self._stop.set()
        self._thread.join()

    def answer(self, request: InspectionRequest) -> None:
        """Answer one request and record the result.

        The request is deleted where its result would not last.
        """
        try:
            answer = self._handlers[type(request)](request)
        except (RequestError, JobError) as error:
            self._record(request, error)  # it holds for as long as the file stays as it is
        except (RelogitError, OSError) as error:
            log.warning("no lasting answer to %s: %s", request, error)
            self._inspections.forget(request)
        except Exception as error:
            log.exception("unexpected error over %s", request)
            if isinstance(request, AuditRequest | GroupsRequest):
                # Anybody may write these files, and an error over them would come again with each request.
                message = f"relogit met an error of its own over these splits: {type(error).__name__}."
                self._record(request, RelogitError("audit-failed", message))
            else:  # the error says nothing about the file
                self._inspections.forget(request)
        else:
            self._record(request, answer)

    def _run(self) -> None:
        version = -1
        while not self._stop.is_set():
            try:
                version = self._poll(version)
            except sqlite3.Error as error:  # such as a full disk: it will pass
                log.warning("cannot carry out inspections: %s", error)
                self._stop.wait(AFTER_ERROR_S)

    def _poll(self, last_version: int) -> int:
        version = self._database.version()
        if version == last_version:
            self._stop.wait(IDLE_S)
            return last_version
        request = self._inspections.claim(self._worker)
        if request is None:
            return version
        self.answer(request)
        return -1

    def _record(self, request: InspectionRequest, result: dict[str, Any] | RelogitError) -> None:
        # This worker holds the request: without a result it would stay open for as long as the worker lives.
        while True:
            try:
                self._inspections.record(request, result)
                return
            except sqlite3.Error as error:  # such as a full disk: it will pass
                log.warning("a result cannot be recorded yet: %s", error)
                if self._stop.wait(AFTER_ERROR_S):
                    return
