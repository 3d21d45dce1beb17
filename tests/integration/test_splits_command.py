"""Sets of splits through the command line, on a real service."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.split_sets import build_for_splits, cli, create, read
from tests.integration.workspace import Service, Workspace, running


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return build_for_splits(tmp_path_factory.mktemp("splits"))


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service


def test_the_command_line_creates_and_lists(service: Service, workspace: Workspace) -> None:
    """`relogit splits create` shows what is there now; with --json it prints the description."""
    done = cli(service, "create", "typed", "--imbalance", "10", "--shares", "2:1:1")
    assert done.returncode == 0, done.stderr
    assert "--splits-dir typed" in done.stdout
    assert len(read(workspace, "typed", "test_indices.json")) == 100
    assert cli(service, "create", "typed").returncode == 2
    assert cli(service, "create", "other", "--shares", "8:1").returncode == 2
    listed = cli(service, "show", "typed")
    assert (listed.returncode, "tunev" in listed.stdout) == (0, True)
    done = cli(service, "create", "typed", "--overwrite", "--json")
    assert json.loads(done.stdout) == read(workspace, "typed", "splits.json")


def test_the_command_line_audits(service: Service, workspace: Workspace) -> None:
    """`relogit splits check` exits with 0 or 1 by the verdict, and with 2 where there is nothing to check."""
    create(service, "seen", imbalance_factor=10)
    assert cli(service, "check", "seen").returncode == 0
    (workspace.root / "data" / "seen" / "val_indices.json").write_text("{}")
    done = cli(service, "check", "seen")
    assert (done.returncode, "list / val: schema" in done.stdout) == (1, True)
    assert cli(service, "check", "tiny").returncode == 2


def test_the_command_line_shows_and_compares(service: Service, workspace: Workspace) -> None:
    """`show` counts samples by class group; `diff` says what changed and what a job would compute."""
    create(service, "one", imbalance_factor=10, seed=1)
    create(service, "two", imbalance_factor=10, seed=2)
    assert "many medium few" in " ".join(cli(service, "show", "one").stdout.split())
    found = json.loads(cli(service, "diff", "one", "two", "--json").stdout)
    old, new = (set(read(workspace, name, "val_indices.json")) for name in ("one", "two"))
    was_elsewhere = new - old  # the parts cover the whole base, so nothing there is added
    assert (found["added"]["val"], found["same"]["val"]) == (0, len(old & new))
    assert sum(move["samples"] for move in found["moved"] if move["to"] == "val") == len(was_elsewhere)
    assert found["cost"]["total"] == 2 * sum(len(read(workspace, "two", f"{name}_indices.json"))
                                             for name in ("train", "test", "val", "tunev"))  # fmt: skip
    assert "hold the same samples" in cli(service, "diff", "one", "one").stdout
    answer = service.get("/splits/one/val?dataset=tiny").json()
    assert (answer["base"], answer["indices"]) == ("test", read(workspace, "one", "val_indices.json"))
    assert cli(service, "show", "nowhere").returncode == 2
