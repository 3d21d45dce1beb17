"""The trace that a request belongs to, so that logs of several programs can be held together (W3C Trace Context)."""

from __future__ import annotations

import re
import secrets
from typing import Annotated

from fastapi import Depends, Header

from app.logs import bind

FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""Section 3.2.2: version, trace-id, parent-id, flags; a later version may have more after them."""


def traceparent_of(given: str | None) -> str:
    """The trace that a caller named; a new one where there is none, or none that is well formed (section 3.2.2.3)."""
    if given is not None and FORM.fullmatch(given) and (given[:2] != "00" or len(given) == 55):
        return given
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


# async: what a plain function binds, in a thread, would end with it.
async def _of_request(traceparent: Annotated[str | None, Header(description="W3C Trace Context.")] = None) -> str:
    trace = traceparent_of(traceparent)
    bind(traceparent=trace)
    return trace


Traceparent = Annotated[str, Depends(_of_request)]
