"""Claim, run, finish: the worker's main loop, and the only place that catches everything."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from app.domain.checks import JobReport, ResultReport
from app.domain.errors import FatalError, RelogitError, TransientError
from app.domain.fault_points import reach
from app.domain.job_kinds import TASKS, Task
from app.domain.jobs import Claim, Progress, Unit, UnitState
from app.logs import bound
from app.store.database import Database
from app.store.liveness import reap_dead_workers
from app.store.transitions import ClaimLost
from worker.context import Cancelled, Context, Stopped
from worker.tasks.check import check_files
from worker.tasks.comparison import compare_sides
from worker.tasks.evaluation import evaluate_methods
from worker.tasks.failed_verification import VerificationFailed
from worker.tasks.gating import Gating
from worker.tasks.recompute import Recompute
from worker.tasks.rejector import fit_rejector
from worker.tasks.verify import verify
from worker.tasks.verify_gating import verify_gating

log = logging.getLogger(__name__)

IDLE_S = 0.02
"""Between two looks whether the store has changed; each costs microseconds."""

REAP_EVERY_S = 0.5
MAX_TRIES = 3
RETRY_AFTER_S = 0.5
AFTER_STORE_ERROR_S = 1.0


def work(context: Context, database: Database, worker: str, tasks: tuple[Task, ...]) -> None:
    """Claim and run tasks of these kinds until stopped.

    Raises:
        FatalError: the process cannot go on; its claim is freed by its death.
    """
    idle_at, reaped_at = -1, 0.0  # idle_at: the store's version at which there was nothing to claim
    while not context.stopping():
        context.heartbeat.beat()
        try:
            if time.monotonic() - reaped_at > REAP_EVERY_S:
                if _reap(context, worker):
                    idle_at = -1
                reaped_at = time.monotonic()
            version = database.version()
            if version == idle_at:
                time.sleep(IDLE_S)
                continue
            claim = context.jobs.claim(worker, context.arithmetic.precisions, tasks)
        except sqlite3.OperationalError as error:  # nothing is claimed here; it will pass
            log.warning("the job store cannot be used: %s", error)
            time.sleep(AFTER_STORE_ERROR_S)
            continue
        idle_at = -1 if claim else version  # read before the claim: a job that came in between has moved it again
        if claim:
            _run(claim, context)


def _reap(context: Context, worker: str) -> bool:
    """Reap dead workers, stop overdue jobs; return whether any died."""
    # Others reap a living worker if its lock file was removed, say; they would take every claim from it.
    if all(recorded["id"] != worker for recorded in context.jobs.workers()):
        raise FatalError("buried-alive", f"Worker {worker} is on record no more: another process took it for dead.")
    dead = reap_dead_workers(context.jobs, context.settings.locks_dir)
    for name in dead:
        log.warning("worker %s is dead; its work is free again", name)
    context.jobs.expire()  # the API does so as well, but it may have died
    return bool(dead)


def _run(claim: Claim, context: Context) -> None:
    task = (claim.job.id, claim.task, claim.expert)
    reach("task.claimed", *task)
    try:
        with bound(job=claim.job.id, expert=claim.expert, traceparent=claim.job.traceparent):
            _do(claim, context)
    except sqlite3.OperationalError as error:
        # The claim could be neither ended nor handed back: only this worker's death frees it.
        raise FatalError("store-unusable", f"The job store cannot be written: {error}.") from error
    reach("task.left", *task)


def _do(claim: Claim, context: Context) -> None:
    """Run and end a task; hand it back if stopped."""
    log.info("job %s: %s %s", claim.job.id, claim.task, claim.expert)
    try:
        try:
            if TASKS[claim.task].has_units:
                FUNCTIONS[claim.task](claim, context)
                context.jobs.end_task(claim)
            else:
                _conclude(claim, context)
        except Stopped:
            log.info("job %s: %s is handed back, this worker stops", claim.job.id, claim.expert)
            context.jobs.hand_back(claim)
        except Cancelled:
            context.jobs.end_task(claim)
    except ClaimLost as lost:
        log.warning("%s", lost)


def _conclude(claim: Claim, context: Context) -> None:
    """Run a job's last task; a failure replaces the verdict."""
    failure = _attempt(claim, claim.task, lambda: FUNCTIONS[claim.task](claim, context), context)
    if failure is not None:
        context.jobs.finish_job(claim, JobReport.failed(failure.error))


class UnitWork(Protocol):
    """The work on the units of one claim."""

    def run(self, unit: Unit) -> Progress:
        """Carry out one unit and record it."""


