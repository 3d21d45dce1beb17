"""Advance open runs step by step, as their jobs end."""

from __future__ import annotations

import logging
import sqlite3
import time
from dataclasses import replace
from typing import Any

from app.domain.errors import NotFound, RelogitError
from app.domain.fault_points import reach
from app.domain.jobs import Job, JobOptions
from app.domain.run_requests import RunRequest, RunStep
from app.processes.background import BackgroundThread
from app.store.runs import Submission
from app.workflows.site import WorkflowSite
from app.workflows.steps import StepInputs, end_step, take_step

log = logging.getLogger(__name__)

POLL_S = 0.05
AFTER_ERROR_S = 1.0


class Workflow:
    """Runs as the store has them: each look takes one step further, if it can.

    It holds no state: after a crash, or beside another process that does the same, it goes on from the store.
    """

    def __init__(self, site: WorkflowSite) -> None:
        self._site = site

    def advance_all(self) -> None:
        """Advance every open run as far as it can go now.

        Raises:
            sqlite3.OperationalError: the store cannot be used at the moment.
        """
        for run in self._site.runs.open_runs():
            while self.advance(run):
                pass

    def advance(self, run_id: str) -> bool:
        """Take one step of a run further; False if there is nothing to do for now.

        Raises:
            sqlite3.OperationalError: the store cannot be used at the moment.
        """
        try:
            run = self._site.jobs.get(run_id)
        except NotFound:  # deleted meanwhile
            return False
        if run.cancel_requested:
            self._site.runs.settle(run_id)
            return False
        step = next((step for step in run.steps if not step.done), None)
        if run.state.ended or step is None:
            return False
        try:
            return self._wait(run, step) if step.state == "running" else self._take(run, step)
        except sqlite3.OperationalError:
            raise
        except RelogitError as error:
            return self._fail(run, step, error.to_dict())
        except OSError as error:
            message = f"The disk refused ({error.filename}): {error.strerror}. Mend that and run it again."
            return self._fail(run, step, {"code": "disk-error", "message": message, "details": {}})
        except Exception as error:
            log.exception("run %s: unexpected error in the step %s", run.id, step.step)
            message = f"relogit met an error of its own: {type(error).__name__}: {error}"
            return self._fail(run, step, {"code": "internal-error", "message": message, "details": {}})

    def _take(self, run: Job, step: RunStep) -> bool:
        assert isinstance(run.request, RunRequest)
        runs = self._site.runs
        taken = take_step(step, StepInputs(run, run.request, self._site))
        reach("step.taken")
        if not any(isinstance(job, Submission) for job in taken.jobs):
            return runs.record_step(run.id, taken.step)
        remaining_s = None if run.deadline_at is None else run.deadline_at - time.time()
        if remaining_s is not None and remaining_s <= 0:
            return False  # the maintenance stops the run
        submitted = runs.submit_step(run.id, taken.step, taken.jobs, JobOptions(remaining_s, run.traceparent))
        reach("step.submitted")
        return submitted

    def _wait(self, run: Job, step: RunStep) -> bool:
        try:
            jobs = [self._site.jobs.get(job) for job in step.jobs]
        except NotFound as error:
            return self._fail(run, step, error.to_dict())
        ended = end_step(step, jobs)
        return ended is not None and self._site.runs.record_step(run.id, ended)

    def _fail(self, run: Job, step: RunStep, error: dict[str, Any]) -> bool:
        return self._site.runs.record_step(run.id, replace(step, state="failed", error=error))


class Runner(BackgroundThread):
    """A thread that advances runs whenever the store has changed. Lives as long as the API."""

    def __init__(
        self, workflow: Workflow, site: WorkflowSite, poll_s: float = POLL_S, after_error_s: float = AFTER_ERROR_S
    ) -> None:
        super().__init__("runs")
        self._workflow, self._site = workflow, site
        self._poll_s, self._after_error_s = poll_s, after_error_s

    def _run(self) -> None:
        seen: int | None = None
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            pause_s = self._poll_s
            try:
                version = self._site.jobs.version()
                if version != seen:
                    self._workflow.advance_all()
                    seen = version
            except sqlite3.OperationalError as error:  # such as a full disk: it will pass
                log.warning("runs cannot go on for the moment: %s", error)
                pause_s = self._after_error_s
            except Exception:
                log.exception("unexpected error while runs were advanced; it is tried again")
                pause_s = self._after_error_s
