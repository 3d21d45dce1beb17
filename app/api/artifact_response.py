"""Send an artifact's file, whole or in ranges, only if its content is right to the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from anyio.to_thread import run_sync
from fastapi.responses import FileResponse
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.api.problems import answer
from app.domain.fault_points import reach

UNSATISFIABLE = 416
RANGES = re.compile(rb"bytes=\s*(\d+-\d*|-\d+)(\s*,\s*(\d+-\d*|-\d+))*\s*")


class ArtifactResponse(FileResponse):
    """Starlette's file response, whose end is sent only after another check of the file.

    The file is checked before the response is made. A file that changes while it is sent fails the second check:
    the connection breaks before the last bytes, so no client takes them for a complete answer.

    A `Range` that is malformed or in another unit than bytes is ignored (RFC 9110, 14.2); Starlette refuses it.

    `check` raises JobError if the file's content is not what was recorded; it is called in a thread.
    """

    def __init__(
        self, path: Path, check: Callable[[], None], *, headers: Mapping[str, str], media_type: str, filename: str
    ) -> None:
        super().__init__(path, headers=headers, media_type=media_type, filename=filename)
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or the ranges that were asked for."""
        headers = [(name, value) for name, value in scope["headers"] if name != b"range" or RANGES.fullmatch(value)]
        scope = {**scope, "headers": headers}
        held: list[Message] = []
        beyond: list[str] = []

        async def send_checked(message: Message) -> None:
            if message.get("status") == UNSATISFIABLE:
                beyond.append(dict(message["headers"])[b"content-range"].decode())
            if beyond:
                return  # a problem is sent in place of Starlette's empty answer
            last = message["type"] != "http.response.start" and not message.get("more_body")
            if last:
                await run_sync(self._check)
            # The last message may be empty, so the one before it waits for the check as well.
            for ready in (*held, *([message] if last else [])):
                reach("download.piece")
                await send(ready)
            held[:] = [message]

        await super().__call__(scope, receive, send_checked)
        if beyond:
            detail = f"The range lies beyond the file, which has {beyond[0].removeprefix('bytes */')} bytes."
            problem = answer(Request(scope), UNSATISFIABLE, "range-not-satisfiable", detail, [])
            problem.headers["Content-Range"] = beyond[0]
            await problem(scope, receive, send)
