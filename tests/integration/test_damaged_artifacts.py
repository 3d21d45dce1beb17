"""An artifact that was edited on disk under a running service is never served as what it was."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import relogit
from tests.integration.workspace import Service, Workspace, build, running
from tests.unit.mapped import Rewriter, mapped

REPEATS = 6000
"""Of each of 60 images: 12 MB of results, more than sockets hold; the end is read after the beginning came."""


@dataclass(frozen=True)
class Stored:
    """A job's only artifact, and where it lies."""

    job: relogit.Job
    sha256: str
    path: Path
    content: bytes
    urls: dict[str, str]


@pytest.fixture(scope="module")
def own_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Service]]:
    workspace = build(tmp_path_factory.mktemp("damaged"))
    workspace.save_split("long", list(range(60)) * REPEATS)
    with running(workspace) as service:
        service.wait_ready()
        yield workspace, service


@pytest.fixture(scope="module")
def stored(own_service: tuple[Workspace, Service]) -> Iterator[Stored]:
    workspace, service = own_service
    with relogit.Client(service.url) as client:
        job = client.submit(dataset="tiny", experts=["alpha"], splits=["long"])
        job.wait(timeout=60)
        assert job.state == "succeeded", service.log.read_text()
        [entry] = job.artifacts()
        objects = workspace.root / "outputs" / ".relogit" / "objects"
        path = objects / entry["sha256"][:2] / f"{entry['sha256']}.npz"
        urls = {"single": service.url + entry["href"], "archive": f"{service.url}/jobs/{job.id}/archive"}
        yield Stored(job, entry["sha256"], path, path.read_bytes(), urls)


@pytest.fixture
def rewriter(stored: Stored) -> Iterator[Rewriter]:
    """Changes the artifact through a memory map, which moves no time; it is as it was after the test."""
    with mapped(stored.path) as rewriter:
        yield rewriter
        rewriter.write(stored.content)


REQUESTS = [("single", None), ("single", "bytes=0-99"), ("single", "bytes=0-9,100-109"), ("archive", None)]


@pytest.mark.parametrize(("what", "range_"), REQUESTS)
def test_an_edited_artifact_is_a_problem_instead_of_a_body(
    stored: Stored, rewriter: Rewriter, what: str, range_: str | None
) -> None:
    """One byte, far from the range that is asked for; as soon as it is right again the file is served."""
    headers = {"Range": range_} if range_ else {}
    assert httpx.get(stored.urls[what], headers=headers).is_success
    rewriter.flip(len(stored.content) // 2)
    response = httpx.get(stored.urls[what], headers=headers)
    assert (response.status_code, response.json()["code"]) == (500, "artifact-damaged")
    assert "(alpha, long)" in response.json()["detail"]
    assert "Run the job again" in response.json()["detail"]
    assert "ETag" not in response.headers
    assert httpx.head(stored.urls[what], headers=headers).status_code == 500
    rewriter.write(stored.content)
    assert httpx.get(stored.urls[what], headers=headers).is_success


@pytest.mark.parametrize(("what", "range_"), [("single", None), ("single", "bytes=5-12000000"), ("archive", None)])
def test_an_artifact_that_is_edited_while_it_is_sent_breaks_the_connection(
    stored: Stored, rewriter: Rewriter, what: str, range_: str | None
) -> None:
    """The first bytes are on their way when the last ones change: the answer has no end."""
    headers, came = {"Range": range_} if range_ else {}, 0
    with httpx.stream("GET", stored.urls[what], headers=headers) as response:
        assert response.is_success
        with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 — the stream breaks at any of its pieces
            for piece in response.iter_raw():
                if came == 0:
                    rewriter.flip(len(stored.content) - 1)
                came += len(piece)
    assert came > 0


def test_the_client_says_that_the_artifact_is_damaged(stored: Stored, rewriter: Rewriter, tmp_path: Path) -> None:
    """With the server's own words, and nothing is written."""
    rewriter.flip(len(stored.content) // 2)
    with pytest.raises(relogit.Problem, match="Run the job again") as caught:
        stored.job.download(tmp_path)
    assert caught.value.code == "artifact-damaged"
    with pytest.raises(relogit.Problem, match="Run the job again"):
        stored.job.logits("alpha", "long")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_archive_holds_the_recorded_files(stored: Stored) -> None:
    """The zip is whole, and each file has the digest of the listing."""
    response = httpx.get(stored.urls["archive"])
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        content = archive.read("logits_fixed/alpha/long_logits.npz")
    assert hashlib.sha256(content).hexdigest() == stored.sha256


def test_the_job_run_again_makes_the_artifact_anew(
    own_service: tuple[Workspace, Service], stored: Stored, tmp_path: Path
) -> None:
    """What the problem advises does help: the same content has the same place."""
    stored.path.write_bytes(b"something else")
    with relogit.Client(own_service[1].url) as client:
        client.submit(dataset="tiny", experts=["alpha"], splits=["long"]).wait(timeout=60)
    [saved] = stored.job.download(tmp_path)
    assert saved.path.read_bytes() == stored.content
