"""The main job, from HTTP to the files, through a real service with a real worker process."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import relogit
from tests.integration.workspace import REPOSITORY, SPEC, TRANSFORM, Service, Workspace, build, serving
from worker.compute.engines.pixels import normalise

SPLITS = ("val", "test", "tunev")


def plain_logits(workspace: Workspace, expert: str, indices: list[int]) -> NDArray[np.float32]:
    """What the expert says, computed without anything of the worker but its network class."""
    network = SPEC.build()
    saved = torch.load(workspace.experts / f"best_{expert}.pth", weights_only=True)
    network.load_state_dict({k.removeprefix("backbone."): v for k, v in saved.items() if k != "temperature"})
    images, _ = workspace.images("test")
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(images[indices]), TRANSFORM).contiguous()
        logits: NDArray[np.float32] = network.eval()(pixels).numpy()
    return logits


@pytest.fixture(scope="module")
def job(service: Service) -> Iterator[relogit.Job]:
    """The default job: all experts under best_, val, test and tunev."""
    with relogit.Client(service.url) as client:
        job = client.submit(dataset="tiny")
        job.wait(timeout=60)
        assert job.state == "succeeded", service.log.read_text()
        yield job


def test_every_file_holds_the_experts_logits_in_the_splits_order(job: relogit.Job, workspace: Workspace) -> None:
    """logits, targets and predictions of each unit are those of an independent forward pass."""
    _, labels = workspace.images("test")
    for expert in ("alpha", "beta"):
        for split in SPLITS:
            indices = json.loads((workspace.splits / f"{split}_indices.json").read_text())
            path = workspace.root / "outputs" / "logits_fixed" / expert / f"{split}_logits.npz"
            with np.load(path, allow_pickle=False) as arrays:
                expected = plain_logits(workspace, expert, indices)
                np.testing.assert_allclose(arrays["logits"], expected, atol=1e-4, rtol=0)
                np.testing.assert_array_equal(arrays["predictions"], expected.argmax(1))
                np.testing.assert_array_equal(arrays["targets"], labels[indices])


def test_the_manifest_says_where_the_rows_come_from(job: relogit.Job, workspace: Workspace) -> None:
    """Checkpoint, split and file are named by their sha256; transform, device and batch stand there."""
    path = workspace.root / "outputs" / "logits_fixed" / "alpha" / "val_logits.npz"
    manifest = json.loads(path.with_suffix(".json").read_text())

    def digest(file: Path) -> str:
        return hashlib.sha256(file.read_bytes()).hexdigest()

    assert manifest["job"] == job.id
    assert manifest["file"]["sha256"] == digest(path)
    assert manifest["checkpoint"]["sha256"] == digest(workspace.experts / "best_alpha.pth")
    assert manifest["split"]["sha256"] == digest(workspace.splits / "val_indices.json")
    assert manifest["transform"]["mean"] == [0.5, 0.4, 0.3]
    assert manifest["checkpoint"]["temperature"] == 2.0
    assert manifest["calibration"] == {"mode": "none", "divided_by": None}
    assert manifest["compute"]["device"] == "cpu"


def test_accepting_answers_202_with_location(service: Service) -> None:
    """The job is at its Location, with every default filled in."""
    response = httpx.post(service.url + "/jobs", json={"dataset": "tiny", "prefix": "best_", "splits": ["val"]})
    assert response.status_code == 202
    assert response.headers["Location"] == f"/jobs/{response.json()['id']}"
    request = httpx.get(service.url + response.headers["Location"]).json()["request"]
    assert request == {
        "dataset": "tiny", "experts": ["alpha", "beta"], "splits": ["val"], "checkpoint_prefix": "best_",
        "experts_dir": "experts/tiny", "splits_dir": "tiny_splits", "output_dir": "logits_fixed",
        "batch_size": 128, "calibration": "none", "precision": "fp32", "reuse": True, "weights": None,
        "standards": {"head_threshold": 20, "floors": {}},
    }  # fmt: skip


def test_each_unit_shows_state_samples_and_accuracy(job: relogit.Job) -> None:
    """Units come in the order experts, splits, with their accuracy once verified."""
    units = job.refresh().data["units"]
    assert [(u["expert"], u["split"]) for u in units] == [(e, s) for e in ("alpha", "beta") for s in SPLITS]
    for unit in units:
        assert (unit["state"], unit["done"]) == ("succeeded", unit["total"])
        _, targets, predictions = job.logits(unit["expert"], unit["split"])
        assert unit["accuracy"] == pytest.approx((predictions == targets).mean())


def test_verification_names_each_check_with_measure_and_expectation(job: relogit.Job) -> None:
    """Every unit has all checks; counts come from the train split, so no figure is missing."""
    verification = job.verification()
    assert verification["verdict"] == "passed"
    between = {"targets-between-experts", "data-between-units", "duplicate-outputs", "overlap"}
    audited = {"class-counts"}  # the set has no file of them
    assert {check["id"] for check in verification["checks"]} - audited == between
    for result in verification["results"]:
        checks = {check["id"]: check for check in result["checks"]}
        assert {"shapes", "finite", "predictions", "targets", "stored-file", "shown-file"} <= checks.keys()
        assert {checks[name]["verdict"] for name in ("shapes", "finite", "predictions", "targets")} == {"passed"}
        figures = ("accuracy", "balanced_accuracy", "reweighted_accuracy")
        assert all(0 <= result["metrics"][name] <= 1 for name in figures)


def test_a_download_has_a_strong_etag_ranges_and_304(job: relogit.Job, service: Service) -> None:
    """The ETag is the file's sha256; a part is served as 206; who has the file gets 304."""
    entry = job.artifacts()[0]
    url = service.url + entry["href"]
    whole = httpx.get(url)
    assert whole.headers["ETag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"' == f'"{entry["sha256"]}"'
    part = httpx.get(url, headers={"Range": "bytes=10-19", "If-Range": whole.headers["ETag"]})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.content)}"
    beyond = httpx.get(url, headers={"Range": "bytes=999999999-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range-not-satisfiable")
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole.content)}"
    for ignored in ("items=0-1", "bytes=abc", "bytes="):
        assert httpx.get(url, headers={"Range": ignored}).content == whole.content
    head = httpx.head(url)
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", whole.headers["ETag"])
    again = httpx.get(url, headers={"If-None-Match": f'"other", {whole.headers["ETag"]}'})
    assert (again.status_code, again.content) == (304, b"")


