"""HTML answers: pages with a strict content security policy, and the files that they load."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.pages.templating import STATIC_FOLDERS

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Everything comes from this service, and nothing that is injected into a page can run."""

DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; frame-ancestors 'none'"
)
"""Swagger UI and Redoc write styles into their pages, and Redoc searches in a worker."""

STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def page_answer(html: str, policy: str = PAGE_POLICY, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """Build the answer that carries a page."""
    safe = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-cache",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(html, headers={**safe, **(headers or {})})


def prefers_html(accept: str) -> bool:
    """Tell whether an `Accept` header wants a page rather than JSON (RFC 9110, 12.5.1).

    Only a header that names `text/html` does: programs send `*/*` or nothing.
    """
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        weights[name] = float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 0.0
    json = max((weight for name, weight in weights.items() if name.endswith(("/json", "+json"))), default=0.0)
    return weights.get("text/html", 0.0) > json


def file_policy(html: str) -> str:
    """Return the policy of a page that holds its own style sheet and loads nothing.

    The style sheet is allowed by its digest (CSP Level 3, 6.7.3).
    """
    digests = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in STYLE.findall(html)]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; style-src {allowed}; img-src data:; base-uri 'none'; frame-ancestors 'none'"


class PageFiles(StaticFiles):
    """Style sheets and scripts of the pages.

    A file that lies there as `<name>.gz` is sent compressed to clients that take it so.
    """

    def __init__(self) -> None:
        super().__init__(directory=STATIC_FOLDERS[0])
        self.all_directories = list(STATIC_FOLDERS)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file, or its compressed form."""
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or path.endswith(".gz"):
                raise
            response = _uncompressed(await super().get_response(f"{path}.gz", scope), path, scope)
        response.headers["Cache-Control"] = "no-cache"  # the browser asks whether its copy is still right
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _uncompressed(response: Response, path: str, scope: Scope) -> Response:
    """Name a compressed file's own type, and unpack it for clients that do not take gzip."""
    if not isinstance(response, FileResponse):  # such as 304
        return response
    media_type = "text/css" if path.endswith(".css") else "text/javascript"
    if "gzip" in Headers(scope=scope).get("Accept-Encoding", ""):
        response.headers.update({"Content-Encoding": "gzip", "Content-Type": f"{media_type}; charset=utf-8"})
    else:
        etag = response.headers["ETag"].rstrip('"') + '-plain"'
        content = gzip.decompress(Path(response.path).read_bytes())
        response = Response(content, media_type=media_type, headers={"ETag": etag})
    response.headers["Vary"] = "Accept-Encoding"
    return response
