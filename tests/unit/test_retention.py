"""Jobs are removed by age, rows by age and size, orphans; never what a job still refers to."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import Conflict, NotFound
from app.domain.jobs import Claim, Job, UnitPlan
from app.files.artifacts import artifact_path
from app.files.disk import ORPHAN_AGE_S
from app.files.row_files import LOGITS
from app.files.row_store import RowStore
from app.files.uploads import Uploads
from app.retention.orphans import Storage, remove_orphans
from app.retention.retention import CLOCKS_DIFFER_S, Collected, Limits, collect, delete_job, tidy
from app.settings import Settings
from app.store.database import Database
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from tests.fakes import DONE, PASSED, REPORT, artifact, job_request, take
from tests.unit.kept import SIZE, cut, filled, source, used
from tests.unit.test_requests import VERIFICATION

DAY_S = 86400.0
KB = 1000
A, B, C = (digit * 64 for digit in "abc")


@dataclass(frozen=True)
class Site:
    """A service's parts, and what an age and a file are to them."""

    storage: Storage

    @property
    def root(self) -> Path:
        return self.storage.settings.outputs_dir

    def object(self, digest: str, size: int = KB) -> Path:
        """An artifact's file."""
        path = artifact_path(self.storage.settings.objects_dir, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        return path

    def job(self, *digests: str, ago_s: float = 0.0, ended: bool = True, size: int = KB) -> str:
        """A job with a done unit for each artifact; one that has not ended has a unit more."""
        store = self.storage.jobs
        splits = [str(number) for number in range(len(digests) + (not ended))]
        job = store.submit(job_request(["ce"], splits), [UnitPlan("ce", split, 8, "s") for split in splits])
        claim = self.claim(job)
        for split, digest in zip(splits, digests, strict=False):
            path = self.object(digest, size)
            store.start_unit(claim, split)
            store.finish_unit(claim, split, artifact(digest), REPORT, DONE, path.exists)
        if ended:
            store.end_task(claim)
            store.finish_job(self.claim(job), PASSED)
        return self.aged(job, ago_s)

    def verification(self, upload: str, *, ago_s: float = 0.0, ended: bool = True) -> str:
        """A verification of an upload."""
        job = self.storage.jobs.submit(replace(VERIFICATION, upload=upload))
        if ended:
            self.storage.jobs.finish_job(self.claim(job), PASSED)
        return self.aged(job, ago_s)

    def claim(self, job: Job) -> Claim:
        """A claim of that job's; what is older and was left open is left to its worker."""
        while (claim := take(self.storage.jobs)).job.id != job.id:
            pass
        return claim

    def upload(self, size: int = KB) -> str:
        upload = self.storage.uploads.create()
        with self.storage.uploads.receiving(upload, "ce/val_logits.npz") as stream:
            stream.write(b"x" * size)
        return upload

    def aged(self, job: Job, ago_s: float) -> str:
        """As if it had been accepted, and had ended if it has, so long ago."""
        then = time.time() - ago_s
        with self.storage.database.transaction() as db:
            db.execute("UPDATE jobs SET created_at = ? WHERE id = ?", (then - 1, job.id))
            db.execute("UPDATE jobs SET finished_at = ? WHERE id = ? AND finished_at IS NOT NULL", (then, job.id))
        return job.id

    def long_there(self) -> None:
        """As if the store had been made long ago: what is older than it is not its to remove."""
        with self.storage.database.transaction() as db:
            db.execute("UPDATE store SET created_at = 0")

    def ids(self) -> set[str]:
        return {job.id for job in self.storage.jobs.jobs(limit=1000)}

    def tree(self) -> dict[str, bytes | None]:
        """Everything on disk but the store itself."""
        paths = [path for path in self.root.rglob("*") if not path.name.startswith("jobs.sqlite3")]
        return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def parts(root: Path, database: Database) -> Storage:
    folders = Settings(data_dir=root / "data", checkpoints_dir=root / "c", outputs_dir=root / "out", _env_file=None)
    return Storage(
        settings=folders,
        database=database,
        jobs=JobStore(database),
        inspections=InspectionStore(database),
        rows=RowStore(folders.rows_dir),
        uploads=Uploads(folders.uploads_dir),
    )


@pytest.fixture
def site(tmp_path: Path, database: Database) -> Site:
    return Site(parts(tmp_path, database))


def went(found: Collected) -> list[str]:
    return [job.id for job in found.jobs]


# --- jobs ---------------------------------------------------------------------------------------------


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


# --- rows ---------------------------------------------------------------------------------------------


def rows_of(site: Site, *ages_s: float) -> list[str]:
    """Keys, with rows last used so long ago."""
    folder = site.storage.settings.rows_dir
    for number, ago_s in enumerate(ages_s):
        used(filled(folder, source(number)).folder, ago_s)
    return [source(number).key for number in range(len(ages_s))]


def kept_keys(site: Site) -> set[str]:
    return {entry.key for entry in site.storage.rows.entries()}


def test_rows_go_by_age_and_by_size(site: Site) -> None:
    """As `relogit rows prune` does it; neither an open verification nor a job that has ended spares any."""
    keys = rows_of(site, 60, 3600, DAY_S)
    site.verification(site.upload(), ago_s=2 * DAY_S, ended=False)
    site.job(ago_s=2 * DAY_S)
    found = collect(Limits(rows_older_than_s=7200), site.storage)
    assert ([entry.key for entry in found.rows], kept_keys(site)) == ([keys[2]], set(keys[:2]))
    size = found.rows_left[0].bytes
    found = collect(Limits(rows_max_bytes=size), site.storage)
    assert ([entry.key for entry in found.rows], found.freed_bytes) == ([keys[1]], size)
    assert [entry.key for entry in found.rows_left] == [keys[0]]
    collect(Limits(rows_older_than_s=0), site.storage)
    assert kept_keys(site) == set()


def test_rows_used_since_the_oldest_open_job_was_accepted_stay(site: Site) -> None:
    """Whatever the limits; they count, but others go in their place. Once that job has ended, they go as well."""
    keys = rows_of(site, 60, 3600, DAY_S)
    size = sum(entry.bytes for entry in site.storage.rows.entries())
    site.job(ended=False, ago_s=7200)
    site.job(ended=False, ago_s=10)
    limits = Limits(rows_older_than_s=0, rows_max_bytes=0)
    for tight in (limits, Limits(rows_max_bytes=size - 1)):
        told = collect(tight, site.storage, dry_run=True)
        assert [entry.key for entry in told.rows] == [keys[2]]
    found = collect(limits, site.storage)
    assert ([entry.key for entry in found.rows], kept_keys(site)) == ([keys[2]], set(keys[:2]))
    for job in site.ids():
        site.storage.jobs.cancel(job)
    site.storage.jobs.reap("w")
    assert collect(Limits(rows_max_bytes=0), site.storage).rows_left == ()


def test_rows_that_a_job_uses_after_the_jobs_were_listed_stay(site: Site) -> None:
    """It was accepted meanwhile, so its need is only seen by the rows' time; unusable rows go whatever their time."""
    [unusable, used_later] = rows_of(site, -60, -60)
    cut(site.storage.settings.rows_dir / unusable / LOGITS, 1)
    found = collect(Limits(rows_max_bytes=0), site.storage)
    assert ([entry.key for entry in found.rows], kept_keys(site)) == ([unusable], {used_later})


def test_rows_used_since_they_were_listed_stay(site: Site) -> None:
    """A job may have begun in the moment between; and so do rows that were made anew."""
    rows_of(site, DAY_S)
    rows = site.storage.rows
    [listed] = rows.prune(max_bytes=0, dry_run=True)
    kept = rows.look(source(0), SIZE)
    assert kept is not None
    kept.touch()
    assert not rows.remove_as_listed(listed)
    assert kept_keys(site) == {listed.key}
    [listed] = rows.prune(max_bytes=0, dry_run=True)
    assert not rows.remove_as_listed(replace(listed, about={}))
    assert rows.remove_as_listed(listed)
    assert not rows.remove_as_listed(listed)


def test_rows_that_cannot_be_listed_are_told(site: Site) -> None:
    """And keep nothing else from being removed."""
    job = site.job(A, ago_s=DAY_S)
    site.storage.settings.rows_dir.write_bytes(b"no folder")
    found = collect(Limits(jobs_older_than_s=1), site.storage)
    assert went(found) == [job]
    assert ["cannot be listed" in reason for reason in found.kept_back] == [True]


# --- what nobody refers to ----------------------------------------------------------------------------


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


# --- tidying ------------------------------------------------------------------------------------------


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


# --- whatever there is ----------------------------------------------------------------------------------

POOL = [f"{number:064x}" for number in range(5)]
SIZES = {digest: (number + 1) * KB for number, digest in enumerate(POOL)}
OLD_S = 10 * DAY_S


@dataclass(frozen=True)
class Plan:
    """A job of the property test."""

    digests: tuple[str, ...]
    ago_s: float
    ended: bool
    verifies: bool


PLANS = st.builds(
    Plan,
    st.lists(st.sampled_from(POOL), max_size=3, unique=True).map(tuple),
    st.integers(1, 20).map(lambda days: days * DAY_S),
    st.integers(0, 3).map(bool),
    st.booleans(),
)
SETS_OF_ROWS = st.lists(st.integers(1, 20), max_size=4, unique=True)


def arrange(site: Site, plans: Sequence[Plan], upload: str) -> dict[str, Plan]:
    made = {}
    for plan in plans:
        if plan.verifies:
            made[site.verification(upload, ago_s=plan.ago_s, ended=plan.ended)] = plan
            continue
        job = site.job(*plan.digests, ago_s=plan.ago_s, ended=plan.ended)
        made[job] = plan
        for digest in plan.digests:
            site.object(digest, SIZES[digest])
    return made


@settings(max_examples=40)
@given(st.lists(PLANS, max_size=7), st.none() | st.just(OLD_S), SETS_OF_ROWS, st.none() | st.just(0))
def test_the_limits_hold_and_whatever_a_job_refers_to_stays(
    plans: list[Plan], age: float | None, row_days: list[int], rows_max: int | None
) -> None:
    """Whatever jobs there are: what remains is complete, and a dry run tells the outcome."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(":memory:"))
        site = Site(parts(Path(folder), database))
        upload = site.upload(3 * KB)
        jobs = arrange(site, plans, upload)
        keys = dict(zip(rows_of(site, *(days * DAY_S for days in row_days)), row_days, strict=True))
        limits = Limits(age, None, rows_max)
        before, ids = site.tree(), site.ids()
        dry = collect(limits, site.storage, dry_run=True)
        assert (site.tree(), site.ids()) == (before, ids)
        found = collect(limits, site.storage)
        assert dry == found
        check_jobs(site, jobs, found, age, upload)
        oldest = max((plan.ago_s for plan in jobs.values() if not plan.ended and not plan.verifies), default=0)
        spared = {key for key, days in keys.items() if days * DAY_S < oldest + 1 + CLOCKS_DIFFER_S}
        assert kept_keys(site) == (set(keys) if rows_max is None else spared)
        database.close()


def check_jobs(site: Site, jobs: dict[str, Plan], found: Collected, age: float | None, upload: str) -> None:
    def files(ids: set[str]) -> set[str]:
        return {name for job in ids for name in ({upload} if jobs[job].verifies else jobs[job].digests)}

    def size(ids: set[str]) -> int:
        return sum(SIZES.get(name, 3 * KB) for name in files(ids))

    removed, stays = set(went(found)), site.ids()
    assert removed == {job for job in jobs if age is not None and jobs[job].ended and jobs[job].ago_s >= age}
    assert stays == set(jobs) - removed
    folders = site.storage.settings
    assert {path.stem for path in folders.objects_dir.rglob("*.npz")} == files(stays) - {upload}
    verified = {job for job in jobs if jobs[job].verifies}
    assert (folders.uploads_dir / upload).exists() is bool(not verified or verified & stays)
    assert sum(job.bytes for job in found.jobs) == size(set(jobs)) - size(stays)
    assert (found.jobs_left, found.bytes_left) == (len(stays), size(stays))
