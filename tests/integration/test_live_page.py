"""The live page as a reader uses it: in a real browser, by keyboard, with a service that computes."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest

from tests.integration.browser import CHROMIUM, Browser, chromium
from tests.integration.slow_jobs import SLOW
from tests.integration.workspace import Service, Workspace, build, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look at the pages with"),
]

LONG_NAME = "an_expert_with_a_name_that_is_much_too_long_for_a_phone_and_for_most_tables"
IMAGES = 2000
OUTSIDE = (
    "[...document.querySelectorAll('body *:not(thead *):not(.scroll *):not(.skip):not(.unseen)')]"
    ".filter(e => e.getBoundingClientRect().right > {} + 0.5).map(e => e.outerHTML.slice(0, 80))"
)
"""Elements that leave the window; wide tables scroll within their own frame."""
UNNAMED = (
    "[...document.querySelectorAll('a, button, input, select, progress')]"
    ".filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels && e.labels.length))"
    ".map(e => e.outerHTML.slice(0, 80))"
)
"""Elements that a screen reader has no name for."""
MOST_DONE = "Math.max(...[...document.querySelectorAll('[id^=unit-] progress')].map(e => e.value))"
STATE = "document.querySelector('.sentence .state').innerText"
PAPERS = {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 22, 22)"}


@dataclass(frozen=True)
class Reader:
    """A browser at a service."""

    browser: Browser
    service: Service

    def open(self, path: str, *, width: int = 1280, scheme: str = "light") -> None:
        self.browser.open(self.service.url + path, width=width, scheme=scheme)

    def check(self) -> None:
        """No message in the console, and no request to another host, since the page was opened."""
        for trouble in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            assert self.browser.seen(trouble) == []
        urls = [sent["request"]["url"] for sent in self.browser.seen("Network.requestWillBeSent")]
        own = (f"{self.service.url}/", f"blob:{self.service.url}/", "data:")
        assert [url for url in urls if not url.startswith(own)] == []

    def path(self) -> str:
        url: str = self.browser.value("location.href")
        return url.removeprefix(self.service.url)

    def activate(self, selector: str) -> None:
        """Go to an element with Tab, and press Enter."""
        self.browser.tab_to(selector)
        self.browser.press("Enter")

    def wait_ended(self, timeout_s: float = 30) -> str:
        """Wait until the job page says that its job has ended; return the state."""
        self.browser.wait_for(f"/succeeded|failed|cancelled/.test({STATE})", timeout_s)
        return str(self.browser.value(STATE)).split()[-1]

    def submit(self, experts: list[str], splits: list[str]) -> str:
        body = {"dataset": "tiny", "experts": experts, "splits": splits, "reuse": False}
        answer = httpx.post(f"{self.service.url}/jobs", json=body).raise_for_status()
        return str(answer.json()["id"])

    def job(self, job: str) -> dict[str, Any]:
        body: dict[str, Any] = self.service.get(f"/jobs/{job}").json()
        return body


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Quick experts, a slow one and one with a long name; the list `long` keeps them busy."""
    workspace = build(tmp_path_factory.mktemp("live"))
    workspace.save_images("test", IMAGES, size=32)
    workspace.save_split("long", list(range(IMAGES)))
    workspace.save_expert("best_slow", 3, SLOW)
    workspace.save_expert(f"best_{LONG_NAME}", 4)
    return workspace


