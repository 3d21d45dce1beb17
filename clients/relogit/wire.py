"""HTTP and nothing else: one place sends requests, one place turns failures into errors."""

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

    Args:
        server: its http:// or https:// URL; a path in it is kept as a prefix.
        transport: what carries the requests; the network, if None.
        timeout_s: seconds to wait for an answer.

    Raises:
        InvalidServer: `server` is no such URL.
    """

    def __init__(self, server: str, *, transport: httpx.BaseTransport | None, timeout_s: float) -> None:
        self.server = server
        self.timeout_s = timeout_s
        url = _parse(server)
        self._http = httpx.Client(
            base_url=url,
            transport=transport,
            timeout=self._timeout(0.0),
            # A proxy of the environment could never reach the caller's own loopback.
            trust_env=not _is_loopback(url.host),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, *, params: Mapping[str, Any] | None = None, hold_s: float = 0.0) -> dict[str, Any]:
        """The JSON object at `path`; params that are None are left out.

        `hold_s` is how long the server may hold the answer back on purpose.
        """
        response = self._send("GET", path, params=_given(params), timeout=self._timeout(hold_s))
        return self._object(response)

    def get_list(self, path: str, key: str, *, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The list that stands under `key` in the JSON object at `path`."""
        listed = self.get(path, params=params).get(key)
        if not isinstance(listed, list):
            raise self._stranger(f"{path} lists no {key}")
        return listed

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, hold_s: float = 0.0) -> dict[str, Any]:
        """Post `body` as JSON; the JSON object of the answer, which may take `hold_s` longer than others."""
        return self._object(self._send("POST", path, json=body, timeout=self._timeout(hold_s)))

    def put(self, path: str, chunks: Iterable[bytes]) -> None:
        """Put the chunks as one body at `path`; they are taken one after another, never whole in memory."""
        self._send("PUT", path, content=chunks)

    def delete(self, path: str) -> None:
        """Delete what is at `path`."""
        self._send("DELETE", path)

    def probe(self, path: str) -> dict[str, Any]:
        """The JSON object at `path`, whether it comes with 200 or 503, as health reports do."""
        return self._object(self._send("GET", path, accept=(200, 503)))

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """The body at `path` in chunks, never whole in memory."""
        with self._reachable(), self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                raise _problem(response)
            yield response.iter_bytes()

    def _send(self, method: str, path: str, *, accept: tuple[int, ...] = (), **kwargs: Any) -> httpx.Response:
        with self._reachable():
            response = self._http.request(method, path, **kwargs)
        if not response.is_success and response.status_code not in accept:
            raise _problem(response)
        return response

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        body = _json(response)
        if not isinstance(body, dict):
            raise self._stranger("no JSON object came back")
        return body

    def _stranger(self, why: str) -> ServerUnreachable:
        return ServerUnreachable(self.server, f"something answers there, but it is no relogit server ({why}).")

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise ServerUnreachable(self.server, f"no answer in time ({type(error).__name__}).") from error
        except httpx.RequestError as error:
            raise ServerUnreachable(self.server, f"{error or type(error).__name__}.") from error

    def _timeout(self, hold_s: float) -> httpx.Timeout:
        return httpx.Timeout(self.timeout_s, connect=min(CONNECT_S, self.timeout_s), read=self.timeout_s + hold_s)


def segment(name: str) -> str:
    """A name as one segment of a URL path: a slash or a percent sign in it stays part of the name."""
    # Dots alone would be taken for the way up (RFC 3986, 5.2.4); escaped, they are the server's to refuse.
    return name.replace(".", "%2E") if name in (".", "..") else quote(name, safe="")


def _given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _parse(server: str) -> httpx.URL:
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
    except ValueError:  # a name, not an address
        return False


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _problem(response: httpx.Response) -> Problem:
    body = _json(response)
    if isinstance(body, dict) and isinstance(body.get("detail"), str):
        return Problem(response.status_code, body)
    answered = f"{response.status_code} {response.reason_phrase}".strip()
    return Problem(
        response.status_code,
        {
            "title": response.reason_phrase,
            "detail": f"{response.request.url} answered {answered} without saying why; is it a relogit server?",
        },
    )