def test_the_archive_is_the_outputs_folder(job: relogit.Job, service: Service, workspace: Workspace) -> None:
    """Unpacked in place of outputs/, the zip gives the very files that lie there."""
    response = service.get(f"/jobs/{job.id}/archive")
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert names == {
            f"logits_fixed/{e}/{s}_logits.{end}" for e in ("alpha", "beta") for s in SPLITS for end in ("npz", "json")
        }
        for entry in job.artifacts():
            assert hashlib.sha256(archive.read(entry["path"])).hexdigest() == entry["sha256"]


def test_the_same_input_gives_the_same_bytes(job: relogit.Job, service: Service) -> None:
    """Another job, with another batch size and output folder, has artifacts of the same digests."""
    with relogit.Client(service.url) as client:
        other = client.submit(
            dataset="tiny", batch_size=1, output_dir="other", splits=["test", "again", "val", "tunev"]
        )
        other.wait(timeout=60)
        mine = {(a["expert"], a["split"]): a["sha256"] for a in other.artifacts()}
    for entry in job.artifacts():
        assert mine[entry["expert"], entry["split"]] == entry["sha256"]


def test_repeats_and_overlaps_keep_their_rows(service: Service, workspace: Workspace) -> None:
    """A split that shares rows with another and holds one twice has each at its place."""
    indices = json.loads((workspace.splits / "again_indices.json").read_text())
    with relogit.Client(service.url) as client:
        job = client.submit(dataset="tiny", experts=["beta"], splits=["test", "again"], output_dir="overlap")
        job.wait(timeout=60)
        logits = job.logits("beta", "again").logits
    np.testing.assert_allclose(logits, plain_logits(workspace, "beta", indices), atol=1e-4, rtol=0)
    np.testing.assert_array_equal(logits[0], logits[-1])


