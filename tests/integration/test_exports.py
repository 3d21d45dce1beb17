"""Exports and downloads with samples, from the real service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import relogit
from relogit.export import export_job
from tests.integration.workspace import Service, Workspace


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[relogit.Client]:
    with relogit.Client(service.url) as client:
        yield client


@pytest.fixture(scope="module")
def job(client: relogit.Client) -> relogit.Job:
    job = client.submit(dataset="tiny", splits=["test", "val"], output_dir="exported").wait(60)
    assert job.state == "succeeded", job.data
    return job


def test_rows_are_those_of_the_lists(job: relogit.Job, workspace: Workspace, tmp_path: Path) -> None:
    """The samples are those of the index file, and the labels those of the base at these samples."""
    export_job(job, "parquet", tmp_path / "out")
    _, labels = workspace.images("test")
    for split in ("test", "val"):
        table = pq.read_table(tmp_path / "out" / f"{split}.parquet")
        indices = json.loads((workspace.splits / f"{split}_indices.json").read_text())
        assert table["sample_index"].to_pylist() == indices
        assert table["label"].to_pylist() == labels[indices].tolist()
        logits = table["logits/alpha"].combine_chunks().flatten().to_numpy().reshape(len(indices), -1)
        with np.load(workspace.root / "outputs" / "exported" / "alpha" / f"{split}_logits.npz") as published:
            assert logits.tobytes() == published["logits"].tobytes()


def test_files_with_samples_are_verified(job: relogit.Job, client: relogit.Client, tmp_path: Path) -> None:
    """relogit verify accepts them with their manifests, and compares the samples with the list."""
    saved = job.download(tmp_path, with_index=True)
    verification = client.verify(tmp_path / "exported", dataset="tiny").wait(60)
    assert verification.verdict == "passed"
    checks = [check for result in verification.results for check in result["checks"]]
    assert [check["verdict"] for check in checks if check["id"] == "samples"] == ["passed"] * len(saved)
    assert {check["verdict"] for check in checks if check["id"] == "manifest-file"} == {"passed"}
    with np.load(saved[0].path) as arrays:
        moved = dict(arrays) | {"sample_index": arrays["sample_index"][::-1]}
    np.savez(saved[0].path, **moved)
    saved[0].path.with_suffix(".json").unlink()
    assert client.verify(tmp_path / "exported", dataset="tiny").wait(60).verdict == "failed"


def test_a_changed_list_is_refused(job: relogit.Job, workspace: Workspace, tmp_path: Path) -> None:
    """Where the server's list is no longer the job's, nothing is exported."""
    path = workspace.splits / "val_indices.json"
    content = path.read_text()
    path.write_text(json.dumps(json.loads(content)[::-1]))
    try:
        with pytest.raises(relogit.StaleList, match="val"):
            export_job(job, "stack", tmp_path / "out")
    finally:
        path.write_text(content)
    assert not list(tmp_path.iterdir())
