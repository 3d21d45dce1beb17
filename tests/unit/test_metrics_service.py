"""What Prometheus is told of jobs, units, rows, workers, disk and memory."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from app.api.dependencies import Services
from app.api.metrics import PHASES, ServiceMetrics
from app.domain.jobs import Progress
from app.files.artifacts import artifact_path
from app.store.liveness import Hangs, hold_lock, worker_lock
from tests.fakes import ARITHMETIC, ERROR, REPORT, artifact, finish, finish_all, submit, take

PER_PROCESS = ("relogit_process_resident_bytes", "relogit_process_open_fds")

Samples = dict[str, float]


def samples(services: Services) -> Samples:
    """Every sample by `name{label=value}`."""
    registry = CollectorRegistry()
    registry.register(ServiceMetrics(services))
    found = {}
    for family in registry.collect():
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def others(found: Samples, *prefixes: str) -> Samples:
    """Those that are not nought, of the given families."""
    return {name: value for name, value in found.items() if value and name.startswith(prefixes)}


def test_work_is_counted_as_it_stands(services: Services) -> None:
    """Jobs on record by state and kind, units of jobs under way, rows and seconds of what succeeded, exactly."""
    store = services.jobs
    submit(store, ["ce"], ["val"])
    finish_all(store)
    submit(store, ["ce"], ["val", "test"])
    claim = take(store)
    store.start_unit(claim, "val")
    seconds = dict.fromkeys(PHASES, 0.25) | {"rows": 2.0}
    store.finish_unit(claim, "val", artifact(), REPORT, Progress(8, 0, seconds=seconds), is_there=lambda: True)
    store.start_unit(claim, "test")
    store.fail_unit(claim, "test", ERROR)
    submit(store, ["ce", "bal"], ["val"])
    store.cancel(submit(store, ["ce"], ["val"]).id)
    assert others(samples(services), "relogit_jobs", "relogit_units", "relogit_rows", "relogit_phase") == {
        "relogit_jobs{state=succeeded,kind=recompute}": 1,
        "relogit_jobs{state=running,kind=recompute}": 1,
        "relogit_jobs{state=queued,kind=recompute}": 1,
        "relogit_jobs{state=cancelled,kind=recompute}": 1,
        "relogit_jobs_ended_total{state=succeeded}": 1,
        "relogit_jobs_ended_total{state=cancelled}": 1,
        "relogit_units{state=succeeded}": 1,
        "relogit_units{state=failed}": 1,
        "relogit_units{state=queued}": 2,
        "relogit_units_ended_total{state=succeeded}": 2,
        "relogit_units_ended_total{state=failed}": 1,
        "relogit_units_ended_total{state=cancelled}": 1,
        "relogit_rows_total{source=reused}": 11,
        "relogit_rows_total{source=computed}": 5,
        **{f"relogit_phase_seconds_total{{phase={phase}}}": value for phase, value in seconds.items()},
    }


def test_an_empty_store_has_every_sample(services: Services) -> None:
    """At nought: a rate over a sample that is not there yet would miss its first step."""
    found = samples(services)
    assert len([name for name in found if name.startswith("relogit_jobs{")]) == 6 * 8
    assert {name for name, value in found.items() if value} <= {
        f"{name}{{process=api,pid={os.getpid()}}}" for name in PER_PROCESS
    } | {"relogit_disk_free_bytes"}


def test_sums_outlive_the_jobs(services: Services) -> None:
    """Deleting a job takes it from what is on record, and lowers no sum."""
    job = submit(services.jobs, ["ce"], ["val"])
    finish_all(services.jobs)
    before = samples(services)
    services.jobs.delete(job.id, lambda _: None)
    after = samples(services)
    assert before["relogit_jobs{state=succeeded,kind=recompute}"] == 1
    assert before["relogit_rows_total{source=computed}"] == 5
    assert after["relogit_jobs{state=succeeded,kind=recompute}"] == 0
    sums = [name for name in before if "_total" in name]
    assert {name: after[name] for name in sums} == {name: before[name] for name in sums}


def _age(services: Services) -> float:
    return samples(services)["relogit_queue_age_seconds"]


def _accepted_before(services: Services, job: str, seconds: float) -> None:
    services.database.connection.execute("UPDATE jobs SET created_at = created_at - ? WHERE id = ?", (seconds, job))


def test_the_queue_s_age_is_that_of_what_nobody_has_taken(services: Services) -> None:
    """From the acceptance of the oldest job with such a task; nought once all is claimed, or ended."""
    assert _age(services) == 0
    first, second = (submit(services.jobs, ["ce"], ["val"]).id for _ in range(2))
    _accepted_before(services, first, 1000)
    _accepted_before(services, second, 100)
    assert _age(services) == pytest.approx(1000, abs=30)
    claim = take(services.jobs)
    assert _age(services) == pytest.approx(100, abs=30)
    services.jobs.cancel(second)
    assert _age(services) == 0
    services.jobs.hand_back(claim)
    assert _age(services) == pytest.approx(1000, abs=30)
    _accepted_before(services, first, -10_000)
    assert _age(services) == 0, "a clock that was set back makes no negative age"


def test_a_verification_waits_from_the_end_of_its_units_on(services: Services) -> None:
    """A job that computes for a day has not waited for a day."""
    job = submit(services.jobs, ["ce"], ["val"])
    _accepted_before(services, job.id, 1000)
    finish(services.jobs, take(services.jobs))
    services.database.connection.execute("UPDATE units SET finished_at = finished_at - 50")
    assert _age(services) == pytest.approx(50, abs=30)


def _join(services: Services, worker: str, pid: int) -> None:
    services.jobs.add_worker(worker, pid=pid, device="cpu", devices=1, environment=ARITHMETIC)


def test_workers_live_hang_or_have_ended(services: Services) -> None:
    """Each that lives counts once; one without its lock does not."""
    for worker in ("a", "b", "dead"):
        _join(services, worker, 1)
    locks = services.settings.locks_dir
    with hold_lock(worker_lock(locks, "a")), hold_lock(worker_lock(locks, "b")):
        found = samples(services)
        assert others(found, "relogit_workers") == {"relogit_workers{state=alive}": 2}
        hangs = Hangs(services.jobs, locks, 1e-9)
        hangs.look()
        time.sleep(0.001)
        hangs.look()
        shown = samples(replace(services, hangs=hangs))
        assert others(shown, "relogit_workers") == {"relogit_workers{state=hanging}": 2}
    for worker in ("a", "b", "dead"):
        services.jobs.reap(worker)
    assert others(samples(services), "relogit_workers") == {"relogit_workers_ended_total": 3}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc here")
def test_a_process_is_shown_only_if_it_is_the_worker(services: Services) -> None:
    """A number from another container's count of processes is somebody else's here."""
    _join(services, "here", os.getpid())
    _join(services, "elsewhere", os.getppid())
    with hold_lock(worker_lock(services.settings.locks_dir, "here")):
        elsewhere = hold_lock(worker_lock(services.settings.locks_dir, "elsewhere"))
        found = others(samples(services), *PER_PROCESS)
        elsewhere.close()
    shown = {name for name in found if "process=worker" in name}
    assert shown == {f"{name}{{process=worker,pid={os.getpid()}}}" for name in PER_PROCESS}
    resident = found[f"relogit_process_resident_bytes{{process=api,pid={os.getpid()}}}"]
    assert 10_000_000 < resident < 100_000_000_000
    assert 3 < found[f"relogit_process_open_fds{{process=api,pid={os.getpid()}}}"] < 100_000


def test_room_is_counted_in_blocks_and_not_at_every_look(services: Services) -> None:
    """A hole takes no room; within a minute the same is shown again."""
    file = artifact_path(services.settings.objects_dir, "a" * 64)
    file.parent.mkdir(parents=True)
    with file.open("wb") as stream:
        stream.write(b"x" * 10_000)
        os.posix_fallocate(stream.fileno(), 0, 10_000)
        stream.truncate(10**9)
    metrics = ServiceMetrics(services)

    def shown() -> float:
        [family] = [family for family in metrics.collect() if family.name == "relogit_artifacts_bytes"]
        return family.samples[0].value

    assert 10_000 <= shown() < 100_000
    file.unlink()
    assert shown() >= 10_000
    assert samples(services)["relogit_artifacts_bytes"] == 0


def test_prometheus_can_read_it(services: Services) -> None:
    """In both formats; every family is named and described by Prometheus's rules, and no label is without bounds."""
    submit(services.jobs, ["ce"], ["val"])
    finish_all(services.jobs)
    registry = CollectorRegistry()
    registry.register(ServiceMetrics(services))
    plain = {family.name: family for family in parse_text(generate_latest(registry).decode())}
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    read = parse_openmetrics(encode(registry).decode())  # type: ignore[no-untyped-call]  # of the library's own
    strict = {family.name: family for family in read}
    assert plain.keys() == strict.keys()
    assert len(plain) > 10
    for name, family in strict.items():
        assert re.fullmatch(r"relogit_[a-z]+(_[a-z]+)*", name)
        assert family.type in ("gauge", "counter")
        assert family.documentation.endswith(".")
        assert not name.endswith(("_total", "_count", "_sum", "_bucket")), "the format adds that itself"
        assert (family.type == "counter") == all(sample.name == f"{name}_total" for sample in family.samples)
        for unit in ("bytes", "seconds"):
            assert name.endswith(f"_{unit}") == (family.unit == unit), "a unit is the last word of its name"
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels <= {"state", "kind", "source", "phase", "process", "pid"}
        assert len({tuple(sample.labels.items()) for sample in family.samples}) == len(family.samples) <= 6 * 8
