"""A running service over the installation that a test file lays out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.workspace import Service, Workspace, running


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service
