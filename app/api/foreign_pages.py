"""Requests that a browser sends for a page of another site: they may change nothing here."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from app.domain.errors import RequestError

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""


class ForeignPage(RequestError):
    """A page of another site asks for a change."""


async def refuse_foreign_pages(request: Request) -> None:
    """Refuse changes that a page of another site asks for.

    A browser lets any site send simple POSTs to a service on loopback, such as `POST /gc`, and says where they come
    from: in `Sec-Fetch-Site`, or, without TLS on other hosts than loopback, only in `Origin`. A request with neither
    is no browser's.

    Raises:
        ForeignPage: `foreign-page`.
    """
    if request.method in SAFE:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    host = request.headers.get("Host", "")
    own = site in ("same-origin", "none") if site else origin is None or urlsplit(origin).netloc == host
    if not own:
        message = (
            f"A page of another site ({origin or site}) asks for a change; only pages of {host} may. "
            "A proxy before the service has to pass the Host header on as it is."
        )
        raise ForeignPage("foreign-page", message, origin=origin, host=host)
