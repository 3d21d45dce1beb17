"""Nothing computed twice, and the same bits every way: real services, one for each engine."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import relogit
from tests.integration.workspace import Service, Workspace, build, running, wait_until
from worker.experts.architectures import CifarResNetSpec

SPEC = CifarResNetSpec((2, 2, 2), (16, 32, 64), 4)
"""Wide enough for the kernels that the usual experts run through."""

ENGINES = [
    "torch",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"),
    ),
]


@dataclass(frozen=True)
class Installation:
    """A running service with an engine, and what lies on its disk."""

    engine: str
    workspace: Workspace
    service: Service
    client: relogit.Client

    @property
    def rows(self) -> Path:
        return self.workspace.settings.rows_dir

    def run(self, **request: Any) -> relogit.Job:
        """A job that has succeeded."""
        given: dict[str, Any] = {"dataset": "tiny", "experts": ["wide"], "splits": ["many"], **request}
        job = self.client.submit(**given).wait(timeout=90)
        assert job.state == "succeeded", (job.data, self.service.log.read_text())
        return job


def counts(job: relogit.Job) -> list[tuple[int, int]]:
    """Reused and computed rows of each unit."""
    return [(unit["reused"], unit["computed"]) for unit in job.data["units"]]


def digests(job: relogit.Job) -> list[str]:
    return [artifact["sha256"] for artifact in job.artifacts()]


def check(job: relogit.Job, name: str) -> dict[str, Any]:
    """The one check of that id in the job's only unit."""
    [result] = job.verification()["results"]
    [found] = [check for check in result["checks"] if check["id"] == name]
    return dict(found)


@pytest.fixture(scope="module", params=ENGINES)
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Nothing kept yet; images enough for some batches of every size, the last one ragged."""
    workspace = build(tmp_path_factory.mktemp(request.param))
    workspace.save_images("test", 205, size=32)
    order = np.random.default_rng(5).permutation(205).tolist()
    workspace.save_split("many", order)
    workspace.save_split("reversed", order[::-1])
    workspace.save_split("some", sorted(order[:90]))
    workspace.save_split("repeated", [*order[50:120], *order[60:80], order[50]])
    workspace.save_expert("best_wide", 7, SPEC)
    with running(workspace, RELOGIT_ENGINE=request.param) as service, relogit.Client(service.url) as client:
        service.wait_ready()
        yield Installation(request.param, workspace, service, client)


@pytest.fixture
def known(installation: Installation) -> relogit.Job:
    """A job over every image, whatever was damaged before: its rows are kept."""
    return installation.run()


def test_bytes_do_not_depend_on_the_batch_size(installation: Installation) -> None:
    """Computed anew at every batch size, the files are the same byte for byte; no row differs from a kept one."""
    jobs = [installation.run(reuse=False, batch_size=size) for size in (1, 7, 64, 130, 10000)]
    assert [counts(job) for job in jobs] == [[(0, 205)]] * 5
    assert len({digest for job in jobs for digest in digests(job)}) == 1
    assert all(check(job, "kept-rows")["verdict"] == "passed" for job in jobs)


def test_any_split_of_known_images_is_computed_from_none(installation: Installation, known: relogit.Job) -> None:
    """Reordered, smaller, overlapping, with repeats: no forward pass, and each row is its image's, bit for bit."""
    job = installation.run(splits=["reversed", "some", "repeated"])
    assert counts(job) == [(205, 0), (90, 0), (91, 0)]
    every = known.logits("wide", "many")
    order = json.loads((installation.workspace.splits / "many_indices.json").read_text())
    place = {image: row for row, image in enumerate(order)}
    for split in ("reversed", "some", "repeated"):
        indices = json.loads((installation.workspace.splits / f"{split}_indices.json").read_text())
        there = job.logits("wide", split)
        rows = [place[image] for image in indices]
        np.testing.assert_array_equal(there.logits, every.logits[rows])
        np.testing.assert_array_equal(there.targets, every.targets[rows])
        np.testing.assert_array_equal(there.predictions, every.predictions[rows])


def test_only_what_is_missing_is_computed(installation: Installation) -> None:
    """After a first split, a second one computes the images that are new to it; repeats are computed once."""
    shutil.rmtree(installation.rows)
    assert counts(installation.run(splits=["some", "repeated"])) == [(0, 90), (61, 30)]


def test_rows_belong_to_weights_not_to_files(installation: Installation, known: relogit.Job) -> None:
    """The same weights in another file, with another name and temperature, are known; other weights are not."""
    experts = installation.workspace.experts
    tensors = torch.load(experts / "best_wide.pth", weights_only=True)
    torch.save({"model": tensors | {"temperature": torch.tensor(1.3)}}, experts / "final_calibrated_copy.pt")
    installation.workspace.save_expert("other_wide", 8, SPEC)
    copy = installation.run(experts=["copy"], checkpoint_prefix="final_calibrated_")
    assert counts(copy) == [(205, 0)]
    assert digests(copy) == digests(known)
    assert counts(installation.run(checkpoint_prefix="other_", output_dir="other")) == [(0, 205)]


