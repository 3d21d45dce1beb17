"""Jobs are removed by age, orphans when they are old; never a file that a job still refers to."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.errors import Conflict, NotFound
from app.files.artifacts import artifact_path
from app.files.disk import ORPHAN_AGE_S
from app.retention.orphans import remove_orphans
from app.retention.retention import Collected, Limits, collect, delete_job, tidy
from app.store.database import Database
from tests.unit.retained import DAY_S, KB, A, B, C, Site, parts, went


def test_without_limits_every_job_stays(site: Site) -> None:
    """However old, and however much its files take."""
    job = site.job(A, ago_s=1000 * DAY_S)
    found = collect(Limits(), site.storage)
    assert (found.jobs, found.freed_bytes, found.jobs_left, found.bytes_left) == ((), 0, 1, KB)
    assert site.ids() == {job}


def test_jobs_go_by_the_time_of_their_end(site: Site) -> None:
    """Those that ended longer ago, with their own files; not those that have not ended, however old."""
    old, young, going = (
        site.job(A, ago_s=3 * DAY_S),
        site.job(B, ago_s=DAY_S),
        site.job(C, ago_s=9 * DAY_S, ended=False),
    )
    found = collect(Limits(jobs_older_than_s=2 * DAY_S), site.storage)
    assert [(job.id, job.bytes) for job in found.jobs] == [(old, KB)]
    assert (site.ids(), found.jobs_left, found.bytes_left) == ({young, going}, 2, 2 * KB)
    objects = site.storage.settings.objects_dir
    assert [artifact_path(objects, digest).exists() for digest in (A, B, C)] == [False, True, True]


def test_a_shared_artifact_goes_with_the_last_job_that_refers_to_it(site: Site) -> None:
    """It counts once, and the job that goes first frees nothing of it."""
    older, newer = site.job(A, B, ago_s=5 * DAY_S), site.job(A, ago_s=DAY_S)
    found = collect(Limits(jobs_older_than_s=2 * DAY_S), site.storage)
    assert [(job.id, job.bytes) for job in found.jobs] == [(older, KB)]
    path = artifact_path(site.storage.settings.objects_dir, A)
    assert path.exists()
    assert site.ids() == {newer}
    found = collect(Limits(jobs_older_than_s=0), site.storage)
    assert (went(found), found.freed_bytes, path.exists()) == ([newer], KB, False)


def test_an_upload_goes_with_the_last_verification_of_it(site: Site) -> None:
    """It counts as the verification's own; a young one, or one that an open verification refers to, stays."""
    one, other, unused = (site.upload() for _ in range(3))
    first = site.verification(one, ago_s=5 * DAY_S)
    second, third = site.verification(other, ago_s=4 * DAY_S), site.verification(other, ended=False)
    found = collect(Limits(jobs_older_than_s=DAY_S), site.storage)
    assert [(job.id, job.bytes) for job in found.jobs] == [(first, KB), (second, 0)]
    assert (site.ids(), found.bytes_left) == ({third}, KB)
    with pytest.raises(NotFound):
        site.storage.uploads.folder(one)
    assert [list(site.storage.uploads.files(upload)) for upload in (other, unused)] == [["ce/val_logits.npz"]] * 2


def test_nothing_under_an_output_folder_is_touched(site: Site) -> None:
    """Those are the user's copies, whichever job wrote them."""
    site.job(A, ago_s=DAY_S)
    for name in ("logits_fixed/ce/0_logits.npz", "logits_fixed/ce/0_logits.json", "logits_fixed/.x.part"):
        path = site.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"shown")
        os.utime(path, (0, 0))
    shown = {name: data for name, data in site.tree().items() if "logits_fixed" in name}
    assert went(collect(Limits(0, 0, 0), site.storage)) != []
    assert {name: data for name, data in site.tree().items() if "logits_fixed" in name} == shown


def test_a_file_that_cannot_be_removed_is_reported_and_tried_again(site: Site) -> None:
    """Its job and all other files are removed; a later collection removes it as an orphan."""
    site.long_there()
    job = site.job(A, B, ago_s=3 * DAY_S)
    path = artifact_path(site.storage.settings.objects_dir, A)
    path.parent.rename(site.root / "aside")
    path.parent.write_bytes(b"no folder")  # not even root can unlink a file below it
    found = collect(Limits(jobs_older_than_s=DAY_S), site.storage)
    assert [(job.id, job.bytes) for job in found.jobs] == [(job, KB)]
    [reason] = found.kept_back
    assert reason.startswith(f"{path} cannot be removed: ")
    assert site.ids() == set()
    path.parent.unlink()
    (site.root / "aside").rename(path.parent)
    os.utime(path, (time.time() - ORPHAN_AGE_S - 60,) * 2)
    found = collect(Limits(), site.storage)
    assert (found.jobs, found.orphan_bytes > 0, found.kept_back, path.exists()) == ((), True, (), False)


