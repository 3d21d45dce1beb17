"""A running service over the installation that a test file lays out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.workspace import Service, Workspace, running


@pytest.fixture(scope="module")
def service(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # Statistics of CIFAR-100's images take 9 s, and rows of an expert as long; all test files, in whichever process,
    # share them.
    for own in (workspace.settings.patches_dir, workspace.settings.rows_dir):
        shared = tmp_path_factory.getbasetemp().parent / own.name
        shared.mkdir(exist_ok=True)
        own.parent.mkdir(parents=True, exist_ok=True)
        own.symlink_to(shared)
    with running(workspace) as service:
        service.wait_ready()
        yield service
