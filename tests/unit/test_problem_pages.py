"""Errors are pages for people and problems for programs, with the same status."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from app.api.html import PAGE_POLICY, prefers_html
from tests.fakes import Home

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PAGES = {
    "/ui/jobs/none": 404,
    "/ui/jobs?state=lost": 422,
    "/ui/splits/digits_splits": 422,
    "/ui/experts/none?dataset=none": 422,
    "/jobs/none/report": 404,
    "/nowhere": 404,
    "/static/none.css": 404,
}


def ask(app: FastAPI, url: str, accept: str) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get(url, headers={"Accept": accept})

    return asyncio.run(run())


@pytest.mark.parametrize("url", PAGES)
def test_a_browser_gets_a_page_and_a_program_a_problem(app: FastAPI, home: Home, url: str) -> None:
    """Both say the same, and no cache takes one for the other."""
    page, problem = ask(app, url, BROWSER), ask(app, url, "*/*")
    assert page.status_code == problem.status_code == PAGES[url]
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert page.headers["Content-Security-Policy"] == PAGE_POLICY
    assert page.headers["Vary"] == problem.headers["Vary"] == "Accept"
    assert problem.json()["detail"].replace("'", "&#39;").replace('"', "&#34;") in page.text
    assert 'href="/"' in page.text


@pytest.mark.parametrize("url", ["/jobs/none", "/jobs?limit=none", "/experts/none?dataset=none"])
def test_the_api_answers_problems_to_browsers_too(app: FastAPI, home: Home, url: str) -> None:
    assert ask(app, url, BROWSER).headers["Content-Type"] == "application/problem+json"


def test_what_was_asked_for_is_escaped(app: FastAPI, home: Home) -> None:
    """An address cannot put markup into the page."""
    assert "<script>alert" not in ask(app, "/ui/jobs/%3Cscript%3Ealert(1)%3C%2Fscript%3E", BROWSER).text


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("text/html;q=0.5, application/json", False),
        ("application/problem+json, text/html;q=0.9", False),
        ("application/json;q=0.2, text/html;q=0.9", True),
        ("text/html;q=0", False),
        ("text/html;q=often", False),
        ("*/*", False),
        ("text/*", False),
        ("", False),
        (";,;q=,", False),
    ],
)
def test_only_a_header_that_names_html_before_json_wants_a_page(accept: str, html: bool) -> None:
    """RFC 9110, 12.5.1: weights decide; a wrong one counts as none."""
    assert prefers_html(accept) == html
