"""The whole workflow as one request, over the real service with the demo's data."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.workspace import REPOSITORY, Service, Workspace, no_authorities, running, wait_until

pytestmark = pytest.mark.slow

DATASET = "digits_lt"
STEPS = ["splits", "recompute", "verify", "gating", "rejector", "evaluation"]
Record = dict[str, Any]


class Demo:
    """The demo's data in folders that a test may change."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        for folder in (f"data/{DATASET}", f"data/{DATASET}_splits", f"checkpoints/experts/{DATASET}"):
            shutil.copytree(REPOSITORY / folder, root / folder)
        shutil.copy(REPOSITORY / "data" / "datasets.toml", root / "data")
        self.splits = root / "data" / f"{DATASET}_splits"
        self.experts = root / "checkpoints" / "experts" / DATASET


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def service(demo: Demo) -> Iterator[Service]:
    with running(demo.workspace) as service:
        service.wait_ready()
        yield service


def post(service: Service, path: str, body: object) -> httpx.Response:
    return httpx.post(service.url + path, json=body, timeout=60, verify=no_authorities())


def run(service: Service, **body: Any) -> Record:
    """A run until it has ended."""
    answer = post(service, "/runs", {"dataset": DATASET, **body})
    assert answer.status_code == 202, answer.text
    return ended(service, answer.json()["id"])


def ended(service: Service, run_id: str) -> Record:
    answer: Record = {}

    def done() -> bool:
        nonlocal answer
        answer = service.get(f"/runs/{run_id}?wait=20").json()
        return answer["finished_at"] is not None

    wait_until(done, 100, lambda: f"{answer}\n{service.log.read_text()}")
    return answer


def states(answer: Record) -> dict[str, str]:
    return {step["step"]: step["state"] for step in answer["steps"]}


def jobs_of(service: Service) -> set[str]:
    """All jobs but runs."""
    return {job["id"] for job in service.get("/jobs?limit=1000").json()["jobs"] if job["kind"] != "run"}


def test_a_second_run_keeps_all_and_a_change_redoes_what_depends_on_it(demo: Demo, service: Service) -> None:
    """Each step is kept with its reason as long as nothing that it depends on has changed."""
    first = run(service)
    assert first["state"] == "succeeded", first
    assert states(first) == {"splits": "kept"} | dict.fromkeys(STEPS[1:], "succeeded")
    assert [len(step["jobs"]) for step in first["steps"]] == [0, 1, 1, 1, 2, 1]
    jobs = jobs_of(service)
    second = run(service)
    assert jobs_of(service) == jobs
    assert [step["jobs"] for step in second["steps"]] == [step["jobs"] for step in first["steps"]]
    assert {step["step"]: (step["state"], step["reason"]) for step in second["steps"]} == {
        "splits": ("kept", "the set digits_lt_splits exists"),
        "recompute": ("kept", "same checkpoints, same splits, 9 files unchanged"),
        "verify": ("kept", "9 files unchanged since all checks passed"),
        "gating": ("kept", "same logits, same splits, same options"),
        "rejector": ("kept", "same gating, same options"),
        "evaluation": ("kept", "same gating, same rejectors, same test rows"),
    }


@pytest.mark.parametrize("changed", ["a checkpoint", "a list", "a result"])
def test_a_changed_file_redoes_the_steps_that_read_it(demo: Demo, service: Service, changed: str) -> None:
    """The recompute step notices a checkpoint, a list or a result that is not what it was."""
    options: Record = {"gating": {"method": "uniform"}, "rejectors": [{"score": "msp"}], "recompute": {}}
    options["recompute"]["output_dir"] = f"logits of {changed}"
    first = run(service, **options)
    assert first["state"] == "succeeded", first
    result = demo.workspace.root / "outputs" / f"logits of {changed}" / "ce_baseline" / "val_logits.npz"
    path = {"a checkpoint": demo.experts / "best_ce_baseline.pth", "a list": demo.splits / "val_indices.json"}
    original = path.get(changed, result).read_bytes()
    if changed == "a checkpoint":
        path[changed].write_bytes((demo.experts / "best_logitadjust_baseline.pth").read_bytes())
    elif changed == "a list":
        path[changed].write_text(json.dumps(list(reversed(json.loads(original)))))
    else:
        result.write_bytes(b"something else")
    second = run(service, **options)
    # Rewritten results are equal to the earlier ones, byte by byte: what was made of them is still right.
    after = "kept" if changed == "a result" else "succeeded"
    redone = {"splits": "kept", "recompute": "succeeded", "verify": "succeeded"}
    assert states(second) == redone | dict.fromkeys(STEPS[3:], after), second
    assert result.read_bytes() != b"something else"
    path.get(changed, result).write_bytes(original)


