"""What --overwrite may replace, asked of the real API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.workspace import DATASETS, Workspace, build, serving

LISTS = [{"name": "val", "base": "test", "indices": [1, 2]}]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With a second data set, `beside`, whose images and lists lie in one folder."""
    workspace = build(tmp_path_factory.mktemp("overwrite"))
    data = workspace.root / "data"
    beside = DATASETS.replace("[tiny", "[beside").replace('"tiny"', '"beside"').replace("tiny_splits", "beside")
    (data / "datasets.toml").write_text(DATASETS + beside)
    (data / "beside").mkdir()
    for name in ("test.npz", "train.npz"):
        (data / "beside" / name).write_bytes((data / "tiny" / name).read_bytes())
    (data / "beside" / "val_indices.json").write_text("[0]")
    return workspace


@pytest.fixture(scope="module")
def api(workspace: Workspace) -> Iterator[httpx.Client]:
    with serving(workspace.settings) as client:
        yield client


def _asked(api: httpx.Client, name: str, dataset: str = "tiny") -> list[tuple[int, Any]]:
    """Status and code of the answers to a creation and to an import of that name, both with overwrite."""
    asked = {"name": name, "dataset": dataset, "overwrite": True}
    answers = [api.post("/splits", json=asked), api.post("/splits/import", json=asked | {"lists": LISTS})]
    return [(answer.status_code, answer.json().get("code")) for answer in answers]


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_images_beside_their_lists_are_not_overwritten(api: httpx.Client, workspace: Workspace) -> None:
    """They would be gone for good. Refused with the request, whichever of the two ways it comes."""
    folder = workspace.root / "data" / "beside"
    before = _content(folder)
    assert _asked(api, "beside", "beside") == [(422, "not-splits")] * 2
    assert _asked(api, "beside") == [(422, "not-splits")] * 2
    assert _content(folder) == before


def test_sets_below_a_set_are_not_overwritten(api: httpx.Client, workspace: Workspace) -> None:
    """Nor is anything else that is not a file of the set's own."""
    folder = workspace.root / "data" / "nest"
    (folder / "inner").mkdir(parents=True)
    for path in (folder, folder / "inner"):
        (path / "val_indices.json").write_text("[0]")
    assert _asked(api, "nest") == [(422, "not-splits")] * 2
    assert json.loads((folder / "inner" / "val_indices.json").read_text()) == [0]


def test_a_link_to_a_set_is_not_overwritten(api: httpx.Client, workspace: Workspace) -> None:
    """It would become a folder, and what it leads to would stay; nothing hidden is left behind."""
    data = workspace.root / "data"
    (data / "link").symlink_to("tiny_splits")
    before = _content(data / "tiny_splits")
    assert _asked(api, "link") == [(422, "not-splits")] * 2
    assert (data / "link").is_symlink()
    assert _content(data / "tiny_splits") == before
    assert not list(data.glob(".*"))


def test_an_empty_folder_may_be_taken(api: httpx.Client, workspace: Workspace) -> None:
    """A worker that died long ago may have left one; nothing is lost with it, so nobody has to be asked."""
    folder = workspace.root / "data" / "empty"
    folder.mkdir()
    answer = api.post("/splits/import", json={"name": "empty", "dataset": "tiny", "lists": LISTS})
    assert (answer.status_code, json.loads((folder / "val_indices.json").read_text())) == (201, [1, 2])