def test_damaged_rows_are_computed_again(installation: Installation, known: relogit.Job) -> None:
    """Flipped, cut short, garbled or gone: what does not fit is computed again, never served."""
    for damage, computed in ((_flip, 1), (_cut, 205), (_garble, 205), (_remove, 205), (_unreadable, 205)):
        damage(installation.rows)
        job = installation.run()
        assert counts(job) == [(205 - computed, computed)], damage.__name__
        assert digests(job) == digests(known), damage.__name__
    assert counts(installation.run()) == [(205, 0)]


def _only(rows: Path) -> Path:
    """Return the folder of the engine's rows of best_wide.pth; the plain sample's rows lie in another one."""
    abouts = {path: json.loads((path / "about.json").read_text()) for path in rows.iterdir()}
    [folder] = [
        path
        for path, about in abouts.items()
        if about["size"] == 205
        and about["seen"]["file"] == "best_wide.pth"
        and about["source"]["numerics"]["engine"] != "plain"
    ]
    return folder


def _flip(rows: Path) -> None:
    path = _only(rows) / "logits.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _cut(rows: Path) -> None:
    os.truncate(_only(rows) / "logits.npy", 1000)


def _garble(rows: Path) -> None:
    (_only(rows) / "sums.npy").write_bytes(b"no numpy file")


def _remove(rows: Path) -> None:
    shutil.rmtree(rows)


def _unreadable(rows: Path) -> None:
    folder = _only(rows)
    shutil.rmtree(folder)
    folder.write_text("a file where a folder should be")


def test_computing_again_finds_a_kept_row_that_differs(installation: Installation, known: relogit.Job) -> None:
    """A kept row with a fitting checksum and other bits fails the unit, and neither version is kept."""
    folder = _only(installation.rows)
    logits = np.load(folder / "logits.npy")
    source = json.loads((folder / "about.json").read_text())["source"]
    from app.files.row_files import KeptRows

    logits[11, 2] += 1e-3
    KeptRows(folder, folder.name, 205, source["classes"]).write(np.array([11]), logits[[11]])
    job = installation.client.submit(dataset="tiny", experts=["wide"], splits=["many"], reuse=False).wait(timeout=60)
    assert job.state == "failed"
    found = check(job, "kept-rows")
    assert found["verdict"] == "failed"
    assert [entry["image"] for entry in found["evidence"]] == [11]
    again = installation.run()
    assert counts(again) == [(204, 1)]
    assert digests(again) == digests(known)


@pytest.mark.slow
def test_a_killed_worker_changes_no_byte(installation: Installation, known: relogit.Job) -> None:
    """SIGKILL in the middle: the rows computed before it are taken up, and the file is that of a calm run."""
    workspace = installation.workspace
    workspace.save_images("train", 2000, size=32)
    workspace.save_split("train", list(range(2000)))
    job = installation.client.submit(dataset="tiny", experts=["wide"], splits=["train"], output_dir="struck")
    # Beyond the first rows that are written together: those before it would be lost with the worker.
    said = installation.service.log.read_text
    wait_until(lambda: 300 < job.refresh().data["units"][0]["computed"] < 2000, 60, said)
    [victim] = installation.service.worker_pids()
    os.kill(victim, signal.SIGKILL)
    job.wait(timeout=90)
    assert job.state == "succeeded"
    [(reused, computed)] = counts(job)
    assert reused > 0
    assert reused + computed == 2000
    calm = installation.run(splits=["train"], output_dir="calm", reuse=False)
    assert counts(calm) == [(0, 2000)]
    assert digests(calm) == digests(job)


def test_the_manifest_names_the_engine(installation: Installation, known: relogit.Job) -> None:
    """Engine, its version, precision, processor and the key of the rows stand beside the file."""
    [artifact] = known.artifacts()
    compute = artifact["manifest"]["compute"]
    assert compute["engine"] == installation.engine
    assert compute["precision"] == "fp32"
    assert compute["dtype"] == "float32"
    assert compute["engine_version"]
    assert compute["batch"]["same_bits_for"] == {"torch": "any multiple of 16", "openvino": 8}[installation.engine]
    rows = artifact["manifest"]["rows"]
    assert rows["key"] == _only(installation.rows).name
    assert rows["compared"] is False
    [again] = installation.run(reuse=False, output_dir="again").artifacts()
    assert again["manifest"]["rows"]["compared"] is True
    assert again["manifest"]["compute"] == compute


def test_another_precision_says_what_it_costs(installation: Installation, known: relogit.Job) -> None:
    """Where bf16 is to be had, its rows are its own, and verification counts the argmax flips against fp32."""
    plan = installation.client.ready()["checks"]["worker"]["workers"][0]
    if "bf16" not in plan["precisions"]:
        pytest.skip("this processor has no bf16")
    job = installation.run(precision="bf16", output_dir="half")
    assert counts(job) == [(0, 205)]
    found = check(job, "precision")
    exact, half = known.logits("wide", "many"), job.logits("wide", "many")
    assert found["measured"]["compared_rows"] == 205
    assert found["measured"]["argmax_flips"] == int((exact.predictions != half.predictions).sum())
    assert found["measured"]["largest_difference"] == pytest.approx(np.abs(exact.logits - half.logits).max())
    assert 0 < found["measured"]["largest_difference"] < 1  # of logits up to 10
    assert job.artifacts()[0]["manifest"]["compute"]["dtype"] == "bfloat16"
    assert counts(installation.run(precision="bf16", output_dir="half")) == [(205, 0)]