@pytest.fixture(scope="module")
def reader(installation: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with running(installation) as service, chromium(tmp_path_factory.mktemp("chromium")) as browser:
        service.wait_ready()
        yield Reader(browser, service)


@pytest.fixture(scope="module")
def done(reader: Reader) -> str:
    """A job of two experts on `val` and `test` that has ended."""
    job = reader.submit(["alpha", LONG_NAME], ["val", "test"])
    while (state := reader.job(job)["state"]) in ("queued", "running"):
        time.sleep(0.1)
    assert state == "succeeded"
    return job


def test_cells_are_chosen_planned_run_and_watched_by_keyboard(reader: Reader) -> None:
    """From the empty matrix to the report and back, without a mouse and without a reload."""
    browser = reader.browser
    reader.open("/?dataset=tiny")
    reader.activate("#cells [type=submit]")
    browser.wait_for("document.querySelector('#plan').innerText.includes('Nothing is selected')")
    browser.value("document.activeElement.blur()")
    for name in ("alpha", "slow"):
        cell = f"[name=cell][value='{name}/long']"
        assert "missing" in browser.value(f'document.querySelector("{cell}").ariaLabel')
        browser.tab_to(f'[name=cell][value="{name}/long"]')
        browser.press(" ")
    reader.activate("#cells [type=submit]")
    plan = browser.wait_for("document.querySelector('#plan .finding')?.innerText")
    assert f"{2 * IMAGES:,} forward passes" in plan
    assert "time unknown" in plan
    reader.check()
    reader.activate("#plan .primary")
    browser.wait_for("location.pathname.startsWith('/ui/jobs/')")
    browser.wait_for("document.querySelectorAll('#live progress').length")
    browser.value("window.kept = true")  # gone after a reload
    seen: set[int] = set()
    while "running" in (state := browser.wait_for(STATE)) or "queued" in state:
        seen.add(browser.value(MOST_DONE))
        time.sleep(0.05)
    assert len(seen - {0, IMAGES}) >= 1, seen
    assert reader.wait_ended() == "succeeded"
    assert browser.value("window.kept")
    reader.check()
    reader.activate("a[href$='/report']")
    browser.wait_for("location.pathname.endsWith('/report') && document.querySelector('h1.verdict')")
    browser.value("history.back()")
    browser.wait_for("location.pathname.startsWith('/ui/jobs/')")
    browser.value("history.back()")
    browser.wait_for("location.pathname === '/' && document.querySelector('#cells')")
    for name in ("alpha", "slow"):
        cell = f"document.querySelector(\"[value='{name}/long']\")"
        browser.wait_for(f"{cell}.dataset.state === 'kept' && !{cell}.checked")
    reader.check()


def test_two_experts_are_compared_by_keyboard(reader: Reader, done: str) -> None:
    """Choosing two plans the comparison; its job page leads to the report."""
    browser = reader.browser
    reader.open("/ui/comparisons")
    for side, expert in (("a", "alpha"), ("b", LONG_NAME)):
        browser.tab_to(f"#{side}")
        for _ in range(20):
            if browser.value(f"document.querySelector('#{side}').value") == f"{done}:{expert}":
                break
            browser.press("ArrowDown")
    plan = browser.wait_for("document.querySelector('#plan:has([data-post])')?.innerText")
    assert "0 forward passes" in plan
    reader.activate("#plan [data-post]")
    browser.wait_for("location.pathname.startsWith('/ui/jobs/') && document.querySelector('.sentence')")
    assert reader.wait_ended() == "succeeded"
    reader.activate("a[href$='/report']")
    heading = browser.wait_for("location.pathname.endsWith('/report') && document.querySelector('h1')?.innerText")
    assert heading
    reader.check()


def test_results_are_downloaded_from_the_job_page(reader: Reader, done: str) -> None:
    """Each link gives a file of logits."""
    reader.open(f"/ui/jobs/{done}")
    links = reader.browser.value("[...document.querySelectorAll('a[download]')].map(e => e.getAttribute('href'))")
    assert len(links) == 5  # four files, and all of them in an archive
    for link in links:
        answer = reader.service.get(link).raise_for_status()
        if "artifacts" in link:
            with np.load(io.BytesIO(answer.content)) as file:
                assert file["logits"].shape == (10 if link.endswith("val") else 40, 4)
    reader.check()


def test_the_command_is_copied(reader: Reader, done: str) -> None:
    """What the button puts on the clipboard is the command that is shown."""
    browser = reader.browser
    reader.open(f"/ui/jobs/{done}")
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    browser.call("Browser.grantPermissions", origin=reader.service.url, permissions=permissions)
    browser.call("Emulation.setFocusEmulationEnabled", enabled=True)
    reader.activate("summary")
    reader.activate("[data-copy]")
    browser.wait_for("document.querySelector('[data-copy]').innerText === 'Copied'")
    read = browser.call("Runtime.evaluate", expression="navigator.clipboard.readText()", awaitPromise=True)
    command = read["result"]["value"]
    assert command == browser.value("document.querySelector('.copied pre').innerText")
    assert command.startswith("relogit recompute ")
    reader.check()


def test_a_running_job_is_cancelled_from_its_page(reader: Reader) -> None:
    """The page says that it stops, and then that it was cancelled."""
    job = reader.submit(["slow", "alpha"], ["long"])
    reader.open(f"/ui/jobs/{job}")
    reader.activate("[data-post$='/cancel']")
    assert reader.wait_ended() == "cancelled"
    assert reader.job(job)["state"] == "cancelled"
    assert reader.browser.value("document.querySelector('#answer').innerText") == ""
    reader.check()


def test_a_page_without_events_asks_again(reader: Reader) -> None:
    """Where a proxy lets no server-sent events through, the page polls."""
    browser = reader.browser
    browser.call("Network.setBlockedURLs", urls=["*/events"])
    try:
        job = reader.submit(["slow"], ["long"])
        reader.open(f"/ui/jobs/{job}")
        assert browser.value(STATE).split()[-1] in ("queued", "running")
        assert reader.wait_ended() == "succeeded"
        assert browser.seen("Network.loadingFailed")  # the events, of which nothing came
    finally:
        browser.call("Network.setBlockedURLs", urls=[])


def test_a_refused_request_says_why_beside_its_button(reader: Reader, installation: Workspace, done: str) -> None:
    """A checkpoint that is gone is named where the job was asked for again."""
    file = installation.experts / f"best_{LONG_NAME}.pth"
    aside = file.rename(file.with_suffix(".aside"))
    try:
        reader.open(f"/ui/jobs/{done}")
        reader.activate("[data-post='/jobs']")
        said = reader.browser.wait_for("document.querySelector('#answer').innerText")
        assert LONG_NAME in said
        assert reader.path() == f"/ui/jobs/{done}"
        assert not reader.browser.value("document.querySelector('[data-post=\"/jobs\"]').disabled")
    finally:
        aside.rename(file)


def test_every_page_fits_and_follows_the_readers_light(reader: Reader, done: str) -> None:
    """On a phone and on a desk, light and dark; every control has a name."""
    pages = [
        "/", "/ui/jobs", f"/ui/jobs/{done}", f"/jobs/{done}/report", "/ui/experts",
        f"/ui/experts/{LONG_NAME}?dataset=tiny", "/ui/splits", "/ui/splits/tiny_splits?dataset=tiny",
        "/ui/comparisons",
    ]  # fmt: skip
    for path in pages:
        for width, scheme in ((390, "dark"), (1280, "light")):
            reader.open(path, width=width, scheme=scheme)
            browser = reader.browser
            assert browser.value("document.documentElement.scrollWidth") == width, path
            assert browser.value(OUTSIDE.format(width)) == [], path
            assert browser.value("getComputedStyle(document.body).backgroundColor") == PAPERS[scheme], path
            assert browser.value("document.querySelectorAll('h1').length") == 1, path
            assert browser.value(UNNAMED) == [], path
            reader.check()


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_api_is_shown_without_another_host(reader: Reader, path: str) -> None:
    """Swagger UI and Redoc draw every operation from files of the service."""
    reader.open(path)
    reader.browser.wait_for("document.body.innerText.includes('/verifications')")
    reader.check()


@pytest.mark.parametrize("path", ["/ui/jobs/none", "/ui/experts/none?dataset=tiny", "/nowhere"])
def test_a_page_that_is_not_there_says_so_as_a_page(reader: Reader, path: str) -> None:
    """A reader gets words and a way back, with the status that a program gets."""
    reader.open(path, width=390)
    received = reader.browser.seen("Network.responseReceived")
    [answer] = [seen["response"] for seen in received if seen["type"] == "Document"]
    assert (answer["status"], answer["mimeType"]) == (404, "text/html")
    assert reader.browser.value("document.querySelector('h1').innerText") == "Not Found"
    assert reader.browser.value("document.documentElement.scrollWidth") == 390
    reader.activate("main a[href='/']")
    reader.browser.wait_for("location.pathname === '/' && document.querySelector('#matrix')")
