"""`python -m worker`: the worker's composition root, its signals and exit codes.

Exit codes: 0 stopped by a signal, 1 the device or the store is lost, 2 wrong settings.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

from pydantic import ValidationError

from app.catalog.catalog import Catalog
from app.domain.errors import FatalError
from app.domain.job_kinds import HEAVY_TASKS, LIGHT_TASKS
from app.files.row_store import RowStore
from app.logs import set_up
from app.settings import Settings, explain
from app.store.database import Database
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from app.store.liveness import hold_lock, worker_lock
from app.store.rates import RateStore
from worker.compute.engines.choice import choose_engine, make_engine
from worker.compute.environment import arithmetic
from worker.compute.model_cache import ModelCache
from worker.context import Context
from worker.datasets.pools import Pools
from worker.device import choose_device, device_count, device_name, prepare
from worker.heartbeat import Heartbeat
from worker.inspections.handlers import all_handlers
from worker.inspections.inspector import Inspector
from worker.inspections.normalisation import NormalisationInspector
from worker.loop import work
from worker.warm_start import parse_entries, warm_up

log = logging.getLogger("worker")


def main() -> int:
    """Run the worker until a signal; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Compute the jobs that the API queues.")
    parser.add_argument("--index", type=int, default=0, help="number of this worker; chooses its GPU (default 0)")
    parser.add_argument("--supervised", action="store_true", help="stop when standard input closes")
    arguments = parser.parse_args()
    try:
        settings = Settings()
    except ValidationError as error:
        print(explain(error), file=sys.stderr)
        return 2
    set_up(settings)
    stop = _stop_on_signals(supervised=arguments.supervised)
    if arguments.supervised:
        threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    try:
        _run(settings, arguments.index, stop)
    except FatalError as error:
        log.critical("%s", error.message)
        return 2 if error.code in ("no-such-device", "no-such-engine", "tf32-forced") else 1
    return 0


def _run(settings: Settings, index: int, stop: threading.Event) -> None:
    device = choose_device(settings.device, index)
    prepare(device, workers=settings.workers if isinstance(settings.workers, int) else 1)
    worker = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
    database = Database(settings.store_path, durable=False)
    jobs, inspections, catalog = JobStore(database), InspectionStore(database), Catalog(settings)
    lock = worker_lock(settings.locks_dir, worker)
    heartbeat = Heartbeat(lock)
    pools = Pools(catalog.bases, beat=heartbeat.beat_if_counted)
    engine = choose_engine(settings.engine, device)
    offered = arithmetic(device, engine)
    normalisation = NormalisationInspector(settings.patches_dir, heartbeat.beat_if_counted)
    context = Context(
        settings=settings,
        jobs=jobs,
        inspections=inspections,
        rates=RateStore(database),
        catalog=catalog,
        pools=pools,
        model_cache=ModelCache(partial(make_engine, engine)),
        kept=RowStore(settings.rows_dir),
        arithmetic=offered,
        device=device,
        normalisation=normalisation,
        heartbeat=heartbeat,
        stopping=stop.is_set,
    )
    inspector = Inspector(worker, database, inspections, all_handlers(catalog, pools, normalisation))
    # The lock comes first: a recorded worker without one counts as dead.
    with hold_lock(lock), heartbeat.running():
        name = device_name(device)
        jobs.add_worker(
            worker,
            pid=os.getpid(),
            device=name,
            devices=device_count() if settings.device in ("auto", "cuda") else 1,
            environment=offered,
            warm_start=parse_entries(settings.warm_start),
        )
        log.info("worker %s computes on %s with %s %s", worker, name, engine, offered.engine_version)
        inspector.start()
        try:
            with _beside(stop, partial(work, context, database, worker, LIGHT_TASKS)):
                warm_up(context, worker)
                work(context, database, worker, HEAVY_TASKS)
        finally:
            inspector.stop()
        jobs.reap(worker)
        lock.unlink(missing_ok=True)
    database.close()


@contextmanager
def _beside(stop: threading.Event, run: Callable[[], None]) -> Iterator[None]:
    """Run a function beside the block, which its failure stops."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 — raised again below, in the main thread
            failures.append(error)
            stop.set()

    thread = threading.Thread(target=guarded, name="light-tasks")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


def _stop_on_signals(*, supervised: bool) -> threading.Event:
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 — the signature is given
        # A second signal ends the worker at once; its death frees what it held. A supervised worker ignores it: a
        # service manager may signal every process of the service, and the supervisor then signals once more.
        if stop.is_set() and not supervised:
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop


def _stop_with_parent(stop: threading.Event) -> None:
    # The supervisor never writes, so the read returns when it has died. Not sys.stdin: a thread that waits in there
    # blocks the end of the interpreter.
    while os.read(0, 4096):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
