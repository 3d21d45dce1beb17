"""A client takes an artifact for complete only if its content is what was recorded."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from app.api.routes.artifacts import ArtifactResponse
from app.domain.errors import JobError
from app.files.artifacts import PIECE_BYTES, check_content, checked_pieces
from tests.unit.mapped import mapped

CHUNK = ArtifactResponse.chunk_size
SIZE = 3 * CHUNK + 100


@dataclass
class Client:
    """Takes a response's messages; before the given one of the body it does something."""

    act: Callable[[], None] = lambda: None
    before: int = 0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    messages: int = 0

    async def receive(self) -> Message:
        await asyncio.Event().wait()  # stays connected
        raise AssertionError

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self.messages += 1
        if self.messages == self.before:
            self.act()
        self.body += message["body"]
        self.complete = not message.get("more_body", False)

    @property
    def whole(self) -> bool:
        """Whether a client would take what came for all that was announced."""
        return self.complete or (bool(self.headers) and len(self.body) >= int(self.headers["content-length"]))


def fetch(path: Path, sha256: str, client: Client, range_: str | None = None, method: str = "GET") -> None:
    check = partial(check_content, path, sha256, "The file")
    response = ArtifactResponse(
        path, check, headers={"ETag": f'"{sha256}"'}, media_type="application/x", filename="f"
    )
    headers = [(b"range", range_.encode())] if range_ else []
    scope: dict[str, Any] = {"type": "http", "method": method, "headers": headers, "path": "/f", "query_string": b""}
    scope |= {"server": ("test", 80), "scheme": "http", "root_path": "", "asgi": {"spec_version": "2.4"}}
    asyncio.run(response(scope, client.receive, client.send))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "f"
    path.write_bytes(os.urandom(SIZE))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, SIZE])
def test_a_file_arrives_as_it_is(path: Path, size: int) -> None:
    """Sizes around Starlette's piece: nothing that is held back gets lost, and the length was right."""
    os.truncate(path, size)
    client = Client()
    fetch(path, digest(path), client)
    assert (client.status, client.body, client.complete) == (200, path.read_bytes(), True)
    assert client.headers["content-length"] == str(size)


@pytest.mark.parametrize(
    ("range_", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        (f"bytes={CHUNK}-", CHUNK, SIZE),
        ("bytes=-100", SIZE - 100, SIZE),
        (f"bytes=5-{2 * CHUNK + 4}", 5, 2 * CHUNK + 5),
        ("bytes=0-9,100-109", 100, 110),
    ],
)
def test_a_range_arrives_as_it_is(path: Path, range_: str, start: int, end: int) -> None:
    """Also one that ends with one of Starlette's pieces; several come in one body of parts."""
    client = Client()
    fetch(path, digest(path), client, range_)
    assert (client.status, client.complete) == (206, True)
    assert path.read_bytes()[start:end] in client.body
    assert len(client.body) == int(client.headers["content-length"])
    assert "," in range_ or len(client.body) == end - start


@pytest.mark.parametrize("range_", [None, "bytes=0-9", f"bytes=10-{2 * CHUNK}", "bytes=0-9,100-109"])
@pytest.mark.parametrize("size", [100, CHUNK, 2 * CHUNK, SIZE])
def test_a_file_with_another_digest_never_arrives_whole(path: Path, range_: str | None, size: int) -> None:
    """Also where the last of Starlette's messages is empty, and where the part itself is unchanged."""
    os.truncate(path, max(size, 110))
    client, recorded = Client(), digest(path)
    with mapped(path) as rewriter:
        rewriter.flip(50)
        with pytest.raises(JobError, match="Run the job again") as caught:
            fetch(path, recorded, client, range_)
    assert caught.value.code == "artifact-damaged"
    assert not client.whole


@pytest.mark.parametrize("message", [1, 2])
@pytest.mark.parametrize("range_", [None, f"bytes=0-{SIZE - 2}"])
def test_a_file_that_changes_while_it_is_sent_never_arrives_whole(
    path: Path, range_: str | None, message: int
) -> None:
    """Its last bytes are changed, with its times as they were, while the first ones are on their way."""
    recorded = digest(path)

    with mapped(path) as rewriter:
        client = Client(act=partial(rewriter.flip, SIZE - 3), before=message)
        with pytest.raises(JobError):
            fetch(path, recorded, client, range_)
    assert client.messages >= message
    assert not client.whole


def test_a_file_that_is_cut_off_while_it_is_sent_never_arrives_whole(path: Path) -> None:
    """What is missing is not made up for."""
    client = Client(act=lambda: os.truncate(path, 10), before=1)
    with pytest.raises(JobError):
        fetch(path, digest(path), client)
    assert not client.whole


def test_a_request_without_a_body_gets_headers_alone(path: Path) -> None:
    """HEAD says what GET would; there is nothing to hold back."""
    client = Client()
    fetch(path, digest(path), client, method="HEAD")
    assert (client.status, client.body, client.complete) == (200, b"", True)
    assert client.headers["content-length"] == str(SIZE)


def test_a_range_beyond_the_file_is_a_problem(path: Path) -> None:
    """416 with the file's length, whatever its content."""
    client = Client()
    fetch(path, "0" * 64, client, f"bytes={SIZE}-")
    assert (client.status, client.headers["content-range"]) == (416, f"bytes */{SIZE}")
    assert b"range-not-satisfiable" in client.body


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES])
def test_pieces_make_the_file_or_end_with_an_error(path: Path, size: int) -> None:
    """Every byte once, in order. A change moves no time; the archive that is made of them then has no end."""
    path.write_bytes(os.urandom(size))
    recorded = digest(path)
    assert b"".join(checked_pieces(path, recorded)) == path.read_bytes()
    if not size:
        return
    with mapped(path) as rewriter:
        check_content(path, recorded, "The file")
        rewriter.flip(size - 1)
        with pytest.raises(JobError, match=recorded):
            check_content(path, recorded, "The file")
        with pytest.raises(JobError) as caught:
            list(checked_pieces(path, recorded))
    assert caught.value.code == "artifact-damaged"
