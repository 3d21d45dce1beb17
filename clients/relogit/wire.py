"""HTTP requests to one server, and their failures as the client's errors."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from relogit.errors import InvalidServer, Problem, ServerUnreachable

CONNECT_S = 5.0


class Wire:
    """A connection pool to one server.

    A path in the server's URL becomes a prefix of every request.

    Raises:
        InvalidServer: `server` is not such a URL.
    """

    def __init__(self, server: str, *, transport: httpx.BaseTransport | None, timeout_s: float) -> None:
        self.server = server
        self.timeout_s = timeout_s
        url = _parse_url(server)
        self._http = httpx.Client(
            base_url=url,
            transport=transport,
            timeout=self._timeout(0.0),
            # A proxy from the environment cannot reach the loopback address of this machine.
            trust_env=not _is_loopback(url.host),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, *, params: Mapping[str, Any] | None = None, hold_s: float = 0.0) -> dict[str, Any]:
        """Get the JSON object at `path`.

        Parameters that are None are left out. The server may hold the answer back for `hold_s` seconds on purpose.
        """
        query = without_none(params or {})
        return self._object(self._send("GET", path, params=query, timeout=self._timeout(hold_s)))

    def get_list(self, path: str, key: str, *, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Get the JSON list under `key` at `path`."""
        items = self.get(path, params=params).get(key)
        if not isinstance(items, list):
            raise self._not_relogit(f"{path} lists no {key}")
        return items

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, hold_s: float = 0.0) -> dict[str, Any]:
        """Post `body` as JSON; return the answer's JSON object.

        The answer may take `hold_s` seconds longer than the timeout.
        """
        return self._object(self._send("POST", path, json=body, timeout=self._timeout(hold_s)))

    def put(self, path: str, chunks: Iterable[bytes]) -> None:
        """Stream the chunks to `path` by PUT."""
        self._send("PUT", path, content=chunks)

    def delete(self, path: str) -> None:
        """Delete the resource at `path`."""
        self._send("DELETE", path)

    def probe(self, path: str) -> dict[str, Any]:
        """Get a health report, whose status is 200 or 503."""
        return self._object(self._send("GET", path, accept=(200, 503)))

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """Stream the body at `path` in chunks."""
        with self._translated_errors(), self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                raise _problem(response)
            yield response.iter_bytes()

    def _send(self, method: str, path: str, *, accept: tuple[int, ...] = (), **kwargs: Any) -> httpx.Response:
        with self._translated_errors():
            response = self._http.request(method, path, **kwargs)
        if not response.is_success and response.status_code not in accept:
            raise _problem(response)
        return response

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        body = _json_or_none(response)
        if not isinstance(body, dict):
            raise self._not_relogit("the answer is not a JSON object")
        return body

    def _not_relogit(self, why: str) -> ServerUnreachable:
        return ServerUnreachable(self.server, f"something answers there, but it is not a relogit server ({why}).")

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise ServerUnreachable(self.server, f"no answer in time ({type(error).__name__}).") from error
        except httpx.RequestError as error:
            raise ServerUnreachable(self.server, f"{error or type(error).__name__}.") from error

    def _timeout(self, hold_s: float) -> httpx.Timeout:
        return httpx.Timeout(self.timeout_s, connect=min(CONNECT_S, self.timeout_s), read=self.timeout_s + hold_s)


def segment(name: str) -> str:
    """Escape a name, slashes included, as one URL segment."""
    # URL parsers resolve segments of dots alone (RFC 3986, 5.2.4). Escaped, they reach the server, which refuses.
    return name.replace(".", "%2E") if name in (".", "..") else quote(name, safe="")


def segments(path: str) -> str:
    """Escape each part of a relative path for a URL."""
    return "/".join(segment(part) for part in path.split("/"))


def without_none(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def _parse_url(server: str) -> httpx.URL:
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL as error:
        raise InvalidServer(f"The server {server!r} is not a URL: {error}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidServer(
            f"The server {server!r} is not an http:// or https:// URL; write it like http://127.0.0.1:8000."
        )
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # the host is a name, not an address
        return False


def _json_or_none(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _problem(response: httpx.Response) -> Problem:
    body = _json_or_none(response)
    if isinstance(body, dict) and isinstance(body.get("detail"), str):
        return Problem(response.status_code, body)
    status = f"{response.status_code} {response.reason_phrase}".strip()
    detail = f"{response.request.url} answered {status} without a reason; is it a relogit server?"
    return Problem(response.status_code, {"title": response.reason_phrase, "detail": detail})
