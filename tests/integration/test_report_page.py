"""The report page of a real service, over HTTP and in a real browser."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.integration.browser import CHROMIUM, Browser, chromium
from tests.integration.workspace import CLASSES, Service, Workspace, serving

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look at the page with")

ALL = "[...document.querySelectorAll('body *:not(thead *, .scroll *)')]"
WIDE = ALL + ".filter(e => e.getBoundingClientRect().right > {}).length"


@pytest.fixture(scope="module")
def job(service: Service, workspace: Workspace) -> Iterator[str]:
    """A verification of two experts on one split: one is right, the other has targets of its own."""
    indices = json.loads((workspace.splits / "test_indices.json").read_text())
    labels = workspace.images("test")[1][indices]
    place = httpx.post(f"{service.url}/uploads").headers["Location"]
    for expert, seen in (("right", labels), ("turned_round_with_a_long_name", (labels + 1) % CLASSES)):
        logits = np.random.default_rng(0).normal(size=(len(labels), CLASSES)).astype(np.float32)
        logits[np.arange(len(labels)), seen] += 5
        body = io.BytesIO()
        np.savez(body, logits=logits, targets=seen, predictions=logits.argmax(-1))
        httpx.put(f"{service.url}{place}/{expert}/test_logits.npz", content=body.getvalue()).raise_for_status()
    asked = {"dataset": "tiny", "upload": place.rsplit("/", 1)[1]}
    submitted = httpx.post(f"{service.url}/verifications", json=asked).raise_for_status().json()
    ended: dict[str, Any] = httpx.get(f"{service.url}/verifications/{submitted['id']}?wait=30", timeout=60).json()
    while ended["state"] in ("queued", "running"):
        ended = httpx.get(f"{service.url}/verifications/{submitted['id']}?wait=30", timeout=60).json()
    yield str(ended["id"])
    httpx.delete(f"{service.url}/jobs/{ended['id']}").raise_for_status()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


def test_the_page_of_an_ended_job_is_whole(service: Service, job: str) -> None:
    """Intervals, curves and causes were waited for; nothing is to be loaded or looked at again."""
    answer = service.get(f"/jobs/{job}/report")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "Refresh" not in answer.headers
    assert answer.text.count('<span class="interval">') >= 5  # of the right expert
    # With the train labels there are three kinds of curves; the others are of shifted priors and of the splits.
    assert answer.text.count('<svg class="chart"') == 3 + 2 + 1 + 1
    assert "Of the file&#39;s own targets" in answer.text


def test_a_job_that_is_not_there_has_no_page(service: Service) -> None:
    """It is a problem like any other, not an empty page."""
    answer = service.get("/jobs/none/report")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_a_job_that_waits_says_so_and_is_looked_at_again(tmp_path: Path, workspace: Workspace) -> None:
    """Without a worker a verification stays queued; the browser is told to come back."""
    outputs = tmp_path / "outputs"
    (outputs / "old" / "a").mkdir(parents=True)
    (outputs / "old" / "a" / "val_logits.npz").write_bytes(b"anything")
    with serving(workspace.settings.model_copy(update={"outputs_dir": outputs})) as client:
        submitted = client.post("/verifications", json={"dataset": "tiny", "path": "old"}).json()
        answer = client.get(f"/jobs/{submitted['id']}/report")
    assert "The verification is queued." in answer.text
    assert (answer.headers["Refresh"], answer.headers["Retry-After"]) == ("3", "3")


@needs_chromium
def test_a_browser_shows_the_verdict_and_needs_nothing_else(service: Service, job: str, browser: Browser) -> None:
    """No console message, no script error, and no request but for the page."""
    url = f"{service.url}/jobs/{job}/report"
    browser.open(url)
    assert browser.value("document.querySelector('h1').innerText") == "Failed"
    assert browser.value("document.querySelector('.sentence').innerText").startswith("1 of 2 results failed")
    findings = browser.value("document.querySelector('main section').innerText")
    assert "error: targets test: turned_round_with_a_long_name" in findings
    assert [sent["request"]["url"] for sent in browser.seen("Network.requestWillBeSent")] == [url]
    for trouble in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
        assert browser.seen(trouble) == []


@needs_chromium
@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_overflows(service: Service, job: str, browser: Browser, width: int) -> None:
    """On a phone as on a desk the page is as wide as the window, and so is everything on it."""
    browser.open(f"{service.url}/jobs/{job}/report", width=width)
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.value(WIDE.format(width)) == 0


@needs_chromium
def test_the_page_follows_the_readers_light(service: Service, job: str, browser: Browser) -> None:
    """Dark paper and light ink where the reader prefers that."""
    colours = []
    for scheme in ("light", "dark"):
        browser.open(f"{service.url}/jobs/{job}/report", scheme=scheme)
        style = "getComputedStyle(document.{})"
        paper = browser.value(style.format("body") + ".backgroundColor")
        ink = browser.value(style.format("querySelector('.chart')") + ".fill")
        colours.append((paper, ink))
    assert colours == [("rgb(255, 255, 255)", "rgb(27, 27, 27)"), ("rgb(22, 22, 22)", "rgb(232, 232, 232)")]