def test_calibration_divides_by_the_stored_temperature(job: relogit.Job, service: Service) -> None:
    """`checkpoint` gives z/T with the file's T, and the manifest says so; the default stays raw."""
    with relogit.Client(service.url) as client:
        calibrated = client.submit(dataset="tiny", splits=["val"], calibration="checkpoint", output_dir="calibrated")
        calibrated.wait(timeout=60)
        np.testing.assert_array_equal(
            calibrated.logits("alpha", "val").logits, job.logits("alpha", "val").logits / np.float32(2.0)
        )
        assert calibrated.artifacts()[0]["manifest"]["calibration"] == {"mode": "checkpoint", "divided_by": 2.0}


def test_what_the_last_job_wrote_survives_a_delete(service: Service, workspace: Workspace) -> None:
    """DELETE forgets the job and its own copies; the files under outputs/ are the user's."""
    with relogit.Client(service.url) as client:
        job = client.submit(dataset="tiny", experts=["alpha"], splits=["tunev"], output_dir="kept")
        job.wait(timeout=60)
        job.delete()
    assert service.get(f"/jobs/{job.id}").status_code == 404
    assert (workspace.root / "outputs" / "kept" / "alpha" / "tunev_logits.npz").exists()


def test_experts_show_their_passports(service: Service) -> None:
    """A worker reads each file and says what network it is."""
    body = service.get("/experts?dataset=tiny").json()
    assert [expert["name"] for expert in body["experts"]] == ["alpha", "beta"]
    for expert in body["experts"]:
        assert expert["state"] == "ready"
        assert expert["passport"]["architecture"] == "cifar_resnet8"
        assert expert["passport"]["classes"] == 4
        assert expert["passport"]["temperature"] == 2.0
    beta = service.get("/experts/beta?dataset=tiny").json()
    # Tiny images and untouched statistics decide nothing, and that is told.
    assert beta.pop("normalisation")["verdict"] == "undecidable"
    assert beta.pop("proposal") == []
    assert beta == body["experts"][1]


def test_splits_show_base_size_and_class_counts(service: Service, workspace: Workspace) -> None:
    """Counts are those of the labels at the indices, in the base that the split points into."""
    splits = {s["name"]: s for s in service.get("/splits/tiny_splits?dataset=tiny").json()["splits"]}
    assert splits.keys() == {"test", "val", "tunev", "again", "train"}
    assert (splits["train"]["base"], splits["train"]["size"]) == ("train", 40)
    assert splits["train"]["class_counts"] == [20, 0, 20, 0]
    assert sum(splits["test"]["class_counts"]) == splits["test"]["size"] == 40


def _cli(service: Service, *arguments: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("relogit")), *arguments, "--server", service.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd, check=False)


