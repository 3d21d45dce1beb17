"""Claim, run, finish: the worker's main loop, and the only place that catches everything."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from app.domain.errors import FatalError, RelogitError, TransientError
from app.domain.fault_points import reach
from app.domain.jobs import Claim, Progress, Task, Unit, UnitState
from app.logs import bound
from app.store.database import Database
from app.store.liveness import reap_dead_workers
from app.store.transitions import ClaimLost
from worker.context import Cancelled, Context, Stopped
from worker.tasks.check import check_files
from worker.tasks.draw import draw_splits
from worker.tasks.recompute import Recompute, VerificationFailed
from worker.tasks.verify import verify

log = logging.getLogger(__name__)

IDLE_S = 0.02
"""Between two looks whether the store has changed; each costs microseconds."""

BURY_EVERY_S = 0.5
MAX_TRIES = 3
RETRY_AFTER_S = 0.5
AFTER_STORE_ERROR_S = 1.0


def work(context: Context, database: Database, worker: str, tasks: tuple[Task, ...]) -> None:
    """Do what there is to do of those tasks until the context says to stop.

    Raises:
        FatalError: the process cannot go on; its claim is freed by its death.
    """
    seen, buried = -1, 0.0
    while not context.stopping():
        context.heartbeat.beat()
        try:
            if time.monotonic() - buried > BURY_EVERY_S:
                _check_recorded(context, worker)
                for dead in reap_dead_workers(context.jobs, context.settings.locks_dir):
                    log.warning("worker %s is dead; its work is free again", dead)
                    seen = -1
                context.jobs.expire()  # the API does so as well, but workers may be all that is left
                buried = time.monotonic()
            version = database.version()
            if version == seen:
                time.sleep(IDLE_S)
                continue
            claim = context.jobs.claim(worker, context.arithmetic.precisions, tasks)
        except sqlite3.OperationalError as error:  # nothing is held here; it will pass
            log.warning("the job store cannot be used: %s", error)
            time.sleep(AFTER_STORE_ERROR_S)
            continue
        if claim is None:
            seen = version  # taken before the claim: a job that came in between moves it again
            continue
        seen = -1
        doing = (claim.job.id, claim.task, claim.expert)
        reach("task.claimed", *doing)
        try:
            with bound(job=claim.job.id, expert=claim.expert, traceparent=claim.job.traceparent):
                _do(claim, context)
        except sqlite3.OperationalError as error:
            # The claim could be neither ended nor handed back: only this worker's death frees it.
            raise FatalError("store-unusable", f"The job store cannot be written: {error}.") from error
        reach("task.left", *doing)


def _check_recorded(context: Context, worker: str) -> None:
    # Its lock file was removed under it, say: what it claims would be taken from it again and again.
    if all(recorded["id"] != worker for recorded in context.jobs.workers()):
        raise FatalError("buried-alive", f"Worker {worker} is on record no more: others took it for dead.")


def _do(claim: Claim, context: Context) -> None:
    log.info("job %s: %s %s", claim.job.id, claim.task, claim.expert)
    try:
        try:
            if claim.task == "recompute":
                _recompute(claim, context)
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
    """Verify a job, or files, or draw splits; what goes wrong is recorded in place of the verdict."""
    task = {"verify": verify, "check": check_files, "draw": draw_splits}[claim.task]
    failure = _attempt(claim, claim.task, lambda: task(claim, context), context)
    if failure is not None:
        context.jobs.finish_job(claim, {"verdict": "failed", "checks": [], "error": failure.error})


def _recompute(claim: Claim, context: Context) -> None:
    every = [unit.split for unit in claim.open_units]
    made: list[Recompute] = []
    _guarded(claim, context, every, lambda: made.append(Recompute(claim, context)))
    if not made:
        return
    for unit in claim.open_units:
        with bound(split=unit.split):
            if unit.state is UnitState.RUNNING:
                log.info("job %s: (%s, %s) is taken up again", claim.job.id, claim.expert, unit.split)
            if context.stopping():
                raise Stopped
            _guarded(claim, context, [unit.split], lambda unit=unit: _tell(claim, unit, made[0].run(unit)))  # type: ignore[misc]


def _tell(claim: Claim, unit: Unit, progress: Progress) -> None:
    """What the unit that has just succeeded took."""
    seconds = {phase: round(passed, 4) for phase, passed in progress.seconds.items()}
    log.info(
        "job %s: (%s, %s) is done, %d rows reused and %d computed; seconds: %s",
        claim.job.id,
        claim.expert,
        unit.split,
        progress.reused,
        progress.computed,
        ", ".join(f"{phase} {passed:.3f}" for phase, passed in seconds.items()),
        extra={"reused": progress.reused, "computed": progress.computed, "seconds": seconds},
    )


def _guarded(claim: Claim, context: Context, splits: list[str], run: Callable[[], object]) -> None:
    """Run; what goes wrong is recorded on those units, and the others stand."""
    failure = _attempt(claim, f"{claim.expert} {splits}", run, context)
    if failure is not None:
        for split in splits:
            context.jobs.fail_unit(claim, split, failure.error, failure.report)


@dataclass(frozen=True)
class _Failure:
    error: dict[str, Any]
    report: dict[str, Any] | None = None


def _attempt(claim: Claim, what: str, run: Callable[[], object], context: Context) -> _Failure | None:
    """Run, again if that may help; what went wrong in the end, as it is stored."""
    for attempt in range(1, MAX_TRIES + 1):
        report = None
        try:
            run()
            return None
        except (FatalError, ClaimLost):
            raise
        except (TransientError, sqlite3.OperationalError) as error:
            log.warning("job %s: %s (try %d of %d)", claim.job.id, error, attempt, MAX_TRIES)
            if attempt < MAX_TRIES:
                time.sleep(RETRY_AFTER_S * attempt)
                continue
            if not isinstance(error, TransientError):
                error = TransientError("store-unusable", f"The job store could not be written: {error}.")
            stored = error.to_dict()
        except VerificationFailed as error:
            stored, report = error.to_dict(), error.report.to_dict()
        except RelogitError as error:
            stored = error.to_dict()
        except (torch.OutOfMemoryError, MemoryError) as error:
            message = f"The memory of {context.device} does not suffice, even for one image: {error}"
            stored = {"code": "out-of-memory", "message": message, "details": {}}
        except torch.AcceleratorError as error:
            # After such an error every further call to the device fails: only a new process helps.
            raise FatalError("device-lost", f"{context.device} failed: {error}") from error
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            message = f"The disk refused{where}: {error.strerror}. Mend that and submit the job again."
            stored = {"code": "disk-error", "message": message, "details": {"errno": error.errno}}
        except Exception as error:
            log.exception("job %s: unexpected error in %s", claim.job.id, what)
            message = f"relogit met an error of its own: {type(error).__name__}: {error}"
            stored = {"code": "internal-error", "message": message, "details": {}}
        log.warning("job %s: %s failed: %s", claim.job.id, what, stored["message"])
        return _Failure(stored, report)
    return None
