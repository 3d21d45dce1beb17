"""Parameters and headers that several routes take."""

from __future__ import annotations

import re
import secrets
from typing import Annotated

from fastapi import Depends, Header, Path, Query

from app.logs import bind

MAX_WAIT_S = 60.0
"""Longest time that a request may be held; a longer `wait` is shortened to it."""

JobId = Annotated[str, Path(description="As the answer to its submission says.")]
SetName = Annotated[str, Path(description="Of the folder, below the data directory.")]
DatasetName = Annotated[str, Query(description="A data set of `datasets.toml`.")]
Wait = Annotated[float, Query(ge=0, description="Seconds to hold the answer until something changes.")]

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""W3C Trace Context, 3.2.2: version, trace-id, parent-id, flags; later versions may append more."""


def traceparent_of(header: str | None) -> str:
    """Return a well-formed `traceparent` header, else a new one.

    Section 3.2.2.3 has a header that is not well formed ignored.
    """
    if header is not None and TRACEPARENT.fullmatch(header) and (header[:2] != "00" or len(header) == 55):
        return header
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


# async: a plain function would run in a thread, and the fields that it binds would end with that.
async def _of_request(traceparent: Annotated[str | None, Header(description="W3C Trace Context.")] = None) -> str:
    trace = traceparent_of(traceparent)
    bind(traceparent=trace)
    return trace


Traceparent = Annotated[str, Depends(_of_request)]
