"""Jobs and units as values, and what no order of events may break."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.checks import JobReport
from app.domain.jobs import Claim, Job, JobState, Progress, Unit, UnitState, final_state
from app.store.database import Database
from app.store.jobs import JobStore
from app.store.transitions import ClaimLost
from tests.fakes import DONE, ERROR, PASSED, REPORT, artifact, finish_all, job_request, submit


def unit(state: UnitState, **more: float) -> Unit:
    return Unit("ce", "val", state, total=10, split_sha256="x", done=int(more.get("done", 0)), rate=more.get("rate"))


@pytest.mark.parametrize("enum", [JobState, UnitState])
def test_just_the_last_three_states_are_final(enum: type[JobState] | type[UnitState]) -> None:
    """Succeeded, failed and cancelled, for jobs as for units."""
    assert [str(state) for state in enum if state.ended] == ["succeeded", "failed", "cancelled"]


def test_the_remaining_time_is_known_only_while_a_unit_runs_at_a_rate() -> None:
    """Neither a rate of zero nor an ended unit divides anything."""
    assert unit(UnitState.RUNNING, done=4, rate=2.0).remaining_s == 3.0
    assert unit(UnitState.RUNNING, done=0, rate=0.0).remaining_s is None
    assert unit(UnitState.RUNNING).remaining_s is None
    assert unit(UnitState.SUCCEEDED, done=4, rate=2.0).remaining_s is None


@pytest.mark.parametrize(
    ("units", "cancelled", "verified", "expected"),
    [
        ([UnitState.SUCCEEDED] * 2, False, True, JobState.SUCCEEDED),
        ([UnitState.SUCCEEDED] * 2, False, False, JobState.FAILED),
        ([UnitState.SUCCEEDED, UnitState.FAILED], False, True, JobState.FAILED),
        ([UnitState.SUCCEEDED] * 2, True, True, JobState.CANCELLED),
        ([UnitState.FAILED, UnitState.CANCELLED], True, False, JobState.CANCELLED),
    ],
)
def test_a_job_succeeds_only_if_all_is_there_and_verified(
    units: list[UnitState], cancelled: bool, verified: bool, expected: JobState
) -> None:
    """A wish to cancel stands above both."""
    units_ = tuple(unit(state) for state in units)
    job = Job("j", JobState.RUNNING, job_request(), units_, 0.0, cancel_requested=cancelled)
    assert final_state(job, verified=verified) is expected
    assert final_state(replace(job, error={"code": "deadline-exceeded"}), verified=verified) is JobState.FAILED


# --- random walks -------------------------------------------------------------------------------------


@dataclass
class Walk:
    """A store, the claims that workers hold, and those that were taken from them."""

    store: JobStore
    held: list[Claim] = field(default_factory=list)
    lost: list[Claim] = field(default_factory=list)
    tokens: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    workers: int = 0

    def step(self, event: str, choice: int) -> None:
        """One event; those that are not possible now do nothing."""
        if event == "submit":
            submit(self.store, ["a", "b"][: 1 + choice % 2], ["x", "y"][: 1 + choice // 2 % 2])
        elif event == "claim":
            self._claim()
        elif event == "cancel":
            jobs = [job for job in self.store.jobs() if not job.state.ended]
            if jobs:
                self.store.cancel(jobs[choice % len(jobs)].id)
        elif event == "late" and self.lost:
            self._try_late(self.lost[choice % len(self.lost)])
        elif event in ("work", "fail", "die", "stop") and self.held:
            claim = self.held[choice % len(self.held)]
            if event == "die":
                self.store.reap(claim.worker)
                self._lose(claim)
            elif event == "stop":
                self.store.hand_back(claim)
                self._lose(claim)
            else:
                self._work(claim, fail=event == "fail")

    def _claim(self) -> None:
        self.workers += 1
        claim = self.store.claim(f"w{self.workers}")
        if claim is None:
            return
        self.tokens[claim.job.id, claim.task, claim.expert, claim.token] += 1
        same = [c for c in self.held if (c.job.id, c.task, c.expert) == (claim.job.id, claim.task, claim.expert)]
        assert not same, "two workers hold one task"
        self.held.append(claim)

    def _lose(self, claim: Claim) -> None:
        self.held.remove(claim)
        self.lost.append(claim)

    def _work(self, claim: Claim, *, fail: bool) -> None:
        if claim.task == "verify":
            self.store.finish_job(claim, JobReport("failed") if fail else PASSED)
            self._lose(claim)
            return
        units = [u for u in self.store.get(claim.job.id).units if u.expert == claim.expert and not u.state.ended]
        if not units:
            self.store.end_task(claim)
            self._lose(claim)
        elif fail:
            self.store.fail_unit(claim, units[0].split, ERROR)
        elif units[0].state is UnitState.QUEUED:
            self.store.start_unit(claim, units[0].split)
        elif self.store.progress(claim, units[0].split, Progress(0, 4, 1.0)):
            self.store.finish_unit(claim, units[0].split, artifact(), REPORT, DONE, is_there=lambda: True)
        else:
            self.store.end_task(claim)  # cancelled
            self._lose(claim)

    def _try_late(self, claim: Claim) -> None:
        before = self.store.jobs()
        with pytest.raises(ClaimLost):
            self.store.finish_unit(claim, "x", artifact("f" * 64), REPORT, DONE, is_there=lambda: True)
        assert self.store.jobs() == before

    def check(self, before: dict[str, Job]) -> None:
        """What holds after every event."""
        assert max(self.tokens.values(), default=1) == 1, "one token was given out twice"
        for job in self.store.jobs():
            if job.state.ended:
                assert all(u.state.ended for u in job.units)
                assert job.finished_at is not None
                assert not [c for c in self.held if c.job.id == job.id]
            if job.state is JobState.SUCCEEDED:
                assert all(u.artifact is not None for u in job.units)
            was = before.get(job.id)
            if was is None:
                continue
            assert not was.state.ended or job == was, "an ended job changed"
            for earlier, now in zip(was.units, job.units, strict=True):
                assert not earlier.state.ended or now == earlier, "an ended unit changed"


EVENTS = st.sampled_from(
    ["submit", "claim", "claim", "work", "work", "work", "fail", "die", "stop", "cancel", "late"]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.integers(0, 7)), max_size=40))
def test_no_order_of_events_breaks_a_job(events: list[tuple[str, int]]) -> None:
    """What has ended never changes, no task has two workers, and in the end every job ends."""
    database = Database(Path(":memory:"))
    walk = Walk(JobStore(database))
    for event, choice in events:
        before = {job.id: job for job in walk.store.jobs()}
        walk.step(event, choice)
        walk.check(before)
    for claim in walk.held:
        walk.store.reap(claim.worker)
    finish_all(walk.store)
    ended = walk.store.jobs()
    database.close()
    assert all(job.state.ended for job in ended)
    for job in ended:
        good = all(u.state is UnitState.SUCCEEDED for u in job.units)
        assert job.state is not JobState.SUCCEEDED or good
