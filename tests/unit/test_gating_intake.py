"""From a request to combine experts to a job: defaults, identity, and every single thing that is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.catalog.split_lists import Split
from app.domain.checks import JobReport
from app.domain.errors import Refused, RequestError
from app.domain.jobs import JobState
from app.store.database import Database
from app.submission.gating import shared_samples
from tests.fakes import DONE, ERROR, REPORT, Home, take
from tests.unit.asgi import send
from tests.unit.expert_jobs import EXPERTS, LISTS, ExpertJobs


@pytest.fixture
def site(home: Home, database: Database) -> ExpertJobs:
    return ExpertJobs.make(home, database)


def problems(site: ExpertJobs, **body: Any) -> list[tuple[str, str]]:
    with pytest.raises(RequestError) as caught:
        site.plan(**body)
    assert isinstance(caught.value, Refused)
    return [(problem.code, problem.details["pointer"]) for problem in caught.value.problems]


def test_a_request_that_says_nothing_combines_the_newest_logits(site: ExpertJobs) -> None:
    """All experts and splits of the newest recompute job that succeeded, by tunev and val."""
    site.recomputed(("ce",))
    newest = site.recomputed()
    job = site.gating()
    request = site.plan()
    assert (request.logits.job, request.experts, request.splits) == (newest, EXPERTS, ("tunev", "val", "test"))
    assert (request.fit, request.validate, request.method, request.name) == ("tunev", "val", None, "pretrained")
    assert [(unit.expert, unit.split, unit.total) for unit in job.units] == [
        ("pretrained", "tunev", 150), ("pretrained", "val", 156), ("pretrained", "test", 234)
    ]  # fmt: skip
    assert site.plan(mode="selective").name == "selective"


def test_the_old_scripts_experts_come_in_their_order(site: ExpertJobs) -> None:
    """Their networks depend on it; others follow in the job's order."""
    names = ("balsoftmax_baseline", "ce", "ce_baseline", "logitadjust_baseline")
    contents = {f"{name}_{split}": site.content("ce", split) for name in names for split in LISTS}
    site.recomputed(names, contents=contents)
    assert site.plan().experts == ("ce_baseline", "logitadjust_baseline", "balsoftmax_baseline", "ce")
    assert site.plan(experts=["ce", "ce_baseline"]).experts == ("ce", "ce_baseline")


def test_without_any_logits_the_request_is_refused(site: ExpertJobs) -> None:
    """Whether none is named or an unknown one is."""
    assert problems(site) == [("no-logits", "#/logits")]
    assert problems(site, logits="0" * 32) == [("job-not-found", "#/logits")]


def test_jobs_that_are_not_verified_are_refused(site: ExpertJobs) -> None:
    """One that is queued, runs, was cancelled or holds no logits."""
    site.recomputed()
    gating = site.fitted()
    rejector = site.rejector()
    running = site.store.submit(site.store.get(gating.id).request)
    assert problems(site, logits=running.id) == [("logits-unverified", "#/logits")]
    assert problems(site, logits=rejector.id) == [("no-logits", "#/logits")]
    site.store.cancel(running.id)
    assert site.store.get(running.id).state is JobState.CANCELLED
    assert problems(site, logits=running.id) == [("logits-unverified", "#/logits")]


def test_of_a_job_in_part_the_verified_units_are_combined(site: ExpertJobs) -> None:
    """A unit that failed leaves its expert without that split."""
    job = site.store.get(site.recomputed())
    again = site.store.submit(job.request, [])  # a fresh record of the same request
    with site.store._database.transaction() as db:
        db.execute(
            "INSERT INTO units (job, position, expert, split, total, split_sha256)"
            " SELECT ?, position, expert, split, total, split_sha256 FROM units WHERE job = ?",
            (again.id, job.id),
        )
    while (claim := take(site.store)).task != "verify":
        for unit in claim.open_units:
            site.store.start_unit(claim, unit.split)
            if (unit.expert, unit.split) == ("adj", "test"):
                site.store.fail_unit(claim, unit.split, ERROR)
                continue
            artifact = site.publish(site.content(unit.expert, unit.split))
            site.store.finish_unit(claim, unit.split, artifact, REPORT, DONE, is_there=lambda: True)
        site.store.end_task(claim)
    site.store.finish_job(claim, JobReport("failed"))
    assert site.plan(logits=again.id).splits == ("tunev", "val")
    assert site.plan(logits=again.id, experts=["ce", "bal"]).splits == ("tunev", "val", "test")
    assert problems(site, logits=again.id, fit="test") == [("split-without-logits", "#/fit")]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"experts": ["ce", "ce"]}, "repeated-name", "#/experts"),
    ({"experts": ["ce", "other"]}, "expert-without-logits", "#/experts"),
    ({"fit": "nowhere"}, "split-without-logits", "#/fit"),
    ({"validate": "nowhere"}, "split-without-logits", "#/validate"),
    ({"fit": "val"}, "overlap", "#/validate"),
    ({"divided_by": {"other": 2.0}}, "unknown-expert", "#/divided_by"),
    ({"net_file": "../net.ckpt"}, "invalid-name", "#/net_file"),
    ({"net_file": "/etc/passwd"}, "invalid-name", "#/net_file"),
    ({"net_file": "nowhere.ckpt"}, "net-file-missing", "#/net_file"),
    ({"net_file": "nowhere.ckpt", "method": "linear"}, "net-file-unused", "#/net_file"),
    ({"name": "a/b"}, "invalid-name", "#/name"),
    ({"output_dir": "../a"}, "invalid-name", "#/output_dir"),
]