def _do_units(make: Callable[[Claim, Context], UnitWork], claim: Claim, context: Context) -> None:
    """Carry out the claim's open units one by one."""
    every = [unit.split for unit in claim.open_units]
    loaded: list[UnitWork] = []
    _guarded(claim, context, every, lambda: loaded.append(make(claim, context)))
    if not loaded:
        return
    for unit in claim.open_units:
        with bound(split=unit.split):
            if unit.state is UnitState.RUNNING:
                log.info("job %s: (%s, %s) is taken up again", claim.job.id, claim.expert, unit.split)
            if context.stopping():
                raise Stopped
            _guarded(claim, context, [unit.split], lambda unit=unit: _log_unit(claim, unit, loaded[0].run(unit)))  # type: ignore[misc]


FUNCTIONS: Mapping[Task, Callable[[Claim, Context], None]] = {
    "recompute": partial(_do_units, Recompute),
    "verify": verify,
    "check": check_files,
    "gating": partial(_do_units, Gating),
    "gating_net": partial(_do_units, Gating),
    "verify_gating": verify_gating,
    "rejector": fit_rejector,
    "evaluation": evaluate_methods,
    "comparison": compare_sides,
}
"""What does each kind of task. `app.domain.job_kinds.TASKS` says in which thread, and what its failure fails."""


def _log_unit(claim: Claim, unit: Unit, progress: Progress) -> None:
    """Log what a unit that has succeeded took."""
    seconds = {phase: round(passed, 4) for phase, passed in progress.seconds.items()}
    log.info(
        "job %s: (%s, %s) is done, %d rows reused and %d computed; seconds: %s",
        *(claim.job.id, claim.expert, unit.split, progress.reused, progress.computed),
        ", ".join(f"{phase} {passed:.3f}" for phase, passed in seconds.items()),
        extra={"reused": progress.reused, "computed": progress.computed, "seconds": seconds},
    )


def _guarded(claim: Claim, context: Context, splits: list[str], run: Callable[[], object]) -> None:
    """Run a function; record its failure on these units alone."""
    failure = _attempt(claim, f"{claim.expert} {splits}", run, context)
    if failure is not None:
        for split in splits:
            context.jobs.fail_unit(claim, split, failure.error, failure.report)


@dataclass(frozen=True)
class _Failure:
    """An error as it is stored, with the report of a unit that failed its verification."""

    error: dict[str, Any]
    report: ResultReport | None = None


def _attempt(claim: Claim, what: str, run: Callable[[], object], context: Context) -> _Failure | None:
    """Run, up to MAX_TRIES times if that helps; return the last failure."""
    failure = None
    for attempt in range(1, MAX_TRIES + 1):
        try:
            run()
            return None
        except (FatalError, ClaimLost):
            raise
        except (TransientError, sqlite3.OperationalError) as error:
            log.warning("job %s: %s (try %d of %d)", claim.job.id, error, attempt, MAX_TRIES)
            failure = _failure(error, claim, what, context)
            if attempt < MAX_TRIES:
                time.sleep(RETRY_AFTER_S * attempt)
        except Exception as error:  # noqa: BLE001 — the one place that catches all; `_failure` logs or records it
            failure = _failure(error, claim, what, context)
            break
    assert failure is not None
    log.warning("job %s: %s failed: %s", claim.job.id, what, failure.error["message"])
    return failure


def _failure(error: Exception, claim: Claim, what: str, context: Context) -> _Failure:
    """Describe an error as it is stored.

    Raises:
        FatalError: the device is lost.
    """
    if isinstance(error, VerificationFailed):
        return _Failure(error.to_dict(), error.report)
    if isinstance(error, RelogitError):
        return _Failure(error.to_dict())
    details: dict[str, Any] = {}
    if isinstance(error, sqlite3.OperationalError):
        code, message = "store-unusable", f"The job store could not be written: {error}."
    elif isinstance(error, torch.OutOfMemoryError | MemoryError):
        code, message = "out-of-memory", f"The memory of {context.device} is too small, even for one image: {error}"
    elif isinstance(error, torch.AcceleratorError):
        # After such an error every further call to the device fails: only a new process helps.
        raise FatalError("device-lost", f"{context.device} failed: {error}") from error
    elif isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        message = f"The disk refused{where}: {error.strerror}. Mend that and submit the job again."
        code, details = "disk-error", {"errno": error.errno}
    else:
        log.error("job %s: unexpected error in %s", claim.job.id, what, exc_info=error)
        code, message = "internal-error", f"relogit met an error of its own: {type(error).__name__}: {error}"
    return _Failure({"code": code, "message": message, "details": details})
