"""Mixtures are logits like any others: verified, combined again, stale, and kept while jobs need them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.domain.checks import Result
from app.domain.errors import Conflict, NotFound, Refused
from app.domain.jobs import Job
from app.files.artifacts import artifact_path
from app.files.uploads import Uploads
from app.retention.orphans import Storage
from app.retention.retention import Limits, collect, delete_job
from app.store.database import Database
from tests.fakes import Home
from tests.unit.expert_jobs import EXPERTS, ExpertJobs, verdicts_of
from worker.outputs.gating_files import write_checkpoints
from worker.verify.manifest_checks import checkpoint_of


@pytest.fixture
def site(home: Home, database: Database) -> ExpertJobs:
    return ExpertJobs.make(home, database)


@pytest.fixture
def storage(site: ExpertJobs, database: Database) -> Storage:
    context = site.context
    uploads = Uploads(context.settings.uploads_dir)
    return Storage(context.settings, database, context.jobs, context.inspections, context.kept, uploads)


def failed_checks(result: Result, level: str | None = None) -> set[str]:
    checks = result.report.checks
    return {check.id for check in checks if check.verdict == "failed" and level in (None, check.level)}


def result_of(job: Job, expert: str, split: str) -> Result:
    assert job.verification is not None
    return next(result for result in job.verification.results or () if result.place == (expert, split))


def test_a_folder_of_mixtures_passes_its_verification(site: ExpertJobs) -> None:
    """Without a warning of strange files or of log-probabilities: both are as they should be."""
    site.recomputed()
    site.fitted()
    job = site.verification(path="gating")
    assert job.verification is not None
    assert job.verification.verdict == "passed"
    assert verdicts_of(job)["names"] == "passed"
    result = result_of(job, "pretrained", "val")
    assert failed_checks(result) == set()
    verdicts = {check.id: check.verdict for check in result.report.checks}
    assert verdicts["raw-logits"] == "skipped"
    assert [verdicts[f"manifest-{part}"] for part in ("file", "split", "checkpoint")] == ["passed"] * 3


def test_other_log_probabilities_are_warned_of(site: ExpertJobs) -> None:
    """Without the manifest nobody knows that the file is a combination."""
    site.recomputed()
    site.fitted()
    (site.outputs / "gating" / "pretrained" / "val_logits.json").unlink()
    assert "raw-logits" in failed_checks(result_of(site.verification(path="gating"), "pretrained", "val"))


def test_no_row_of_a_mixture_is_recomputed(site: ExpertJobs) -> None:
    """It comes from no checkpoint; the check is skipped with that reason."""
    site.recomputed()
    site.fitted()
    job = site.verification(path="gating", recompute=2)
    [check] = [
        check for check in result_of(job, "pretrained", "val").report.checks if "no checkpoint" in check.message
    ]
    assert check.verdict == "skipped"


def test_a_mixture_is_stale_once_it_was_fitted_with_other_parameters(site: ExpertJobs) -> None:
    """The same parameters again are no other ones."""
    site.recomputed()
    site.fitted(method="linear")
    site.fitted(method="linear", output_dir="elsewhere")
    assert verdict(site, "gating") == "passed"
    site.fitted(method="uniform", output_dir="elsewhere")
    assert verdict(site, "gating") == "failed"
    assert failed_checks(result_of(site.verification(path="gating"), "pretrained", "val")) == {"manifest-checkpoint"}
    assert verdict(site, "elsewhere") == "passed"


def verdict(site: ExpertJobs, path: str) -> str | None:
    report = site.verification(path=path).verification
    return None if report is None else report.verdict


def test_mixtures_are_experts_of_another_combination(site: ExpertJobs) -> None:
    """A job's own units, and a verified folder of mixtures beside experts."""
    site.recomputed()
    inner = site.fitted(name="inner")
    outer = site.fitted(logits=inner.id, experts=["inner"], method="temperature", name="outer")
    assert outer.state == "succeeded"
    for expert in EXPERTS:
        for split in ("tunev", "val", "test"):
            path = site.outputs / "gating" / expert / f"{split}_logits.npz"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(site.content(expert, split))
    source = site.verification(path="gating")
    both = site.fitted(logits=source.id, experts=["ce", "inner"], method="linear", name="both")
    assert both.state == "succeeded"


def test_test_rows_that_an_inner_combination_was_fitted_on_are_refused(site: ExpertJobs) -> None:
    """Parameters of the experts count as well as the combination's own."""
    site.recomputed()
    inner = site.fitted(fit="test", validate="val", name="inner")
    outer = site.fitted(logits=inner.id, fit="tunev", validate="val", name="outer")
    assert outer.request.to_dict()["fitted_before"]
    assert verdicts_of(outer)["fitted-samples"] == "failed"  # val chose the inner method
    with pytest.raises(Refused, match="234 with 'test'"):
        site.evaluation(gatings=[outer.id])
    allowed = site.done(site.evaluation(gatings=[outer.id], allow_overlap=True))
    assert verdicts_of(allowed)["fitted-samples"] == "failed"


