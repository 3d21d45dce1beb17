"""What is removed of a real service's jobs, files and rows, and what of them nothing removes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import relogit
from relogit.cli.main import main
from tests.integration.verifying import good
from tests.integration.workspace import Service, Workspace, build, running, wait_until
from tests.unit.fake_server import FakeServer
from worker.experts.architectures import CifarResNetSpec

SLOW = CifarResNetSpec((3, 3, 3), (16, 32, 64), 4)
"""A ResNet-20: a second or two for the images of `long`, so that there is a middle to strike in."""
NOTHING: dict[str, Any] = {
    "jobs_older_than_s": 0,
    "rows_older_than_s": 0,
    "rows_max_bytes": 0,
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = build(tmp_path_factory.mktemp("gc"))
    workspace.save_images("test", 2500, size=32)
    workspace.save_split("long", list(range(2500)))
    workspace.save_split("short", list(range(40)))
    workspace.save_expert("slow_first", 3, SLOW)
    return workspace


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[relogit.Client]:
    """Of a service without ended jobs."""
    with relogit.Client(service.url) as client:
        yield client
        client.collect_garbage(jobs_older_than_s=0)


def submit(client: relogit.Client, split: str = "short", **request: Any) -> relogit.Job:
    return client.submit(dataset="tiny", checkpoint_prefix="slow_", splits=[split], **request)


def run(client: relogit.Client, **request: Any) -> relogit.Job:
    job = submit(client, **request).wait(timeout=90)
    assert job.state == "succeeded", job.data
    return job


def digest(job: relogit.Job) -> str:
    [artifact] = job.artifacts()
    return str(artifact["sha256"])


def shown(workspace: Workspace, folder: str) -> dict[str, bytes]:
    """What lies in an output folder."""
    root = workspace.settings.outputs_dir / folder
    return {path.name: path.read_bytes() for path in root.rglob("*.*")}


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that lies there, but the store itself, which its readers touch as well."""
    paths = [path for path in folder.rglob("*") if not path.name.startswith("jobs.sqlite3")]
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def between(older: relogit.Job, newer: relogit.Job) -> float:
    """An age that only the older one has."""
    ends = [datetime.fromisoformat(job.data["finished_at"]).timestamp() for job in (older, newer)]
    return datetime.now(UTC).timestamp() - sum(ends) / 2


@pytest.mark.slow
def test_a_running_job_keeps_all_that_is_its_own(client: relogit.Client, workspace: Workspace) -> None:
    """With every limit at nought: its first file, the rows that it is at, and its record. It succeeds."""
    done = run(client, output_dir="before")
    going = client.submit(dataset="tiny", checkpoint_prefix="slow_", splits=["short", "long"], reuse=False)

    def in_the_middle() -> bool:
        units = client.job(going.id).data["units"]
        return bool(units[0]["state"] == "succeeded" and units[1]["done"])

    wait_until(in_the_middle, 60)
    keys = {rows["key"] for rows in client.rows()["rows"]}
    assert len(keys) == 2  # the engine's, and the plain sample's
    found = client.collect_garbage(**NOTHING)
    assert [job["id"] for job in found["jobs"]] == [done.id]
    assert (found["rows"], found["left"]["rows"]["keys"], found["left"]["jobs"]["jobs"]) == ([], 2, 1)
    assert client.job(going.id).state == "running"
    ended = client.job(going.id).wait(timeout=90)
    assert (ended.state, ended.verification(wait_s=0)["verdict"]) == ("succeeded", "passed")
    assert [unit["notes"] for unit in ended.data["units"]] == [[], []]
    assert {rows["key"] for rows in client.rows()["rows"]} == keys
    found = client.collect_garbage(**NOTHING)
    assert [job["id"] for job in found["jobs"]] == [ended.id]
    assert {rows["key"] for rows in found["rows"]} == keys
    assert list(workspace.settings.objects_dir.rglob("*.npz")) == []


