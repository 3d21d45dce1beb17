"""Facts: asked once, answered once, and never held against a file that has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.catalog.bases import file_id
from app.domain.errors import JobError, RelogitError
from app.domain.jobs import MAX_DEATHS
from app.store.database import Database
from app.store.inspections import Inspection, InspectionKind, InspectionRequest, InspectionStore
from app.store.jobs import JobStore


@pytest.fixture
def inspections(database: Database) -> InspectionStore:
    return InspectionStore(database)


def question(name: str) -> InspectionRequest:
    return InspectionRequest("passport", {"file": (name, 1, 2), "expert": name})


def test_an_open_question_is_given_to_one_worker(inspections: InspectionStore) -> None:
    """The oldest first, each once; an answer is found under the question, in the order asked."""
    first, second = question("a"), question("b")
    inspections.ask([first])
    inspections.ask([second])
    assert [_next(inspections), _next(inspections), _next(inspections)] == [first.key, second.key, None]
    inspections.record(first, {"classes": 3})
    inspections.record(second, {"classes": 4})
    assert [fact.answer for fact in inspections.look_up([second, first])] == [{"classes": 4}, {"classes": 3}]


def test_a_dead_workers_question_is_open_again_until_the_fifth(
    database: Database, inspections: InspectionStore
) -> None:
    """A file that kills whoever looks at it is given up, so that the workers can go on."""
    inspections.ask([question("a")])
    for _ in range(MAX_DEATHS):
        assert _next(inspections) == question("a").key
        JobStore(database).reap("w")
    assert _next(inspections) is None
    [fact] = inspections.look_up([question("a")])
    assert fact.error is not None
    assert fact.error["code"] == "worker-died"


def test_a_forgotten_question_can_be_asked_again(inspections: InspectionStore) -> None:
    """What went wrong by chance is no fact about the file."""
    inspections.ask([question("a")])
    inspections.forget(question("a"))
    assert _next(inspections) is None
    inspections.ask([question("a")])
    assert _next(inspections) == question("a").key


def _next(inspections: InspectionStore) -> str | None:
    found = inspections.next_open("w")
    return found.key if found else None


def test_looking_up_asks_nobody(inspections: InspectionStore) -> None:
    """What was never asked is unknown, and stays unasked."""
    assert inspections.look_up([question("a")]) == [Inspection(question("a"))]
    assert not inspections.look_up([question("a")])[0].known
    assert inspections.next_open("w") is None
    inspections.ask([])
    assert inspections.next_open("w") is None


def test_an_error_is_kept_as_an_error(inspections: InspectionStore) -> None:
    """It is an answer too, with code, message and details."""
    error = JobError("checkpoint-invalid", "It does not fit.", missing=["fc.weight"])
    inspections.record(question("a"), error)
    [fact] = inspections.look_up([question("a")])
    assert fact.known
    assert (fact.answer, fact.error) == (None, error.to_dict())
    inspections.record(question("a"), {"classes": 3})
    [fact] = inspections.look_up([question("a")])
    assert (fact.answer, fact.error) == ({"classes": 3}, None)


def test_asking_again_keeps_the_answer(inspections: InspectionStore) -> None:
    """Neither is it lost, nor is a worker bothered a second time."""
    inspections.record(question("a"), {})
    inspections.ask([question("a"), question("a")])
    assert inspections.next_open("w") is None
    assert inspections.look_up([question("a")])[0].known


def test_a_question_survives_its_way_through_the_store(inspections: InspectionStore) -> None:
    """Tuples come back as lists; the key is the same, so the answer is found."""
    inspections.ask([question("a")])
    asked = inspections.next_open("w")
    assert asked is not None
    inspections.record(asked, {"classes": 3})
    assert inspections.look_up([question("a")])[0].known


def test_what_workers_died_over_may_be_asked_again_later(inspections: InspectionStore, database: Database) -> None:
    """That may have been bad luck; what is true of a file stays."""
    inspections.record(question("a"), RelogitError("worker-died", "5 workers died."))
    inspections.record(question("b"), RelogitError("checkpoint-empty", "It is empty."))
    inspections.ask([question("c")])
    assert [fact.known for fact in inspections.look_up([question("a"), question("b")])] == [True, True]
    with database.transaction() as db:
        db.execute("UPDATE facts SET asked_at = asked_at - 7200")
    inspections.ask([question("d")])
    assert [fact.known for fact in inspections.look_up([question("a"), question("b")])] == [False, True]


def test_what_is_known_of_a_file_goes_with_it(inspections: InspectionStore) -> None:
    """Intervals and curves of a deleted file would pile up; wherever it lay, its content was one question."""

    def about(kind: InspectionKind, sha256: str, path: str = "here") -> InspectionRequest:
        return InspectionRequest(kind, {"path": path, "sha256": sha256})

    gone: list[InspectionRequest] = [about("statistics", "a"), about("causes", "a")]
    stay: list[InspectionRequest] = [about("statistics", "b"), about("passport", "a")]
    for asked in (*gone, *stay):
        inspections.record(asked, {"n": 1})
    assert about("statistics", "b", "there").key == stay[0].key
    inspections.forget_files(["a", "c"])
    assert [fact.known for fact in inspections.look_up([*gone, *stay])] == [False, False, True, True]


def test_what_was_so_of_replaced_lists_is_forgotten(inspections: InspectionStore) -> None:
    """A set that is drawn again and again leaves no trail; other sets, lists and open questions stay."""

    def about(kind: InspectionKind, sha256: str, folder: str = "lt", split: str = "val") -> InspectionRequest:
        return InspectionRequest(
            kind, {"dataset": {"root": "."}, "splits_dir": folder, "split": split, "sha256": sha256}
        )

    old, others = about("split", "1"), [about("split", "1", "rt"), about("split", "1", split="test")]
    for asked in (old, *others, about("groups", "1")):
        inspections.record(asked, {"n": 1})
    waiting = about("split", "2")
    inspections.ask([waiting])
    inspections.record(about("split", "3"), {"n": 2})
    assert [fact.known for fact in inspections.look_up([old, *others, about("groups", "1")])] == [
        False,
        True,
        True,
        True,
    ]
    assert inspections.next_open("w") == waiting


def test_a_key_covers_everything_that_the_answer_depends_on(tmp_path: Path) -> None:
    """Kind, file, size, time and assumptions each make another question; the order of keys does not."""
    path = tmp_path / "best_ce.pth"
    path.write_bytes(b"one")
    before = InspectionRequest("passport", {"file": file_id(path), "max_pool": None})
    path.write_bytes(b"three")
    after = InspectionRequest("passport", {"file": file_id(path), "max_pool": None})
    keys = {
        before.key,
        after.key,
        InspectionRequest("split", {"file": file_id(path), "max_pool": None}).key,
        InspectionRequest("passport", {"file": file_id(path), "max_pool": True}).key,
    }
    assert len(keys) == 4
    assert after.key == InspectionRequest("passport", {"max_pool": None, "file": file_id(path)}).key


def test_facts_live_in_the_store_file(tmp_path: Path) -> None:
    """A restart forgets nothing."""
    for answered in (False, True):
        opened = Database(tmp_path / "jobs.sqlite3")
        inspections = InspectionStore(opened)
        assert inspections.look_up([question("a")])[0].known is answered
        inspections.record(question("a"), {"classes": 3})
        opened.close()
