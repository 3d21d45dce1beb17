"""Answers about files: lasting ones are kept, passing ones are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.catalog.bases import file_id
from app.store.database import Database
from app.store.inspection_requests.experts import PassportRequest
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import PoolRequest
from app.store.inspections import INSPECTION_REQUESTS, Inspection, InspectionStore
from tests.fakes import Home
from worker.datasets.pools import Pools
from worker.experts.architectures import CifarResNetSpec
from worker.inspections.handlers import all_handlers
from worker.inspections.inspector import Inspector
from worker.inspections.normalisation import NormalisationInspector


@pytest.fixture
def inspections(database: Database) -> InspectionStore:
    return InspectionStore(database)


@pytest.fixture
def inspector(database: Database, inspections: InspectionStore, home: Home) -> Inspector:
    catalog = home.catalog()
    normalisation = NormalisationInspector(catalog.settings.patches_dir)
    return Inspector("w", database, inspections, all_handlers(catalog, Pools(catalog.bases), normalisation))


def _request(path: Path) -> PassportRequest:
    undeclared = {"option_a_padding": None, "max_pool": None, "stem_stride": None}
    return PassportRequest(file_id(path), undeclared, "code")


def _answered(inspector: Inspector, inspections: InspectionStore, request: InspectionRequest) -> Inspection:
    inspections.submit([request])
    inspector.answer(request)
    [inspection] = inspections.look_up([request])
    return inspection


def test_each_kind_has_a_handler(home: Home) -> None:
    """A request without one would stay open for ever."""
    catalog = home.catalog()
    normalisation = NormalisationInspector(catalog.settings.patches_dir)
    assert all_handlers(catalog, Pools(catalog.bases), normalisation).keys() == set(INSPECTION_REQUESTS.values())


def test_a_passport_is_kept(inspector: Inspector, inspections: InspectionStore, tmp_path: Path) -> None:
    """What the network is stays true for as long as the file stays."""
    path = tmp_path / "e.pth"
    torch.save(CifarResNetSpec((1, 1, 1), (4, 8, 8), 3).build().state_dict(), path)
    inspection = _answered(inspector, inspections, _request(path))
    assert inspection.answer is not None
    assert inspection.answer["architecture"] == "cifar_resnet8"


def test_a_bad_file_is_kept_as_bad(inspector: Inspector, inspections: InspectionStore, tmp_path: Path) -> None:
    """So that a request that names it is refused at once."""
    path = tmp_path / "e.pth"
    path.write_bytes(b"no checkpoint")
    inspection = _answered(inspector, inspections, _request(path))
    assert inspection.error is not None
    assert inspection.error["code"] == "checkpoint-unreadable"


def test_what_a_base_shows_is_kept(inspector: Inspector, inspections: InspectionStore, home: Home) -> None:
    """Digest and shape of the pixels, by which a plan finds kept rows; equal pixels have it whatever their labels."""
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    inspection = _answered(inspector, inspections, PoolRequest.of(dataset, "test", catalog))
    pool = Pools(catalog.bases).get(dataset, "test")
    assert inspection.answer == {
        "pixels_sha256": pool.pixels_sha256,
        "images": list(pool.images.shape),
        "classes": pool.classes,
    }
    assert pool.pixels_sha256 != pool.sha256


def test_a_base_that_changes_meanwhile_is_not_kept(
    inspector: Inspector, inspections: InspectionStore, home: Home
) -> None:
    """The answer would be recorded under a request about other files."""
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    request = PoolRequest.of(dataset, "test", catalog)
    home.write_npz("test", 7)
    inspection = _answered(inspector, inspections, request)
    assert not inspection.known


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"another, broken one")])
def test_a_file_that_changed_meanwhile_gets_no_lasting_answer(
    inspector: Inspector, inspections: InspectionStore, tmp_path: Path, change: object
) -> None:
    """Neither its absence nor its new content is a fact about the file that was asked about."""
    path = tmp_path / "e.pth"
    path.write_bytes(b"no checkpoint")
    request = _request(path)
    change(path)  # type: ignore[operator]
    assert not _answered(inspector, inspections, request).known
    assert inspections.claim("other") is None


def test_a_lack_of_memory_is_no_fact_about_the_file(
    inspector: Inspector, inspections: InspectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good checkpoint must not be refused for ever because of one bad moment."""

    def full(*args: object, **more: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    path = tmp_path / "e.pth"
    torch.save(CifarResNetSpec((1, 1, 1), (4, 8, 8), 3).build().state_dict(), path)
    monkeypatch.setattr(torch, "load", full)
    assert not _answered(inspector, inspections, _request(path)).known
