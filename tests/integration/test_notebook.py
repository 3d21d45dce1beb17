"""The notebook in docs/, run on the demo's data set by a real service."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.integration.workspace import REPOSITORY, Workspace, running

NOTEBOOK = REPOSITORY / "docs" / "risk_coverage.ipynb"
LIMIT_S = 60

pytestmark = pytest.mark.slow


def test_the_notebook_draws_relogits_areas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells run from the first to the last; the areas under its curves are relogit's AURC."""
    data, checkpoints = (str(REPOSITORY / name) for name in ("data", "checkpoints"))
    notebook = nbformat.reads(NOTEBOOK.read_text(), as_version=4)  # type: ignore[no-untyped-call]
    with running(Workspace(tmp_path), RELOGIT_DATA_DIR=data, RELOGIT_CHECKPOINTS_DIR=checkpoints) as service:
        service.wait_ready()
        monkeypatch.setenv("RELOGIT_SERVER", service.url)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY / "clients"), str(REPOSITORY)]))
        NotebookClient(notebook, timeout=LIMIT_S, kernel_name="python3").execute()
        [job] = service.get("/jobs").json()["jobs"]
        results = service.get(f"/jobs/{job['id']}/verification").json()["results"]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    printed = {line.split()[0]: line.split()[1:] for line in outputs[-1]["text"].splitlines()}
    assert printed == {result["expert"]: [f"{result['metrics']['aurc']:.9f}"] * 2 for result in results}
    assert len(printed) == 3