@pytest.mark.parametrize(("body", "code", "pointer"), REFUSED)
def test_what_is_wrong_is_named(site: ExpertJobs, body: dict[str, Any], code: str, pointer: str) -> None:
    """Each problem points at its field."""
    site.recomputed()
    assert problems(site, **body) == [(code, pointer)]


def test_all_problems_are_named_together(site: ExpertJobs) -> None:
    """Nobody has to send a request four times to learn of four mistakes."""
    site.recomputed()
    found = problems(site, fit="nowhere", divided_by={"x": 2.0}, net_file="no.ckpt", name="../x")
    assert [pointer for _, pointer in found] == ["#/fit", "#/divided_by", "#/net_file", "#/name"]


def test_a_list_that_was_changed_since_is_refused(site: ExpertJobs) -> None:
    """Also one that is neither fitted on nor validated by: every split is combined."""
    site.recomputed()
    site.home.write_split("val", list(range(151, 307)))
    assert problems(site) == [("split-changed", "#/validate")]
    site.home.write_split("val", list(range(150, 306)))
    site.home.write_split("test", list(range(307, 541)))
    assert problems(site) == [("split-changed", "#/logits")]


def test_missing_train_counts_are_refused(site: ExpertJobs) -> None:
    """Groups and prior are unknown; a train list would do."""
    site.recomputed()
    site.write_counts([1]).unlink()
    assert site.plan().counts_sha256
    site.list_path("train").unlink()
    assert problems(site) == [("train-counts-missing", "#/logits")]


def test_samples_in_fit_and_validate_need_leave(home: Home, database: Database) -> None:
    """Shared samples are counted once each; `allow_overlap` turns the error into a warning."""
    lists = {"tunev": [0, 1, 2, 2, *range(3, 90)], "val": [2, 2, 3, *range(90, 180)], "test": range(300, 400)}
    site = ExpertJobs.make(home, database, lists)
    site.recomputed()
    with pytest.raises(Refused, match=r"^2 samples of 'val' stand in 'tunev'"):
        site.plan()
    assert site.plan(allow_overlap=True).allow_overlap


def test_lists_of_other_bases_share_no_sample() -> None:
    """The same indices into train are other images."""
    one, other = Split("a", "test", np.array([1, 2, 2]), "x"), Split("b", "train", np.array([1, 2, 2]), "x")
    assert (shared_samples(one, one), shared_samples(one, other)) == (2, 0)


def test_equal_requests_have_one_identity_and_the_jobs_id_is_no_part_of_it(site: ExpertJobs) -> None:
    """The logits' bytes count, not the job that they came from."""
    first, second = site.recomputed(), site.recomputed()
    assert site.plan(logits=first).identity == site.plan(logits=second).identity


def test_everything_that_decides_the_result_is_part_of_the_identity(site: ExpertJobs) -> None:
    """Logits, lists, counts, data set, options and the imported network's bytes."""
    job = site.recomputed()
    net = site.home.settings.checkpoints_dir / "old.ckpt"
    net.write_bytes(b"one")
    bodies: list[dict[str, Any]] = [
        {}, {"seed": 1}, {"epochs": 3}, {"lr": 1e-3}, {"batch_size": 32}, {"method": "linear"}, {"prior": "train"},
        {"groups": "many-medium-few"}, {"head_threshold": 5}, {"divided_by": {"ce": 2.0}},
        {"divided_by": {"ce": 3.0}}, {"net_file": "old.ckpt"}, {"experts": ["ce", "bal"]},
        {"experts": ["bal", "ce", "adj"]}, {"fit": "val", "validate": "tunev"}, {"mode": "selective"},
        {"coverages": [0.5]}, {"min_group_coverage": 0.5},
    ]  # fmt: skip
    identities = [site.plan(logits=job, **body).identity for body in bodies]
    net.write_bytes(b"two")
    identities.append(site.plan(logits=job, net_file="old.ckpt").identity)
    site.write_counts([61, 30, 3])
    identities.append(site.plan(logits=job).identity)
    site.write_counts([60, 30, 3])
    other = site.content("ce", "val", logits=np.eye(3, dtype=np.float32)[np.arange(156) % 3])
    identities.append(site.plan(logits=site.recomputed(contents={"ce_val": other})).identity)
    site.home.write_split("test", list(range(300, 530)))
    identities.append(site.plan(logits=site.recomputed()).identity)
    assert len(set(identities)) == len(identities)


def test_problems_reach_the_client_with_their_pointers(
    app: FastAPI, services: Services, home: Home, database: Database
) -> None:
    """As problem+json, every one of them."""
    site = ExpertJobs(home, ExpertJobs.make(home, services.database).context)
    site.recomputed()
    answer = send(app, "POST", "/gatings", {"fit": "nowhere", "divided_by": {"x": 2}})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/fit", "#/divided_by"]
    unknown = send(app, "POST", "/gatings", {"logits": "f" * 32})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "job-not-found")
    accepted = send(app, "POST", "/gatings", {})
    assert accepted.status_code == 202
    assert accepted.headers["location"] == f"/gatings/{accepted.json()['id']}"
