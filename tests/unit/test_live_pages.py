"""Every page of the service answers for every job, and holds nothing that a browser would have to fetch elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import re

import httpx
import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.api.html import DOCS_POLICY, PAGE_POLICY
from app.pages.templating import STATIC_FOLDERS
from tests.fakes import Home
from tests.unit.asgi import send
from tests.unit.run_world import RunWorld

VENDOR = STATIC_FOLDERS[0] / "vendor"
ADDRESS = re.compile(r"https?://(?!test/)[\w.]+")
PAGES = ("/", "/ui/live", "/ui/matrix", "/ui/jobs", "/ui/jobs?state=succeeded", "/ui/splits", "/ui/plan?cell=ce/val")


@pytest.fixture
def world(home: Home, services: Services) -> RunWorld:
    return RunWorld.make(home, services)


def page(app: FastAPI, url: str, status: int = 200) -> httpx.Response:
    answer = send(app, "GET", url)
    assert answer.status_code == status, answer.text
    return answer


def check_page(answer: httpx.Response) -> None:
    """No script or style in it, no foreign address, and a policy that would stop both."""
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", answer.text)
    assert not ADDRESS.search(answer.text)


def test_every_page_is_whole_by_itself(app: FastAPI, world: RunWorld) -> None:
    """For no job at all, and for one of every kind."""
    for url in PAGES:
        check_page(page(app, url))
    run = world.run()
    kinds = {job.request.kind for job in world.services.jobs.jobs()}
    assert kinds == {"run", "recompute", "gating", "rejector", "evaluation"}
    for url in PAGES:
        check_page(page(app, url))
    for job in world.services.jobs.jobs():
        answer = page(app, f"/ui/jobs/{job.id}")
        check_page(answer)
        assert f'data-delete="/jobs/{job.id}"' in answer.text
    assert "5 of 6 steps" not in page(app, f"/ui/jobs/{run.id}").text


def test_the_api_is_documented_without_another_host(app: FastAPI) -> None:
    """Swagger UI and Redoc come from files of the package; only they may write styles."""
    for url in ("/docs", "/redoc"):
        answer = page(app, url)
        assert answer.headers["Content-Security-Policy"] == DOCS_POLICY
        assert not ADDRESS.search(answer.text)
        for name in re.findall(r'(?:src|href)="(/[^"]+)"', answer.text):
            assert page(app, name).content


def test_files_of_other_projects_are_those_that_are_listed() -> None:
    """Their sha256 stand beside their licences, and none is there that is not listed."""
    text = (VENDOR / "README.md").read_text()
    listed = dict(re.findall(r"^\| (\S+) \|.*`([0-9a-f]{64})` \|$", text, re.MULTILINE))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.*s*")}
    assert listed == files
    for names in re.findall(
        r"^\| \S+ \|[^|]+\|[^|]+\| licences/([^|]+) \|", (VENDOR / "README.md").read_text(), re.M
    ):
        for name in names.split(", "):
            assert (VENDOR / "licences" / name).read_text().strip()


def test_compressed_files_suit_every_client(app: FastAPI) -> None:
    """One that takes gzip gets it, with the file's own type; another gets the same content unpacked."""
    url = "/static/vendor/swagger-ui.css"
    packed = page(app, url)
    plain = httpx_get_plain(app, url)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content  # httpx unpacks what is packed
    assert packed.headers["Content-Type"] == plain.headers["Content-Type"] == "text/css; charset=utf-8"
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert page(app, "/static/none.css", 404)
    assert page(app, "/static/vendor/../../templating.py", 404)


def httpx_get_plain(app: FastAPI, url: str) -> httpx.Response:
    """As a client asks that takes no compression."""

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get(url, headers={"Accept-Encoding": "identity"})

    return asyncio.run(run())


def test_names_are_escaped(app: FastAPI, world: RunWorld) -> None:
    """What a user named cannot become markup."""
    (world.home.experts / "best_<b onclick=x>.pth").write_bytes(b"weights")
    (world.home.data / "digits_splits" / "<i>_indices.json").write_text("[0]")
    for url in ("/", "/ui/splits", "/ui/plan?dataset=digits&cell=%3Cscript%3E/val"):
        text = page(app, url).text
        assert "<b onclick" not in text
        assert "<i>" not in text
        assert "<script>" not in text


def test_jobs_are_paged(app: FastAPI, world: RunWorld) -> None:
    """Each page names the next one, and together they show every job once."""
    ids = [world.submit(until="splits") for _ in range(120)]
    url, shown = "/ui/jobs", []
    for _ in range(3):
        text = page(app, url).text
        shown += re.findall(r'id="row-(\w+)"', text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        url = older[1].replace("&amp;", "&") if older else ""
    assert not url
    assert shown == ids[::-1]
    listed = send(app, "GET", f"/jobs?limit=2&before={ids[5]}").json()["jobs"]
    assert [job["id"] for job in listed] == [ids[4], ids[3]]
    assert send(app, "GET", "/jobs?before=none").json()["code"] == "job-not-found"


def test_a_job_that_is_not_there_has_no_page(app: FastAPI) -> None:
    """It is a 404 like any other."""
    assert page(app, "/ui/jobs/none", 404).json()["code"] == "job-not-found"


def test_a_service_that_cannot_work_says_so_first(app: FastAPI) -> None:
    """Without a worker the page does not look as if jobs would be done."""
    text = page(app, "/").text
    assert "Jobs cannot be done now." in text
    assert "No worker is alive." in text


def test_static_files_lie_where_they_are_served_from() -> None:
    """The reports' style sheet is shared, not copied."""
    own, shared = STATIC_FOLDERS
    assert (own / "page.css").is_file()
    assert (shared / "report.css").is_file()
    assert not (own / "report.css").exists()