def test_a_file_of_two_jobs_stays_with_the_second(client: relogit.Client, workspace: Workspace) -> None:
    """Equal bytes are one file: it goes when nobody refers to it any more, and not before."""
    older, newer = run(client, output_dir="one"), run(client, output_dir="other")
    assert digest(older) == digest(newer)
    found = client.collect_garbage(jobs_older_than_s=between(older, newer))
    assert [(job["id"], job["bytes"]) for job in found["jobs"]] == [(older.id, 0)]
    assert newer.logits("first", "short").logits.shape == (40, 4)
    assert newer.verification(wait_s=0)["verdict"] == "passed"
    client.collect_garbage(jobs_older_than_s=0)
    assert list(workspace.settings.objects_dir.rglob("*.npz")) == []


@pytest.mark.parametrize("way", ["delete", "gc"])
def test_a_newer_jobs_view_outlives_an_older_job(client: relogit.Client, workspace: Workspace, way: str) -> None:
    """Both wrote to one folder: what lies there is the newer one's, byte for byte, and still verified as such."""
    older, newer = run(client, output_dir="same"), run(client, output_dir="same", calibration="checkpoint")
    assert digest(older) != digest(newer)
    before = shown(workspace, "same")
    assert sorted(before) == ["short_logits.json", "short_logits.npz"]
    assert json.loads(before["short_logits.json"])["job"] == newer.id
    if way == "delete":
        older.delete()
    else:
        found = client.collect_garbage(jobs_older_than_s=between(older, newer))
        assert [job["id"] for job in found["jobs"]] == [older.id]
    assert [job.id for job in client.jobs()] == [newer.id]
    assert shown(workspace, "same") == before
    verified = newer.verification(wait_s=0)
    checks = {check["id"]: check["verdict"] for check in verified["results"][0]["checks"]}
    assert (verified["verdict"], checks["shown-file"], checks["stored-file"]) == ("passed", "passed", "passed")
    newer.delete()
    assert shown(workspace, "same") == before


def test_an_upload_goes_with_its_verification(client: relogit.Client, workspace: Workspace, tmp_path: Path) -> None:
    """And only with it."""
    path = tmp_path / "ce" / "short_logits.npz"
    path.parent.mkdir()
    path.write_bytes(good(workspace, "short"))
    found = client.verify(tmp_path, dataset="tiny").wait(timeout=60)
    [upload] = workspace.settings.uploads_dir.iterdir()
    size = path.stat().st_size
    assert client.collect_garbage(jobs_older_than_s=3600)["jobs"] == []
    assert upload.is_dir()
    [job] = client.collect_garbage(jobs_older_than_s=0)["jobs"]
    assert (job["id"], job["kind"], job["bytes"]) == (found.id, "verification", size)
    assert not upload.exists()


def test_a_dry_run_changes_nothing(client: relogit.Client, workspace: Workspace) -> None:
    """It tells what the same collection then does."""
    run(client, output_dir="dry")
    before, jobs = tree(workspace.settings.outputs_dir), [job.id for job in client.jobs()]
    told = client.collect_garbage(**NOTHING, dry_run=True)
    assert (tree(workspace.settings.outputs_dir), [job.id for job in client.jobs()]) == (before, jobs)
    done = client.collect_garbage(**NOTHING)
    assert told == {**done, "dry_run": True}
    assert (len(done["jobs"]), len(done["rows"]), done["kept_back"]) == (1, 2, [])
    assert done["left"] == {"jobs": {"jobs": 0, "bytes": 0}, "rows": {"keys": 0, "rows": 0, "bytes": 0}}


def test_without_limits_only_what_nobody_refers_to_goes(client: relogit.Client, service: Service) -> None:
    """Neither an empty body nor none removes a job or a row: nothing is removed that nobody asked for."""
    job = run(client, output_dir="asked")
    for body in ({}, {"jobs_older_than_s": None}, None):
        answer = httpx.post(f"{service.url}/gc", json=body) if body is not None else httpx.post(f"{service.url}/gc")
        assert answer.status_code == 200, answer.text
        assert (answer.json()["jobs"], answer.json()["rows"], answer.json()["freed_bytes"]) == ([], [], 0)
    assert job.verification(wait_s=0)["verdict"] == "passed"