def test_splits_that_are_not_there_are_created(demo: Demo, service: Service) -> None:
    """The run draws the set as asked; later it is kept, and other options for it are refused."""
    options: Record = {"until": "splits", "splits": {"seed": 7}, "recompute": {"splits_dir": "drawn"}}
    first, second = run(service, **options), run(service, **options)
    assert [(step["state"], step["reason"]) for step in (*first["steps"], *second["steps"])] == [
        ("succeeded", "created the set drawn"),
        ("kept", "the set drawn exists"),
    ]
    assert json.loads((demo.workspace.root / "data" / "drawn" / "splits.json").read_text())["seed"] == 7
    answer = post(service, "/runs", {"dataset": DATASET, **options, "splits": {"seed": 8}}).json()
    assert (answer["code"], answer["errors"][0]["pointer"]) == ("splits-differ", "#/splits")


def test_a_run_leads_to_its_results(service: Service) -> None:
    """As a run, as a job, and by its links to the evaluation and the report."""
    answer = run(service, until="verify")
    assert service.get(f"/jobs/{answer['id']}").json()["kind"] == "run"
    assert answer["id"] in [item["id"] for item in service.get("/runs").json()["runs"]]
    redirect = service.get(answer["links"]["report"])
    assert (redirect.status_code, redirect.headers["Location"]) == (
        307,
        f"/jobs/{answer['steps'][-1]['jobs'][0]}/report",
    )
    assert service.get(redirect.headers["Location"]).status_code == 200
    whole = run(service, gating={"method": "uniform"}, rejectors=[{"score": "msp"}])
    assert service.get(whole["links"]["evaluation"]).json()["result"]["test"]["list"]["rows"] == 480


def test_a_failed_step_fails_the_run(demo: Demo, service: Service) -> None:
    """With the reason in the step and in the run; what would follow is cancelled."""
    broken = demo.experts / "broken_ce.pth"
    broken.write_bytes(b"no checkpoint")
    answer = run(service, recompute={"checkpoint_prefix": "broken_", "output_dir": "broken"})
    assert answer["state"] == "failed"
    assert answer["error"]["details"] == {"step": "recompute"}
    assert states(answer) == {"splits": "kept", "recompute": "failed"} | dict.fromkeys(STEPS[2:], "cancelled")
    assert answer["steps"][1]["error"]["message"] in answer["error"]["message"]


def test_a_run_goes_on_after_the_service_was_killed(tmp_path: Path) -> None:
    """SIGKILL between and during steps: the next service takes the run up, and submits no step twice."""
    demo = Demo(tmp_path)
    with running(demo.workspace) as service:
        service.wait_ready()
        run_id = post(service, "/runs", {"dataset": DATASET}).json()["id"]
    for step in ("recompute", "gating"):
        with running(demo.workspace) as service:
            wait_until(lambda s=step: states(service.get(f"/runs/{run_id}").json())[s] != "waiting", 60)
            service.process.send_signal(signal.SIGKILL)
            service.process.wait(30)
    with running(demo.workspace) as service:
        answer = ended(service, run_id)
        assert answer["state"] == "succeeded", answer
        assert jobs_of(service) == {job for step in answer["steps"] for job in step["jobs"]}
