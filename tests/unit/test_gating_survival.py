"""A combination that is repeated, struck, stopped or cancelled: equal bytes, or nothing at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
import torch

from app.domain.fault_points import EVENT
from app.domain.jobs import JobState
from app.files.artifacts import artifact_path
from app.store.database import Database
from tests.fakes import Home
from tests.unit.expert_jobs import (
    ExpertJobs,
    digests_of,
)
from worker import loop


@pytest.fixture
def site(home: Home, database: Database) -> ExpertJobs:
    return ExpertJobs.make(home, database)


def test_equal_requests_have_equal_bytes(site: ExpertJobs) -> None:
    """Parameters, network, logits and mixtures, whatever ran between; and for any number of threads."""
    site.recomputed()
    folders = (site.outputs / "gating", site.home.settings.checkpoints_dir / "gating_pretrained")
    site.done(site.gating(mode="selective", epochs=2))
    before = digests_of(*folders)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(12345)
        np.random.seed(7)
        site.done(site.gating(mode="selective", epochs=2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert digests_of(*folders) == before
    assert len(before) == 2 * 3 + 2 + 2


def test_a_worker_that_dies_after_fitting_leaves_the_parameters_for_the_next(site: ExpertJobs) -> None:
    """The next one takes them up and publishes the bytes of an undisturbed run."""
    site.recomputed()
    folders = (site.outputs / "gating", site.home.settings.checkpoints_dir / "gating_pretrained")
    site.done(site.gating(method="linear", mode="selective"))
    before = digests_of(*folders)
    job = site.gating(method="linear", mode="selective")
    with dying_at("gating.fitted"):
        claim = site.store.claim("w")
        assert claim is not None
        with pytest.raises(SystemExit):
            loop._run(claim, site.context)
    assert site.store.get(job.id).outcome is not None
    site.store.add_worker("w", pid=1, device="cpu", devices=1, environment=site.context.arithmetic)
    site.store.reap("w")
    fitted = site.store.get(job.id).outcome
    ended = site.done(job)
    assert ended.outcome == fitted
    assert digests_of(*folders) == before


@contextmanager
def dying_at(point: str) -> Iterator[None]:
    """Die where this point is reached, once."""
    armed = [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if armed[0] and event == EVENT and arguments[0] == point:
            armed[0] = False
            raise SystemExit

    sys.addaudithook(hook)
    try:
        yield
    finally:
        armed[0] = False


def test_a_job_can_be_cancelled_and_stopped_while_it_fits(site: ExpertJobs) -> None:
    """Cancelled, its units are; handed back, it waits for the next worker."""
    site.recomputed()
    job = site.gating(method="net", epochs=50)
    claim = site.store.claim("w")
    assert claim is not None
    assert claim.task == "gating_net"
    loop._run(claim, replace(site.context, stopping=lambda: True))
    assert site.store.get(job.id).state is JobState.RUNNING
    assert [unit.state for unit in site.store.get(job.id).units] == ["queued"] * 3
    claim = site.store.claim("w")
    assert claim is not None
    site.store.cancel(job.id)
    loop._run(claim, site.context)
    ended = site.store.get(job.id)
    assert (ended.state, ended.outcome) == (JobState.CANCELLED, None)
    assert {unit.state for unit in ended.units} == {"cancelled"}
    assert not (site.outputs / "gating").exists()


def test_logits_of_a_deleted_job_are_gone(site: ExpertJobs) -> None:
    """A job that was accepted before says so, and what helps."""
    source = site.recomputed()
    job = site.gating(method="uniform")
    artifact_path(site.home.settings.objects_dir, sha256(site.content("ce", "tunev")).hexdigest()).unlink()
    assert site.failure(job) == "logits-gone"
    assert source