def test_manifests_tell_what_mixtures_in_a_folder_were_fitted_on(site: ExpertJobs) -> None:
    """A verified folder leaks no test rows either; a mixture of a list that is another one now is refused."""
    site.recomputed()
    site.fitted(fit="test", validate="val", name="inner")
    source = site.verification(path="gating")
    outer = site.fitted(logits=source.id, name="outer")
    assert [item["split"] for item in outer.request.to_dict()["fitted_before"]] == ["test", "val"]
    with pytest.raises(Refused, match="234 with 'test'"):
        site.evaluation(gatings=[outer.id])
    for split in ("tunev", "val", "test"):
        path = site.outputs / "gating" / "inner" / f"{split}_logits.json"
        manifest = json.loads(path.read_text())
        manifest["combination"]["fitted_on"][0]["sha256"] = "0" * 64
        path.write_text(json.dumps(manifest))
    with pytest.raises(Refused) as caught:
        site.plan(logits=site.verification(path="gating").id, experts=["inner"])
    assert {(p.code, p.details["pointer"]) for p in caught.value.problems} == {("fitted-lists-unknown", "#/logits")}


def upload_of(site: ExpertJobs) -> str:
    place = Uploads(site.home.settings.uploads_dir)
    upload = place.create()
    for expert in EXPERTS:
        for split in ("tunev", "val", "test"):
            with place.receiving(upload, f"{expert}/{split}_logits.npz") as stream:
                stream.write(site.content(expert, split))
    return upload


def test_a_combination_keeps_the_upload_that_it_reads(site: ExpertJobs, storage: Storage) -> None:
    """It goes with the last job that reads it, whichever that is."""
    upload = upload_of(site)
    source = site.verification(upload=upload)
    gating = site.fitted(logits=source.id)
    assert site.store.uploads() == {upload}
    folder = storage.uploads.folder(upload)
    delete_job(source.id, storage)
    assert folder.is_dir()
    assert site.done(site.evaluation(gatings=[gating.id])).state == "succeeded"
    for job in site.store.jobs(limit=10):
        delete_job(job.id, storage)
    with pytest.raises(NotFound):
        storage.uploads.folder(upload)


def test_a_collection_counts_an_upload_once_and_frees_it_with_its_last_job(
    site: ExpertJobs, storage: Storage
) -> None:
    """Verification and combination share it; the sizes add up."""
    upload = upload_of(site)
    site.fitted(logits=site.verification(upload=upload).id)
    size = sum(len(site.content(e, s)) for e in EXPERTS for s in ("tunev", "val", "test"))
    kept = collect(Limits(), storage, dry_run=True)
    own = sum(unit.artifact.size for job in site.store.jobs() for unit in job.units if unit.artifact)
    assert kept.bytes_left == size + own
    removed = collect(Limits(jobs_older_than_s=0), storage)
    assert [(job.kind, job.bytes) for job in removed.jobs] == [("verification", 0), ("gating", size + own)]


def test_what_an_open_job_builds_on_is_neither_deleted_nor_collected(site: ExpertJobs, storage: Storage) -> None:
    """A waiting evaluation needs its rejector, its gating, and the logits of that one."""
    source = site.recomputed()
    gating = site.fitted()
    rejector = site.done(site.rejector(coverages=[0.5, 1.0]))
    waiting = site.evaluation()
    for job_id in (source, gating.id, rejector.id):
        with pytest.raises(Conflict) as caught:
            delete_job(job_id, storage)
        assert caught.value.code == "job-in-use"
    assert collect(Limits(jobs_older_than_s=0), storage).jobs == ()
    site.done(waiting)
    assert len(collect(Limits(jobs_older_than_s=0), storage).jobs) == 4
    assert site.store.artifacts() == frozenset()


def test_an_upload_that_an_open_job_builds_on_counts_as_in_use(site: ExpertJobs) -> None:
    """Also by way of a combination that has ended."""
    upload = upload_of(site)
    site.fitted(logits=site.verification(upload=upload).id)
    assert site.store.uploads(open_only=True) == frozenset()
    job = site.evaluation()
    assert site.store.uploads(open_only=True) == {upload}
    site.done(job)
    assert site.store.uploads(open_only=True) == frozenset()


def test_without_the_logits_a_later_evaluation_fails(site: ExpertJobs, storage: Storage) -> None:
    """Once their job was deleted, with the code that says so; the combination's own files go with it alone."""
    source = site.recomputed()
    gating = site.fitted()
    delete_job(source, storage)
    assert site.failure(site.evaluation()) == "logits-gone"
    paths = [artifact_path(storage.settings.objects_dir, digest) for digest in site.store.artifacts()]
    assert len(paths) == 3
    delete_job(gating.id, storage)
    assert not any(path.exists() for path in paths)
    assert (site.outputs / "gating" / "pretrained" / "val_logits.npz").exists()


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="there is no sysfs, in which nobody can make a folder")
def test_parameters_in_read_only_checkpoints_are_not_named() -> None:
    """A manifest that named an older file there would make new mixtures stale; without a name nothing is compared."""
    assert write_checkpoints(Path("/sys"), "gating_pretrained/digits", {"gating_pretrained.json": b"{}"}) is False
    manifest = {"checkpoint": {"folder": None, "file": "gating_pretrained.json", "sha256": "ab"}}
    assert checkpoint_of(manifest) is None
