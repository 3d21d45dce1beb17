"""Kept rows are removed by age and size; never rows that an open job may use."""

from __future__ import annotations

from dataclasses import replace

from app.files.row_files import LOGITS
from app.retention.retention import Limits, collect
from tests.unit.kept import SIZE, cut, filled, source, used
from tests.unit.retained import DAY_S, A, Site, went


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