def test_a_job_that_has_not_ended_is_not_deleted(site: Site) -> None:
    """Not by `delete_job` either, which the API's DELETE is; files that a user removed by hand free nothing."""
    job = site.job(A, ended=False)
    with pytest.raises(Conflict):
        delete_job(job, site.storage)
    assert delete_job(site.job(A, B), site.storage) == KB
    last = site.job(C)
    artifact_path(site.storage.settings.objects_dir, C).unlink()
    assert delete_job(last, site.storage) == 0
    assert site.ids() == {job}


def test_two_collections_at_once_remove_no_more_than_one(tmp_path: Path) -> None:
    """Each job is returned by one of them."""
    database = Database(tmp_path / "out" / ".relogit" / "jobs.sqlite3", durable=False)
    site = Site(parts(tmp_path, database))
    jobs = [site.job(uuid.uuid4().hex * 2, ago_s=(100 - number) * DAY_S) for number in range(40)]
    found: list[Collected] = []
    start = threading.Barrier(3)

    def run() -> None:
        start.wait()
        found.append(collect(Limits(jobs_older_than_s=75.5 * DAY_S), site.storage))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job for one in found for job in went(one)) == sorted(jobs[:25])
    assert sum(one.freed_bytes for one in found) == 25 * KB
    assert site.ids() == set(jobs[25:])
    assert [one.kept_back for one in found] == [()] * 3
    database.close()


def test_what_nobody_refers_to_goes_once_it_is_old(site: Site) -> None:
    """Objects, uploads, and what killed processes left; a young one may be on its way. The bytes are told."""
    site.long_there()
    job = site.job(A)
    internal, outputs = site.storage.settings.internal_dir, site.root
    kept = [site.object(A), site.object(B), site.storage.uploads.folder(site.upload())]
    half = outputs / "logits_fixed" / "ce"
    half.mkdir(parents=True)
    left = [site.object(C, 2 * KB), site.storage.uploads.folder(site.upload(3 * KB)), half / ".abcdefg_.part"]
    left += [internal / "rows" / ".x", internal / "workers" / "w.lock", internal / "objects" / ".x.part"]
    for path in left[2:]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * KB)
    old = time.time() - ORPHAN_AGE_S - 60
    for path in [kept[0], *left, *left[1].rglob("*")]:
        os.utime(path, (old, old))
    before = site.tree()
    expected = remove_orphans(site.storage, dry_run=True)
    assert site.tree() == before
    found = collect(Limits(), site.storage)
    assert found.orphan_bytes == found.freed_bytes == expected
    assert 8 * KB <= expected <= 8 * KB + 6 * 4096  # in blocks
    assert [path.exists() for path in (*kept, *left)] == [True] * len(kept) + [False] * len(left)
    assert site.ids() == {job}


def test_tidying_goes_by_the_settings(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Without one, only what nobody refers to; then as `collect`, with one line of log if anything went."""
    caplog.set_level(logging.INFO)
    site.long_there()
    old, young = site.job(A, ago_s=3 * DAY_S), site.job(B)
    orphan = site.object(C)
    os.utime(orphan, (time.time() - ORPHAN_AGE_S - 60,) * 2)
    tidy(site.storage)
    assert (site.ids(), orphan.exists(), len(caplog.messages)) == ({old, young}, False, 1)
    tidy(site.storage)
    assert len(caplog.messages) == 1
    caplog.clear()
    told = site.storage.settings.model_copy(update={"keep_jobs_s": DAY_S})
    services = replace(site.storage, settings=told)
    tidy(services)
    assert site.ids() == {young}
    [line] = caplog.messages
    assert f"1 jobs and 0 keys of kept rows; {KB} bytes" in line
    tidy(services)
    assert len(caplog.messages) == 1


def test_each_setting_is_a_limit(site: Site) -> None:
    """By default none is set."""
    assert Limits.of(site.storage.settings) == Limits()
    names = ("keep_jobs_s", "keep_rows_s", "keep_rows_bytes")
    set_ = site.storage.settings.model_copy(update={name: number for number, name in enumerate(names)})
    assert Limits.of(set_) == Limits(0, 1, 2)
