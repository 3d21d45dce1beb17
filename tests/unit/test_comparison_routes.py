"""What the API answers about comparisons, and the pages of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from fastapi import FastAPI

from app.api.comparison_pictures import comparison_pictures
from app.api.dependencies import Services
from app.domain.comparisons import ComparisonOutcome
from app.domain.jobs import Job
from app.main import create_app
from app.submission.comparison_bodies import ComparisonBody
from app.submission.resubmission import submission_of
from tests.fakes import Home
from tests.unit.asgi import send
from tests.unit.expert_jobs import ExpertJobs


# One installation for all tests of this file; those that change it stand last.
@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    home = Home.make(tmp_path_factory.mktemp("comparisons"))
    home.settings.internal_dir.mkdir(parents=True)
    services = Services.build(home.settings)
    yield services
    services.database.close()


@pytest.fixture(scope="module")
def app(services: Services) -> FastAPI:
    app = create_app(services.settings)
    app.state.services = services
    return app


@pytest.fixture(scope="module")
def site(services: Services) -> ExpertJobs:
    return ExpertJobs.make(Home(services.settings), services.database)


@pytest.fixture(scope="module")
def source(site: ExpertJobs) -> str:
    """A job of three experts."""
    return site.recomputed()


@pytest.fixture(scope="module")
def done(app: FastAPI, site: ExpertJobs, source: str) -> Job:
    """All pairs of it on one split, compared by a worker."""
    answer = post(app, {"a": {"job": source}, "splits": ["test"]})
    assert answer.status_code == 202, answer.text
    return site.done(site.store.get(answer.json()["id"]))


def post(app: FastAPI, body: dict[str, Any], path: str = "/comparisons") -> Any:
    return send(app, "POST", path, body)


def get(app: FastAPI, url: str) -> Any:
    answer = send(app, "GET", url)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_comparison_has_its_result_under_its_own_route(app: FastAPI, done: Job) -> None:
    """Pairs with figures, tests and causes; the list shows the same, and so does the list of all jobs."""
    shown = get(app, f"/comparisons/{done.id}")
    assert [(pair["a"], pair["b"]) for pair in shown["result"]["pairs"]] == [
        ("ce", "bal"),
        ("ce", "adj"),
        ("bal", "adj"),
    ]
    test = shown["result"]["pairs"][0]["mcnemar"]
    assert test["both_right"] + test["only_a"] + test["only_b"] + test["both_wrong"] == 234
    assert shown["links"]["report"] == f"/jobs/{done.id}/report"
    assert "declaration" not in str(shown["request"])
    [listed] = get(app, "/comparisons")["comparisons"]
    assert listed == shown
    assert [job["id"] for job in get(app, "/jobs?kind=comparison")["jobs"]] == [done.id]


def test_a_plan_queues_nothing_and_names_what_is_there_already(app: FastAPI, done: Job, source: str) -> None:
    """With the request and its defaults, or all that is wrong."""
    plan = post(app, {"a": {"job": source}, "splits": ["test"]}, "/comparisons/plan").json()
    assert (plan["ok"], plan["kept"], plan["request"]["name"]) == (True, done.id, done.request.to_dict()["name"])
    other = post(app, {"a": {"job": source}, "splits": ["val"]}, "/comparisons/plan").json()
    assert (other["ok"], other["kept"]) == (True, None)
    wrong = post(app, {"a": {"job": source, "expert": "x"}, "b": {"job": "0" * 32}}, "/comparisons/plan").json()
    assert [item["code"] for item in wrong["problems"]] == ["job-not-found", "expert-without-logits"]
    assert wrong["problems"][1]["available"] == ["adj", "bal", "ce"]


def test_what_is_wrong_is_refused(app: FastAPI, source: str, done: Job) -> None:
    """Fields that do not exist, ids of other jobs, and comparisons of comparisons."""
    assert post(app, {"b": {"job": source}}).status_code == 422
    assert post(app, {"a": {"job": source, "experts": "ce"}}).status_code == 422
    assert post(app, {"a": {"job": done.id}}).json()["errors"][0]["code"] == "no-logits"
    answer = send(app, "GET", f"/comparisons/{source}")
    assert (answer.status_code, answer.json()["code"]) == (404, "comparison-not-found")


def test_the_report_shows_the_pictures_that_the_comparison_wrote(
    app: FastAPI, services: Services, done: Job, site: ExpertJobs
) -> None:
    """Inside the page, which loads nothing; a file that was changed since shows none."""
    answer = send(app, "GET", f"/jobs/{done.id}/report")
    assert answer.status_code == 200
    assert "script-src" not in answer.headers["content-security-policy"]
    assert 'src="data:image/png;base64,' in answer.text
    assert isinstance(done.outcome, ComparisonOutcome)
    assert comparison_pictures(services, done).images
    [name] = [name for name in done.outcome.files if name.endswith("pictures.json")]
    path = site.outputs / name
    content = path.read_bytes()
    for changed in (content.replace(b"test/", b"best/", 1), b"{}"):
        path.write_bytes(changed)
        assert not comparison_pictures(services, done).images
    path.unlink()
    assert not comparison_pictures(services, done).images
    path.write_bytes(content)


def test_the_page_of_comparisons_plans_what_is_chosen(app: FastAPI, done: Job, source: str) -> None:
    """The plan stands as a button with the request, and as a command."""
    answer = send(app, "GET", "/ui/comparisons")
    html = answer.text
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html)
    assert f'<option value="{source}:ce">' in html
    assert done.id in html
    assert "data-post" not in html
    planned = send(app, "GET", f"/ui/comparisons?a={source}:ce&b={source}:bal").text
    assert 'data-post="/comparisons"' in planned
    assert f"relogit compare {source}:ce {source}:bal" in planned
    [body] = re.findall(r'data-body="([^"]*)"', planned)
    accepted = ComparisonBody.model_validate_json(body.replace("&#34;", '"').replace("&quot;", '"'))
    assert (accepted.a.expert, accepted.b and accepted.b.expert) == ("ce", "bal")
    assert done.id[:8] in send(app, "GET", f"/ui/comparisons?a={source}&b=&split=test").text
    wrong = send(app, "GET", f"/ui/comparisons?a={source}:ce&b={source}:ce").text
    assert "Both sides are ce" in wrong
    assert "data-post" not in wrong


@pytest.mark.parametrize("side", ["<script>alert(1)</script>", '"><img src=x>', ":", "x:"])
def test_the_page_of_comparisons_escapes_what_it_is_given(app: FastAPI, side: str) -> None:
    """And explains what is wrong with it."""
    answer = send(app, "GET", f"/ui/comparisons?{urlencode({'a': side, 'b': side})}")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
    assert "finding error" in answer.text


def test_the_page_of_a_job_leads_to_its_sides_and_makes_it_again(app: FastAPI, done: Job, source: str) -> None:
    """With the report, and the same request."""
    html = send(app, "GET", f"/ui/jobs/{done.id}").text
    assert f'href="/jobs/{done.id}/report"' in html
    assert f'href="/ui/jobs/{source}"' in html
    assert f"relogit compare {source} --splits test" in html
    assert "every check that could be made passed" not in html


def test_the_page_of_a_job_repeats_what_is_doubtful(app: FastAPI, site: ExpertJobs, source: str) -> None:
    """A file that failed its verification is never shown without that."""
    folder = site.outputs / "foreign" / "ce"
    folder.mkdir(parents=True)
    (folder / "val_logits.npz").write_bytes(site.content("ce", "val", targets=np.zeros(156, np.int64)))
    verified = site.verification(path="foreign")
    answer = post(app, {"a": {"job": source, "expert": "ce"}, "b": {"job": verified.id}})
    done = site.done(site.store.get(answer.json()["id"]))
    for url in (f"/ui/jobs/{done.id}", f"/jobs/{done.id}/report", f"/ui/comparisons?a={source}&b={verified.id}"):
        assert "ce / val failed the check &#39;targets&#39;" in send(app, "GET", url).text, url
    assert "doubts" in str(get(app, f"/comparisons/{done.id}")["request"]["sides"][1])


@pytest.mark.parametrize(
    "body",
    [
        {"a": {"job": "S"}},
        {"a": {"job": "S", "expert": "bal"}},
        {"a": {"job": "S"}, "b": {"job": "S", "expert": "bal"}},
        {"a": {"job": "S", "expert": "ce"}, "b": {"job": "S", "expert": "adj"}},
        {"a": {"job": "S"}, "b": {"job": "T"}},
        {"a": {"job": "S", "expert": "ce"}, "b": {"job": "T"}, "output_dir": "mine"},
    ],
)
def test_a_request_can_be_made_again(site: ExpertJobs, app: FastAPI, source: str, body: dict[str, Any]) -> None:
    """It gives the same pairs on the same splits."""
    other = site.recomputed(("bal", "ce"))
    ids = {"S": source, "T": other}
    asked = {key: {**part, "job": ids[part["job"]]} if isinstance(part, dict) else part for key, part in body.items()}
    first = site.store.get(post(app, asked).json()["id"])
    again = submission_of(first.request)
    assert again is not None
    second = site.store.get(post(app, dict(again.body), again.address).json()["id"])
    site.store.cancel(first.id)
    site.store.cancel(second.id)
    assert second.request == first.request
