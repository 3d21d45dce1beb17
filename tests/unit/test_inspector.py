"""Answers about files: lasting ones are kept, passing ones are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.catalog.bases import file_id
from app.store.database import Database
from app.store.inspection_requests import pool_question
from app.store.inspections import Inspection, InspectionRequest, InspectionStore
from tests.fakes import Home
from worker.datasets.pools import Pools
from worker.experts.architectures import CifarResNetSpec
from worker.inspections.inspector import Inspector
from worker.inspections.normalisation import NormalisationInspector


@pytest.fixture
def inspections(database: Database) -> InspectionStore:
    return InspectionStore(database)


@pytest.fixture
def inspector(database: Database, inspections: InspectionStore, home: Home) -> Inspector:
    catalog = home.catalog()
    return Inspector(
        "w",
        database,
        inspections,
        catalog,
        Pools(catalog.bases),
        NormalisationInspector(catalog.settings.patches_dir),
    )


def _question(path: Path) -> InspectionRequest:
    nothing = {"option_a_padding": None, "max_pool": None, "stem_stride": None}
    return InspectionRequest("passport", {"file": list(file_id(path)), "expert": "ce", "assumptions": nothing})


def _answered(inspector: Inspector, inspections: InspectionStore, question: InspectionRequest) -> Inspection:
    inspections.ask([question])
    inspector._answer(question)
    [fact] = inspections.look_up([question])
    return fact


def test_a_passport_is_kept(inspector: Inspector, inspections: InspectionStore, tmp_path: Path) -> None:
    """What the network is stays true for as long as the file stays."""
    path = tmp_path / "e.pth"
    torch.save(CifarResNetSpec((1, 1, 1), (4, 8, 8), 3).build().state_dict(), path)
    fact = _answered(inspector, inspections, _question(path))
    assert fact.answer is not None
    assert fact.answer["architecture"] == "cifar_resnet8"


def test_a_bad_file_is_kept_as_bad(inspector: Inspector, inspections: InspectionStore, tmp_path: Path) -> None:
    """So that a request that names it is refused at once."""
    path = tmp_path / "e.pth"
    path.write_bytes(b"no checkpoint")
    fact = _answered(inspector, inspections, _question(path))
    assert fact.error is not None
    assert fact.error["code"] == "checkpoint-unreadable"


def test_what_a_base_shows_is_kept(inspector: Inspector, inspections: InspectionStore, home: Home) -> None:
    """Digest and shape of the pixels, by which a plan finds kept rows; equal pixels have it whatever their labels."""
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    fact = _answered(inspector, inspections, pool_question(dataset, "test", catalog.bases.identity(dataset, "test")))
    pool = Pools(catalog.bases).get(dataset, "test")
    assert fact.answer == {
        "pixels_sha256": pool.pixels_sha256,
        "images": list(pool.images.shape),
        "classes": pool.classes,
    }
    assert pool.pixels_sha256 != pool.sha256


def test_a_base_that_changes_meanwhile_is_not_kept(
    inspector: Inspector, inspections: InspectionStore, home: Home
) -> None:
    """The answer would stand under a question about other files."""
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    question = pool_question(dataset, "test", catalog.bases.identity(dataset, "test"))
    home.write_npz("test", 7)
    fact = _answered(inspector, inspections, question)
    assert not fact.known


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"another, broken one")])
def test_a_file_that_changed_meanwhile_gets_no_lasting_answer(
    inspector: Inspector, inspections: InspectionStore, tmp_path: Path, change: object
) -> None:
    """Neither its absence nor its new content is a fact about the file that was asked about."""
    path = tmp_path / "e.pth"
    path.write_bytes(b"no checkpoint")
    question = _question(path)
    change(path)  # type: ignore[operator]
    assert not _answered(inspector, inspections, question).known
    assert inspections.next_open("other") is None


def test_a_lack_of_memory_is_no_fact_about_the_file(
    inspector: Inspector, inspections: InspectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good checkpoint must not be refused for ever because of one bad moment."""

    def full(*args: object, **more: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    path = tmp_path / "e.pth"
    torch.save(CifarResNetSpec((1, 1, 1), (4, 8, 8), 3).build().state_dict(), path)
    monkeypatch.setattr(torch, "load", full)
    assert not _answered(inspector, inspections, _question(path)).known
