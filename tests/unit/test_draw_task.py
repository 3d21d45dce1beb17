"""Drawing a set of splits, when a worker died over it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.errors import Conflict
from app.domain.jobs import JobState
from app.store.database import Database
from app.store.jobs import JobStore
from app.submission.splits import SplitsOrder, plan_splits
from tests.computing import worker_context
from tests.fakes import Home
from worker.tasks.draw import draw_splits

ORDER = SplitsOrder(
    name="lt",
    dataset="digits",
    profile="exponential",
    imbalance_factor=1.5,
    seed=1,
    test_shares=(2, 1, 1),
    expert_share=None,
    overwrite=False,
)


@pytest.fixture
def written(home: Home, database: Database, store: JobStore) -> str:
    """A job whose worker wrote the set, and died before it had recorded that. Its id."""
    home.write_npz("train", 90)
    home.write_npz("test", 60)
    job = store.submit(plan_splits(ORDER, home.catalog()))
    context = worker_context(home.settings, database)
    claim = store.claim("first", tasks=("draw",))
    assert claim is not None

    class Dying(JobStore):
        def finish_job(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_splits(claim, replace(context, jobs=Dying(database)))
    store.reap("first")
    return job.id


def _take_up(home: Home, database: Database, store: JobStore) -> None:
    claim = store.claim("second", tasks=("draw",))
    assert claim is not None
    draw_splits(claim, worker_context(home.settings, database))


def test_a_set_that_was_written_but_not_recorded_is_the_jobs_own(
    home: Home, database: Database, store: JobStore, written: str
) -> None:
    """Whoever takes the job up finds it there; that is no reason to fail."""
    _take_up(home, database, store)
    job = store.get(written)
    assert job.state is JobState.SUCCEEDED
    made_at = (home.data / "lt" / "splits.json").read_text()
    assert job.verification is not None
    assert job.verification["splits"]["made_at"] in made_at


def test_somebody_elses_set_is_not(home: Home, database: Database, store: JobStore, written: str) -> None:
    """Equal in all but the job that made it: it is neither overwritten nor taken for the job's own."""
    path = home.data / "lt" / "splits.json"
    path.write_text(path.read_text().replace(written, "another"))
    with pytest.raises(Conflict):
        _take_up(home, database, store)
    assert '"job":"another"' in path.read_text()
