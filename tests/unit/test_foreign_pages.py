"""A page of another site can change nothing, while the own pages and plain clients can."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

OWN: tuple[dict[str, str], ...] = (
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://test"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy"},  # a proxy that rewrites Host
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://test"},
)
FOREIGN: tuple[dict[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://test:8001"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://test:8001"},
    {"Origin": "http://test.evil.example"},
    {"Origin": "null"},
)


def ask(app: FastAPI, method: str, url: str, headers: dict[str, str]) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, url, headers=headers)

    return asyncio.run(run())


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_page_changes_nothing(app: FastAPI, headers: dict[str, str]) -> None:
    """Neither by a body-less POST, which browsers send without asking, nor by any other method."""
    for method, url in (("POST", "/gc"), ("POST", "/uploads"), ("POST", "/jobs/x/cancel"), ("DELETE", "/jobs/x")):
        answer = ask(app, method, url, headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign-page"), (method, url)


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_page_may_link_here(app: FastAPI, headers: dict[str, str]) -> None:
    """What changes nothing is answered: the browser keeps the answer from the other site's scripts."""
    assert ask(app, "GET", "/", headers).status_code == 200
    assert ask(app, "HEAD", "/", headers).status_code == 200


@pytest.mark.parametrize("headers", OWN)
def test_own_pages_and_plain_clients_may_change_things(app: FastAPI, headers: dict[str, str]) -> None:
    """A request without any of the headers comes from no browser."""
    assert ask(app, "POST", "/gc", headers).status_code == 200
    assert ask(app, "POST", "/jobs/x/cancel", headers).status_code == 404
