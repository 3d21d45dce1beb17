"""Inspections: requested once, answered once, and never held against a file that has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.catalog.datasets import Dataset, Network
from app.domain.errors import JobError, RelogitError
from app.domain.jobs import MAX_DEATHS
from app.store.database import Database
from app.store.inspection_requests.analysis import CausesRequest, EnsembleRequest, StatisticsRequest, TargetsFile
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import AuditRequest, GroupsRequest, PoolRequest, SplitCountsRequest
from app.store.inspections import INSPECTION_REQUESTS, Inspection, InspectionStore
from app.store.jobs import JobStore
from tests.fakes import Home

DATASET = Dataset.model_validate(
    {
        "kind": "npz",
        "root": "digits",
        "splits": "lt",
        "experts": "experts",
        "mean": [0.5, 0.25, 0.125],
        "std": [0.25, 0.5, 0.1],
        "network": {"max_pool": True},
        "overrides": {"best_ce": {"stage_strides": [1, 2, 2]}},
    }
)
IMAGES_ONLY = DATASET.model_copy(update={"overrides": {}, "network": Network()})
"""The same without what it declares of experts."""
FILES = (("/data/test.npz", 1, 2, 3, 4), ("images.npy", 5, 6, 7, 0))


@pytest.fixture
def inspections(database: Database) -> InspectionStore:
    return InspectionStore(database)


def passport(name: str, **assumptions: Any) -> PassportRequest:
    return PassportRequest((name, 1, 2, 3, 4), assumptions, "code")


def statistics(sha256: str, path: str = "here.npz") -> StatisticsRequest:
    return StatisticsRequest(
        path, sha256, DATASET, "lt", "val", "of val", FILES, "code", 20, ("counts", None, "train"), None
    )


def causes(sha256: str, targets: TargetsFile | None = None) -> CausesRequest:
    return CausesRequest(
        "here.npz", sha256, DATASET, "lt", "val", "of val", FILES, "code",
        {"test": FILES, "train": None}, {"val": "of val", "odd": None}, targets,
    )  # fmt: skip


def ensemble(*sha256s: str, folder: str = "here", code: str = "code") -> EnsembleRequest:
    experts = tuple(f"e{number}" for number in range(len(sha256s)))
    paths = tuple(f"{folder}/{name}.npz" for name in experts)
    return EnsembleRequest(
        experts, paths, sha256s, DATASET, "lt", "val", "of val", FILES, code, 20, ("counts", None, "train"), None
    )


def counts(sha256: str, folder: str = "lt", split: str = "val") -> SplitCountsRequest:
    return SplitCountsRequest(DATASET, FILES, folder, split, sha256)


def groups(code: str = "code", threshold: int = 20) -> GroupsRequest:
    return GroupsRequest(DATASET, "lt", threshold, (None, None, "train"), FILES, code)


def audit(code: str = "code", *, pictures: bool = True) -> AuditRequest:
    return AuditRequest(
        DATASET, ["digits"], "lt", {"val": "of val", "odd": None}, [None], {"test": FILES}, pictures, code
    )


def normalisation() -> NormalisationRequest:
    transform = DATASET.transform("best_ce")
    return NormalisationRequest(
        FILES[0], {"max_pool": None}, IMAGES_ONLY, transform, {"o": transform}, "test", FILES, ("a", "b")
    )


EVERY = (
    passport("a"),
    normalisation(),
    PoolRequest(IMAGES_ONLY, "test", FILES),
    counts("1"),
    statistics("a"),
    causes("a"),
    causes("a", TargetsFile("targets.pt", "t")),
    ensemble("a", "b"),
    audit(),
    groups(),
)


def _claimed(inspections: InspectionStore) -> str | None:
    request = inspections.claim("w")
    return request.key if request else None


def test_an_open_request_is_given_to_one_worker(inspections: InspectionStore) -> None:
    """The oldest first, each once; answers are returned in the order of the requests."""
    first, second = passport("a"), passport("b")
    inspections.submit([first])
    inspections.submit([second])
    assert [_claimed(inspections), _claimed(inspections), _claimed(inspections)] == [first.key, second.key, None]
    inspections.record(first, {"classes": 3})
    inspections.record(second, {"classes": 4})
    looked_up = inspections.look_up([second, first])
    assert [inspection.answer for inspection in looked_up] == [{"classes": 4}, {"classes": 3}]


def test_a_dead_workers_request_is_open_again_until_the_fifth(
    database: Database, inspections: InspectionStore
) -> None:
    """A file that kills every worker that reads it is given up, so that the workers can go on."""
    inspections.submit([passport("a")])
    for _ in range(MAX_DEATHS):
        assert _claimed(inspections) == passport("a").key
        JobStore(database).reap("w")
    assert _claimed(inspections) is None
    [inspection] = inspections.look_up([passport("a")])
    assert inspection.error is not None
    assert inspection.error["code"] == "worker-died"


def test_a_forgotten_request_can_be_submitted_again(inspections: InspectionStore) -> None:
    """An answer that would not last is not recorded, and no trace of the request stays."""
    inspections.submit([passport("a")])
    assert _claimed(inspections) == passport("a").key
    inspections.forget(passport("a"))
    assert _claimed(inspections) is None
    inspections.submit([passport("a")])
    assert _claimed(inspections) == passport("a").key


def test_looking_up_requests_nothing(inspections: InspectionStore) -> None:
    """What was never requested is unknown, and stays unrequested."""
    assert inspections.look_up([passport("a")]) == [Inspection(passport("a"))]
    assert not inspections.look_up([passport("a")])[0].known
    assert inspections.claim("w") is None
    inspections.submit([])
    assert inspections.claim("w") is None


def test_an_error_is_kept_as_an_error(inspections: InspectionStore) -> None:
    """It is an answer too, with code, message and details."""
    error = JobError("checkpoint-invalid", "It does not fit.", missing=["fc.weight"])
    inspections.record(passport("a"), error)
    [inspection] = inspections.look_up([passport("a")])
    assert inspection.known
    assert (inspection.answer, inspection.error) == (None, error.to_dict())


def test_submitting_again_keeps_the_answer(inspections: InspectionStore) -> None:
    """Neither is it lost, nor does a worker repeat it."""
    inspections.record(passport("a"), {})
    inspections.submit([passport("a"), passport("a")])
    assert inspections.claim("w") is None
    assert inspections.look_up([passport("a")])[0].known


@pytest.mark.parametrize("request_", EVERY, ids=lambda request: request.kind)
def test_a_request_survives_its_way_through_the_store(
    inspections: InspectionStore, request_: InspectionRequest
) -> None:
    """A worker reads it back as it was, types and all; its answer stands under the same key."""
    inspections.submit([request_])
    claimed = inspections.claim("w")
    assert claimed == request_
    assert claimed is not None
    inspections.record(claimed, {"n": 3})
    assert inspections.look_up([request_])[0].answer == {"n": 3}


def test_every_kind_is_in_the_table() -> None:
    """A kind that is not could be submitted, but never be claimed."""
    assert {request.kind for request in EVERY} == INSPECTION_REQUESTS.keys()
    assert all(INSPECTION_REQUESTS[request.kind] is type(request) for request in EVERY)


def test_a_request_of_another_version_is_deleted(inspections: InspectionStore, database: Database) -> None:
    """One of unknown kind, of other fields, or of fields that lead to another key: none blocks the next."""
    stored = {"lost": ("rate", "{}"), "short": ("pool", "{}"), "other": ("pool", None)}
    inspections.submit([PoolRequest(DATASET, "test", FILES)])
    request = database.connection.execute("SELECT request FROM inspections").fetchone()[0]
    with database.transaction() as db:
        db.execute("DELETE FROM inspections")
        for key, (kind, text) in stored.items():
            db.execute(
                "INSERT INTO inspections (key, kind, request, asked_at) VALUES (?, ?, ?, 9e9)",
                (key, kind, text or request),
            )
    inspections.submit([passport("a")])
    with database.transaction() as db:
        db.execute("UPDATE inspections SET asked_at = 9.9e9 WHERE kind = 'passport'")
    assert _claimed(inspections) == passport("a").key
    assert [row["kind"] for row in database.connection.execute("SELECT kind FROM inspections")] == ["passport"]


def test_what_workers_died_over_may_be_submitted_again_later(
    inspections: InspectionStore, database: Database
) -> None:
    """That may have been bad luck; what is true of a file stays."""
    inspections.record(passport("a"), RelogitError("worker-died", "5 workers died."))
    inspections.record(passport("b"), RelogitError("checkpoint-empty", "It is empty."))
    inspections.submit([passport("c")])
    assert [fact.known for fact in inspections.look_up([passport("a"), passport("b")])] == [True, True]
    with database.transaction() as db:
        db.execute("UPDATE inspections SET asked_at = asked_at - 7200")
    inspections.submit([passport("d")])
    assert [fact.known for fact in inspections.look_up([passport("a"), passport("b")])] == [False, True]


def test_the_analyses_of_a_file_go_with_it(inspections: InspectionStore) -> None:
    """They would pile up otherwise; wherever the file lay, its content was one request."""
    deleted: list[InspectionRequest] = [statistics("a"), causes("a"), ensemble("b", "a")]
    kept: list[InspectionRequest] = [statistics("b"), passport("a"), ensemble("b", "d")]
    for request in (*deleted, *kept):
        inspections.record(request, {"n": 1})
    assert statistics("b", "there.npz").key == kept[0].key
    assert ensemble("b", "d", folder="there").key == kept[2].key
    inspections.forget_files(["a", "c"])
    assert [fact.known for fact in inspections.look_up(deleted)] == [False] * 3
    assert [fact.known for fact in inspections.look_up(kept)] == [True] * 3


def test_an_analysis_by_other_code_or_of_other_files_is_not_read() -> None:
    """An answer of an older shape stands under another key, and so does one of the experts in another order."""
    requests = [ensemble("a", "b"), ensemble("b", "a"), ensemble("a", "b", "c"), ensemble("a", "b", code="older")]
    assert len({request.key for request in requests}) == 4
    older = StatisticsRequest.from_dict({**statistics("a").to_dict(), "code": "older"})
    assert older.key != statistics("a").key


@pytest.mark.parametrize(
    ("old", "new", "others"),
    [
        (counts("1"), counts("3"), [counts("1", "rt"), counts("1", split="test"), groups()]),
        (groups("old"), groups("new"), [groups("old", threshold=5), counts("1")]),
        (audit("old"), audit("new"), [audit("old", pictures=False), groups()]),
    ],
    ids=["split", "groups", "audit"],
)
def test_inspections_of_replaced_lists_are_deleted(
    inspections: InspectionStore, old: InspectionRequest, new: InspectionRequest, others: list[InspectionRequest]
) -> None:
    """A set that is rewritten again and again leaves no trail; those of other sets and kinds stay."""
    for request in (old, *others):
        inspections.record(request, {"n": 1})
    inspections.record(new, {"n": 2})
    assert [fact.known for fact in inspections.look_up([old, new, *others])] == [False, *[True] * (len(others) + 1)]


def test_an_open_request_about_replaced_lists_stays(inspections: InspectionStore) -> None:
    """Somebody waits for it, and its answer will be its own."""
    inspections.submit([counts("2")])
    inspections.record(counts("3"), {"n": 2})
    assert inspections.claim("w") == counts("2")


def test_a_key_covers_everything_that_the_answer_depends_on(home: Home) -> None:
    """Kind, file, size, time and assumptions each make another key; equal requests share one."""
    path, dataset = home.experts / "best_ce.pth", home.catalog().dataset("digits")
    before = PassportRequest.of(path, dataset)
    path.write_bytes(b"other weights")
    after = PassportRequest.of(path, dataset)
    keys = {before.key, after.key, PassportRequest.of(path, dataset, "ema").key, passport("a").key}
    keys |= {passport("a", max_pool=True).key, *(request.key for request in EVERY[1:])}
    assert len(keys) == 5 + len(EVERY) - 1
    assert after.key == PassportRequest.of(path, dataset).key


def test_pixels_do_not_depend_on_experts() -> None:
    """A declaration that changes for experts only leaves the pixels known."""
    other = DATASET.model_copy(
        update={"overrides": {}, "network": DATASET.network.model_copy(update={"max_pool": None})}
    )
    assert PoolRequest(other, "test", FILES).key == PoolRequest(DATASET, "test", FILES).key
    assert counts("1").key != SplitCountsRequest(IMAGES_ONLY, FILES, "lt", "val", "1").key


def test_inspections_live_in_the_store_file(tmp_path: Path) -> None:
    """A restart forgets nothing."""
    for known in (False, True):
        database = Database(tmp_path / "jobs.sqlite3")
        inspections = InspectionStore(database)
        assert inspections.look_up([passport("a")])[0].known is known
        inspections.record(passport("a"), {"classes": 3})
        database.close()
