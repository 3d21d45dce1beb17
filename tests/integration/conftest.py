"""One installation and one running service for all integration tests that do not break things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.workspace import Service, Workspace, build, running


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return build(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="session")
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service
