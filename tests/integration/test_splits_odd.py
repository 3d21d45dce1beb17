"""Names and lists that nobody should have, at the real service: refused, or shown for what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

import relogit
from tests.integration.workspace import DATASETS, Workspace, serving
from tests.unit.command_line import Ran, Relogit


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("odd"))
    workspace.save_images("test", 40)
    workspace.save_images("train", 40)
    (workspace.root / "data" / "datasets.toml").write_text(DATASETS)
    workspace.save_split("val", [3, 1])
    return workspace


@pytest.fixture(scope="module")
def server(workspace: Workspace) -> Iterator[httpx.Client]:
    with serving(workspace.settings) as client:
        yield client


def lists(*given: tuple[str, str, list[int]]) -> list[dict[str, Any]]:
    return [{"name": name, "base": base, "indices": indices} for name, base, indices in given]


def take_over(server: httpx.Client, name: str, *given: tuple[str, str, list[int]]) -> httpx.Response:
    body = {"name": name, "dataset": "tiny", "lists": lists(*given)}
    return server.post("/splits/import", json=body)


def in_folder(workspace: Workspace, name: str, **given: list[int]) -> Path:
    folder = workspace.root / "data" / name
    folder.mkdir(parents=True)
    for split, indices in given.items():
        (folder / f"{split}_indices.json").write_text(json.dumps(indices))
    return folder


@pytest.mark.parametrize("name", ["x" * 300, "../tiny_splits", "..", "a\tb", ".hidden", "x" * 1200 + "/y", "a\0b"])
def test_a_set_or_list_is_asked_for_by_a_plain_name(server: httpx.Client, name: str) -> None:
    """Any other is the caller's error at every route, before it becomes a path."""
    there = quote(name, safe="").replace(".", "%2e")  # else the client takes .. for a step upwards
    for path in (there, f"{there}/val", f"tiny_splits/{there}", f"{there}/audit"):
        answer = server.get(f"/splits/{path}", params={"dataset": "tiny"})
        code = answer.json()["code"]
        assert (answer.status_code, code) == (422, "invalid-name"), (path, answer.text)


def test_a_list_comes_before_a_set_of_its_name(server: httpx.Client, workspace: Workspace) -> None:
    """A set in a folder of that name is what is meant only where there is no such list."""
    in_folder(workspace, "outer", val=[1])
    in_folder(workspace, "outer/val", test=[2])
    in_folder(workspace, "outer/inner", test=[3])
    assert server.get("/splits/outer/val", params={"dataset": "tiny"}).json()["indices"] == [1]
    inner = server.get("/splits/outer/inner", params={"dataset": "tiny"}).json()
    assert [one["name"] for one in inner["splits"]] == ["test"]
    missing = server.get("/splits/outer/none", params={"dataset": "tiny"})
    assert (missing.status_code, missing.json()["code"]) == (422, "unknown-split")


def test_no_list_is_imported_as_what_its_route_cannot_show(server: httpx.Client, workspace: Workspace) -> None:
    """`audit` is refused with what would be right, and nothing is written; every other plain name can be fetched."""
    refused = take_over(server, "reserved", ("audit", "test", [1]))
    assert (refused.status_code, refused.json()["code"]) == (422, "reserved-name")
    assert "'audit_list'" in refused.json()["detail"]
    assert not (workspace.root / "data" / "reserved").exists()
    names = ["AUDIT", "import", "a b", "x(1)", "T=1,x@2+3", "Größe", "x" * 120]
    assert take_over(server, "plain", *((name, "test", [7, 5]) for name in names)).status_code == 201
    with relogit.Client(str(server.base_url)) as client:
        for name in names:
            assert client.split("plain", name, dataset="tiny")["indices"] == [7, 5]


def test_repeats_and_shared_samples_are_doubtful(server: httpx.Client) -> None:
    """With counts, for lists over one base; the same indices of another base are other samples."""
    made = take_over(server, "doubtful", ("val", "test", [0, 1, 1, 2, 2, 2]), ("test", "test", [2, 3, 1, 9]),
                     ("tunev", "test", [20]), ("part", "test", [3]), ("train", "train", [0, 1, 20]))  # fmt: skip
    assert made.status_code == 201
    found = [said for said in made.json()["doubtful"] if not said.startswith("There is no")]
    assert found == [
        "'val' repeats indices: its 6 rows are 3 samples.",
        "'val' and 'test' share 2 samples of 'test'.",
        "'test' and 'part' share 1 sample of 'test', all of 'part'.",
    ]


def test_a_list_called_audit_on_disk_is_shown_and_named(
    server: httpx.Client, workspace: Workspace, relogit_at: Relogit
) -> None:
    """`show` has it like any other; `diff` says that it cannot be compared, and compares the rest."""
    in_folder(workspace, "by_hand", audit=[1], val=[2, 3], **{"a\nb": [1]})
    in_folder(workspace, "sound", val=[3, 2])
    shown = relogit_at("splits", "show", "by_hand")
    assert [line.split()[:2] for line in shown.out.splitlines()[2:5]] == [
        ["a\\nb", "test"], ["audit", "test"], ["val", "test"]
    ]  # fmt: skip
    assert shown.code == 1  # for the other name, which no job could ask for
    ran = relogit_at("splits", "diff", "sound", "by_hand")
    assert ran.code == 1
    assert "by_hand/audit cannot be compared" in ran.out
    assert "by_hand/a\\nb cannot be compared" in ran.out
    assert "val holds the same samples in another order." in ran.out


@pytest.fixture
def relogit_at(server: httpx.Client, capsys: pytest.CaptureFixture[str]) -> Relogit:
    """The `relogit` command, in this process, at the real server."""
    from relogit.cli.main import app
    from relogit.cli.session import execute

    def run(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            execute(app, [*arguments, "--dataset", "tiny", "--server", str(server.base_url)], None)
        captured = capsys.readouterr()
        return Ran(int(ended.value.code or 0), captured.out, captured.err)

    return run