def test_a_limit_that_is_none_is_refused(client: relogit.Client, service: Service) -> None:
    """Before anything is removed."""
    job = run(client, output_dir="refused")
    for wrong in (
        {"jobs": 1},
        {"jobs_older_than_s": -1},
        {"rows_older_than_s": True},
        {"rows_max_bytes": 1.5},
        {"artifacts_max_bytes": 10**9},  # a limit of older versions: ignored, it would keep what a user wants gone
        {"dry_run": 1},
    ):
        answer = httpx.post(f"{service.url}/gc", json={**NOTHING, **wrong})
        assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json"), wrong
        if "artifacts_max_bytes" in wrong:
            assert "jobs_older_than_s limits the jobs by age" in answer.json()["detail"]
    assert httpx.post(f"{service.url}/gc", json=[]).status_code == 422
    assert client.job(job.id).state == "succeeded"


def test_the_command_shows_what_goes_and_what_stays(
    client: relogit.Client, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each job and each key, and the sums; ages and sizes are given as words; `--json` is the answer."""

    def said(*argv: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["gc", "--server", service.url, *argv])
        assert (ended.value.code or 0) == 0
        return capsys.readouterr().out

    job = run(client, output_dir="command")
    everything = ("--jobs-older-than", "0s", "--rows-older-than", "0s")
    assert "There is nothing to remove.\n" in said("--jobs-older-than", "30d", "--max-rows", "10GB", "--dry-run")
    told = said(*everything, "--dry-run")
    assert re.search(rf"^{job.id[:8]} +recompute +succeeded +\d+(\.\d)? k?B +just now *$", told, re.M)
    assert re.search(r"^\w{8} +first +tiny +fp32 ", told, re.M)
    assert re.search(r"^To be removed: 1 job, the kept rows of 2 keys; .* would be freed\.$", told, re.M)
    assert "Would be left: 0 jobs with 0 B, kept rows with 0 B.\n" in told
    done = json.loads(said(*everything, "--json"))
    assert ([one["id"] for one in done["jobs"]], len(done["rows"]), done["dry_run"]) == ([job.id], 2, False)
    assert said() == "There was nothing to remove.\nLeft: 0 jobs with 0 B, kept rows with 0 B.\n"


def test_what_could_not_be_removed_fails_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Its reason is told, and so is what nobody had referred to; ages and sizes go out in seconds and bytes."""
    fake = FakeServer()
    totals = {"jobs": {"jobs": 2, "bytes": 1500}, "rows": {"keys": 1, "rows": 5, "bytes": 20}}
    gone = {"jobs": [], "rows": [], "unreferred_bytes": 2000, "freed_bytes": 2000, "kept_back": ["x cannot go."]}
    fake.answers["POST /gc"] = httpx.Response(200, json={"dry_run": False, **gone, "left": totals})
    with pytest.raises(SystemExit) as ended:
        main(["gc", "--max-rows", "50GB", "--rows-older-than", "30d"], transport=fake.transport)
    assert ended.value.code == 1
    assert fake.submitted == {"rows_max_bytes": 50 * 10**9, "rows_older_than_s": 30 * 86400, "dry_run": False}
    assert capsys.readouterr().out.splitlines() == [
        "Removed: 2.0 kB that no job refers to; 2.0 kB are freed.",
        "Left: 2 jobs with 1.5 kB, kept rows with 20 B.",
        "x cannot go.",
    ]


def test_the_service_tidies_by_its_settings(tmp_path: Path) -> None:
    """Soon after its start, without anybody asking; what lies under the outputs directory stays."""
    workspace = build(tmp_path)
    with running(workspace) as service, relogit.Client(service.url) as client:
        client.submit(dataset="tiny", experts=["alpha"], splits=["val"], output_dir="kept").wait(timeout=90)
        time.sleep(1.2)  # a service without settings has had its chance
        assert len(client.jobs()) == 1
    before = shown(workspace, "kept")
    with running(workspace, RELOGIT_KEEP_JOBS_S="0.1", RELOGIT_KEEP_ROWS_BYTES="0") as service:
        wait_until(lambda: not service.get("/jobs").json()["jobs"], 20, service.log.read_text)
        wait_until(lambda: not service.get("/rows").json()["rows"], 20, service.log.read_text)
        wait_until(lambda: "tidied up by the settings: 1 jobs" in service.log.read_text(), 20)
    assert list(workspace.settings.objects_dir.rglob("*.npz")) == []
    assert shown(workspace, "kept") == before