def test_the_old_command_line_works(service: Service, workspace: Workspace) -> None:
    """The options people have in their fingers do what they did, and the exit code is 0 when verified."""
    done = _cli(
        service, "recompute", "--dataset", "tiny", "--experts", "alpha", "beta", "--checkpoint-prefix", "best_",
        "--splits", "val", "test", "--batch-size", "64", "--output-dir", "outputs/logits_new",
        "--experts-dir", "checkpoints/experts/", "--splits-dir", "data/tiny_splits",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout
    assert (workspace.root / "outputs" / "logits_new" / "beta" / "test_logits.npz").exists()
    folder = str(workspace.root / "outputs" / "logits_new")
    assert _cli(service, "verify", folder, "--dataset", "tiny").returncode == 0


def test_the_cli_downloads_what_the_api_has(service: Service, tmp_path: Path) -> None:
    """`relogit download` brings the last job's files in the old layout, each with the right digest."""
    _cli(service, "recompute", "--dataset", "tiny", "--splits", "val", "--output-dir", "fetched")
    assert _cli(service, "download", "--to", str(tmp_path)).returncode == 0
    listing: dict[str, Any] = json.loads(_cli(service, "status", "--json").stdout)
    for entry in service.get(f"/jobs/{listing['id']}/artifacts").json()["artifacts"]:
        assert hashlib.sha256((tmp_path / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]


def test_a_refused_job_exits_with_2_and_names_what_there_is(service: Service) -> None:
    """The CLI passes the server's words on."""
    done = _cli(service, "recompute", "--dataset", "tiny", "--experts", "gamma", "--splits", "nope")
    assert done.returncode == 2
    assert "alpha, beta" in done.stderr
    assert "again, test" in done.stderr


def test_wait_holds_until_the_job_changes(workspace: Workspace, tmp_path: Path) -> None:
    """Nothing happens: held for as long as asked. Something does: answered at once, with the new state."""
    with serving(build(tmp_path).settings) as api:
        job = api.post("/jobs", json={"dataset": "tiny"}).json()["id"]
        started = time.monotonic()
        assert api.get(f"/jobs/{job}?wait=0.5").json()["state"] == "queued"
        assert time.monotonic() - started >= 0.5
        canceller = threading.Timer(0.2, lambda: api.post(f"/jobs/{job}/cancel"))
        canceller.start()
        assert api.get(f"/jobs/{job}?wait=30").json()["state"] == "cancelled"
        canceller.join()
        assert api.get(f"/jobs/{job}?wait=30").json()["state"] == "cancelled"
        assert time.monotonic() - started < 15


def test_verification_sees_what_became_of_the_files(service: Service, workspace: Workspace) -> None:
    """A file that somebody saved over is no result any more; one of a later job is told apart."""
    with relogit.Client(service.url) as client:
        job = client.submit(dataset="tiny", experts=["alpha"], splits=["val"], output_dir="spoilt")
        job.wait(timeout=60)
        path = workspace.root / "outputs" / "spoilt" / "alpha" / "val_logits.npz"
        with path.open("r+b") as stream:
            stream.write(b"somebody else")
        assert job.verification()["verdict"] == "failed"
        assert _check(job, "shown-file")["verdict"] == "failed"
        assert _check(job, "stored-file")["verdict"] == "passed"
        later = client.submit(
            dataset="tiny", experts=["alpha"], splits=["val"], output_dir="spoilt", calibration="checkpoint"
        )
        later.wait(timeout=60)
        assert job.verification()["verdict"] == "passed"
        assert (_check(job, "shown-file")["verdict"], _check(job, "shown-file")["level"]) == ("failed", "warning")
        assert later.id in _check(job, "shown-file")["message"]


def _check(job: relogit.Job, check: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in job.verification()["results"][0]["checks"] if c["id"] == check)
    return found


def test_a_file_that_is_gone_is_a_problem_and_no_bug(service: Service, workspace: Workspace) -> None:
    """Single download and archive say the same, and the verification fails."""
    with relogit.Client(service.url) as client:
        job = client.submit(
            dataset="tiny", experts=["alpha"], splits=["tunev"], calibration="checkpoint", output_dir="g"
        )
        job.wait(timeout=60)
        [entry] = job.artifacts()
        stored = workspace.root / "outputs" / ".relogit" / "objects" / entry["sha256"][:2] / f"{entry['sha256']}.npz"
        stored.unlink()
        for path in (entry["href"], f"/jobs/{job.id}/archive"):
            response = service.get(path)
            assert (response.status_code, response.json()["code"]) == (404, "artifact-gone")
        assert job.verification()["verdict"] == "failed"


def test_a_failed_check_fails_the_job(service: Service, workspace: Workspace) -> None:
    """Logits divided by a temperature next to nothing are infinite: written, found, and not shown."""
    saved = torch.load(workspace.experts / "best_alpha.pth", weights_only=True)
    torch.save(saved | {"temperature": torch.tensor([1e-40])}, workspace.experts / "cold_alpha.pth")
    request = {
        "dataset": "tiny",
        "prefix": "cold_",
        "splits": ["val"],
        "calibration": "checkpoint",
        "output_dir": "cold",
    }
    job = httpx.post(service.url + "/jobs", json=request).json()["id"]
    with relogit.Client(service.url) as client:
        client.job(job).wait(timeout=60)
    done = service.get(f"/jobs/{job}").json()
    assert (done["state"], done["verdict"]) == ("failed", "failed")
    assert done["units"][0]["error"]["code"] == "verification-failed"
    assert "finite" in done["units"][0]["error"]["message"]
    assert not (workspace.root / "outputs" / "cold").exists()
