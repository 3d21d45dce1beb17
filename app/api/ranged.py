"""An artifact's file sent whole or in ranges, never with other bytes than its digest promises."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from pathlib import Path

from anyio.to_thread import run_sync
from fastapi.responses import FileResponse
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.api.problems import answer
from app.domain.fault_points import reach
from app.files.artifacts import damaged
from app.files.disk import file_sha256

log = logging.getLogger(__name__)

WHOLE, PARTIAL, UNSATISFIABLE = 200, 206, 416
RANGES = re.compile(rb"bytes=\s*(\d+-\d*|-\d+)(\s*,\s*(\d+-\d*|-\d+))*\s*")
PATHSEND = "http.response.pathsend"
"""An extension by which a server sends a file itself; its bytes would pass unchecked."""


class RangedFile(FileResponse):
    """Starlette's file response with checked content and errors as problems.

    A `Range` in another unit than bytes, or that is none, is ignored (RFC 9110, 14.2), and one that lies beyond
    the file is answered with a problem instead of an empty text.

    The file has to be checked before: what is done here is for changes while it is sent. The last bytes of a body
    are held back until the digest is right; otherwise the connection breaks, and no complete body was delivered.

    Args:
        path: of the file.
        sha256: of its content, as it was recorded.
        headers: more of them.
        media_type: of the content.
        filename: to save it under.

    Raises:
        JobError: `artifact-damaged`, from the call.
    """

    def __init__(
        self, path: Path, sha256: str, *, headers: Mapping[str, str], media_type: str, filename: str
    ) -> None:
        super().__init__(path, headers=headers, media_type=media_type, filename=filename)
        self._file, self._sha256 = path, sha256

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or the part that was asked for."""
        asked = [(name, value) for name, value in scope["headers"] if name != b"range" or RANGES.fullmatch(value)]
        extensions = {name: value for name, value in (scope.get("extensions") or {}).items() if name != PATHSEND}
        scope = {**scope, "headers": asked, "extensions": extensions}
        await super().__call__(scope, receive, _CheckedSend(self._file, self._sha256, scope, receive, send))


class _CheckedSend:
    """Passes a response's messages on, the last bytes of a body only once the content is found to be right."""

    def __init__(self, path: Path, sha256: str, scope: Scope, receive: Receive, send: Send) -> None:
        self._path, self._sha256 = path, sha256
        self._scope, self._receive, self._send = scope, receive, send
        self._status = 0
        self._passed = hashlib.sha256()
        self._held = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._status == UNSATISFIABLE:
                await self._refuse(dict(message["headers"]).get(b"content-range", b"").decode())
                return
        elif self._status == UNSATISFIABLE:
            return  # the body of what was refused
        elif self._status in (WHOLE, PARTIAL) and self._scope["method"] != "HEAD":
            message = await self._checked(message)
        reach("download.piece")
        await self._send(message)

    async def _checked(self, message: Message) -> Message:
        """Exchange a message's bytes for those that were held back before."""
        body, more = message.get("body", b""), message.get("more_body", False)
        self._passed.update(body)
        if more:
            # An empty piece may end the body, so the last bytes are held, not the last message.
            ready, self._held = (self._held, body) if body else (b"", self._held)
            return {**message, "body": ready}
        # A partial body says nothing about the whole; the file is read once more after the last of its bytes.
        whole = self._status == WHOLE
        found = self._passed.hexdigest() if whole else await run_sync(file_sha256, self._path)
        if found != self._sha256:
            log.error("%s was changed while it was sent; the answer is broken off", self._path)
            raise damaged(str(self._path), found, self._sha256)
        return {**message, "body": self._held + body}

    async def _refuse(self, content_range: str) -> None:
        detail = f"The range lies beyond the file, which has {content_range.removeprefix('bytes */')} bytes."
        problem = answer(Request(self._scope), UNSATISFIABLE, "range-not-satisfiable", detail, [])
        problem.headers["Content-Range"] = content_range
        await problem(self._scope, self._receive, self._send)
