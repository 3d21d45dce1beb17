"""A plan says what the job then reports, and what it would fail of; nothing is queued by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import relogit
from app.submission.planner import npz_bytes
from tests.integration.workspace import Service, Workspace, build, running, serving


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """An installation of this module's own: what is kept there is known."""
    return build(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def served(own: Workspace) -> Iterator[Service]:
    with running(own) as service:
        service.wait_ready()
        yield service


@pytest.fixture
def client(served: Service) -> Iterator[relogit.Client]:
    with relogit.Client(served.url) as client:
        yield client


def rows(units: list[dict[str, Any]]) -> list[tuple[str, str, int, int, int]]:
    """What plan and job have in common."""
    return [(u["expert"], u["split"], u["total"], u["reused"], u["computed"]) for u in units]


def problems(plan: dict[str, Any]) -> dict[str, str]:
    assert plan["ok"] is (not plan["problems"])
    return {item["pointer"]: item["code"] for item in plan["problems"]}


def test_the_job_reports_what_was_planned(client: relogit.Client, own: Workspace) -> None:
    """Cold, then over new splits of images that are partly known, then without reuse; to the row and the byte."""
    requests: list[relogit.JobRequest] = [
        {"dataset": "tiny", "experts": ["beta"], "splits": ["val", "again"]},
        {"dataset": "tiny", "splits": ["test", "again", "train"], "output_dir": "second"},
        {"dataset": "tiny", "splits": ["again", "test"], "precision": "fp32", "batch_size": 33},
        {"dataset": "tiny", "splits": ["again", "test"], "reuse": False},
    ]
    seen = []
    for request in requests:
        plan = client.plan(**request)
        assert (plan["ok"], plan["problems"], plan["warnings"]) == (True, [], [])
        job = client.submit(**request).wait(timeout=60)
        assert job.state == "succeeded"
        assert rows(job.data["units"]) == rows(plan["units"])
        assert {name: plan["request"][name] for name in job.data["request"]} == job.data["request"]
        for artifact in job.artifacts():
            [samples, classes] = artifact["manifest"]["file"]["logits"]
            assert abs(artifact["bytes"] - npz_bytes(samples, classes)) < 100
        seen.append((plan["totals"]["reused"], plan["totals"]["computed"]))
    # `again` is 11 rows: 5 of `test`, 5 of `val`, and one of the first five once more.
    assert seen == [(6, 15), (22, 160), (102, 0), (12, 90)]


def test_a_plan_queues_nothing_and_knows_how_it_would_compute(client: relogit.Client) -> None:
    """No job, no file; the engine and the batch that a living worker would take."""
    before = len(client.jobs(limit=1000))
    plan = client.plan(dataset="tiny", splits=["val"], output_dir="never")
    assert plan["arithmetic"]["precision"] == "fp32"
    assert plan["arithmetic"]["engine"] in ("torch", "openvino")
    assert plan["arithmetic"]["batch"] > 0
    assert plan["memory"]["pools"] == 60 * 8 * 8 * 3
    assert 0 < plan["memory"]["needed"] < plan["memory"]["host"]
    assert len(client.jobs(limit=1000)) == before


def test_what_only_a_worker_can_find_out_is_in_the_plan(client: relogit.Client, own: Workspace) -> None:
    """A truncated checkpoint, one of other classes, labels that cannot be: `POST /jobs` knows none of it yet."""
    whole = (own.experts / "best_alpha.pth").read_bytes()
    (own.experts / "cut_alpha.pth").write_bytes(whole[: len(whole) // 2])
    plan = client.plan(dataset="tiny", checkpoint_prefix="cut_", splits=["val"])
    assert problems(plan) == {"#/experts": "checkpoint-unreadable"}
    assert plan["units"] == []
    declared = own.root / "data" / "datasets.toml"
    text = declared.read_text()
    try:
        declared.write_text(text.replace('root = "tiny"', 'root = "tiny"\nclasses = 3'))
        plan = client.plan(dataset="tiny", experts=["alpha"], splits=["val", "train"])
    finally:
        declared.write_text(text)
    assert problems(plan) == {"#/experts/0": "classes-mismatch"}


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        # The checksum of the archive's first member is wrong then: whoever reads the pixels sees it.
        (lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:], {"#/splits/0": "data-corrupt"}),
        (lambda data: data[:-400], {"#/dataset": "data-corrupt"}),
    ],
    ids=["a pixel", "the end"],
)
def test_images_that_cannot_be_read_are_in_the_plan(
    client: relogit.Client, own: Workspace, spoil: Callable[[bytes], bytes], found: dict[str, str]
) -> None:
    """Over the other base the plan stands, unless the number of classes is lost with them."""
    path = own.root / "data" / "tiny" / "train.npz"
    good = path.read_bytes()
    try:
        path.write_bytes(spoil(good))
        plan = client.plan(dataset="tiny", experts=["alpha"], splits=["train", "val"])
    finally:
        path.write_bytes(good)
    assert problems(plan) == found
    assert [unit["split"] for unit in plan["units"]] == (["val"] if "#/splits/0" in found else [])


def test_a_precision_that_no_worker_offers_is_refused(client: relogit.Client) -> None:
    """By `POST /jobs` at once, saying what there is; the plan has the same problem."""
    with pytest.raises(relogit.Problem) as refused:
        client.submit(dataset="tiny", precision="tf32")
    [item] = refused.value.errors
    assert (item["code"], item["pointer"]) == ("precision-unavailable", "#/precision")
    assert "fp32" in item["available"]
    plan = client.plan(dataset="tiny", precision="tf32", splits=["val"])
    assert plan["problems"] == [item]
    assert plan["arithmetic"] is None


@pytest.fixture
def api(tmp_path: Path) -> Iterator[httpx.Client]:
    """The API alone, without a worker."""
    with serving(build(tmp_path).settings) as client:
        yield client


def test_without_a_worker_the_plan_says_what_it_cannot_know(api: httpx.Client) -> None:
    """It warns, refuses nothing, and answers at once; the questions wait for the first worker."""
    plan = api.post("/jobs/plan", json={"dataset": "tiny", "precision": "bf16"}).json()
    assert plan["ok"] is True
    assert [warning["code"] for warning in plan["warnings"]] == ["no-worker", "compared-with-fp32"]
    assert "python -m worker" in plan["warnings"][0]["detail"]
    assert {unit["reused"] for unit in plan["units"]} == {None}
    assert plan["totals"]["total"] == 120
    assert plan["arithmetic"] is None
    assert api.post("/jobs", json={"dataset": "tiny", "precision": "bf16"}).status_code == 202


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [("{", 400, "malformed-json"), ('{"colour": 1}', 422, "unknown-field"), ('{"reuse": 1}', 422, "invalid-value")],
)
def test_a_body_that_is_none_is_refused_as_ever(api: httpx.Client, body: str, status: int, code: str) -> None:
    """Only a request that can be read can be planned."""
    response = api.post("/jobs/plan", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_every_problem_is_in_one_plan(api: httpx.Client) -> None:
    """As in a refused `POST /jobs`, word for word, with 200: the plan itself was made."""
    body = {"dataset": "tiny", "experts": ["alpha", "nobody"], "splits": ["val", "gone"], "output_dir": "../up"}
    refused = api.post("/jobs", json=body)
    planned = api.post("/jobs/plan", json=body)
    assert (refused.status_code, planned.status_code) == (422, 200)
    assert planned.json()["problems"] == refused.json()["errors"]
    assert [(u["expert"], u["split"]) for u in planned.json()["units"]] == [("alpha", "val")]
    assert (planned.json()["ok"], planned.json()["request"]) == (False, None)
