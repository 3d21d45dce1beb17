"""A file that is served in ranges, with its errors as problems."""

from __future__ import annotations

import re

from fastapi.responses import FileResponse
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.faults import reach
from app.problems import answer

UNSATISFIABLE = 416
RANGES = re.compile(rb"bytes=\s*(\d+-\d*|-\d+)(\s*,\s*(\d+-\d*|-\d+))*\s*")


class RangedFile(FileResponse):
    """Starlette's file response, but for two things that RFC 9110 and RFC 9457 ask for.

    A `Range` in another unit than bytes, or that is none, is ignored (RFC 9110, 14.2), and one that lies beyond
    the file is answered with a problem instead of an empty text.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or the part that was asked for."""
        asked = [(name, value) for name, value in scope["headers"] if name != b"range" or RANGES.fullmatch(value)]
        scope = {**scope, "headers": asked}
        refused = False

        async def watched(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] == UNSATISFIABLE:
                refused = True
                content_range = dict(message["headers"]).get(b"content-range", b"").decode()
                detail = f"The range lies beyond the file, which has {content_range.removeprefix('bytes */')} bytes."
                problem = answer(Request(scope), UNSATISFIABLE, "range-not-satisfiable", detail, [])
                problem.headers["Content-Range"] = content_range
                await problem(scope, receive, send)
            elif not refused:
                reach("download.piece")
                await send(message)

        await super().__call__(scope, receive, watched)
