"""The limits hold for any arrangement of jobs, and what a job refers to stays."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from app.retention.retention import CLOCKS_DIFFER_S, Collected, Limits, collect
from app.store.database import Database
from tests.unit.retained import DAY_S, KB, Site, parts, went
from tests.unit.test_retention_rows import kept_keys, rows_of

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
