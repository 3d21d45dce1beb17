"""`relogit log mlflow`: what stands in MLflow's own store afterwards."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import relogit
from relogit.export.mlflow_runs import log_mlflow
from tests.unit.command_line import Relogit
from tests.unit.exported import EXPERTS, LISTS, World, world
from tests.unit.fake_server import JOB_ID, problem, result

REPORT = "<p>The report</p>"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file store, which mlflow-skinny has and asks to allow."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return (tmp_path / "mlruns").as_uri()


def judged(experts: tuple[str, ...] = EXPERTS, lists: dict[str, list[int]] = LISTS) -> World:
    """A verified job with figures and a report."""
    source = world(experts, lists)
    results = [result(expert, split, verdict="passed") for expert in experts for split in lists]
    source.server.verification = {"job": JOB_ID, "verdict": "passed", "checks": [], "results": results}
    source.server.answers[f"GET /jobs/{JOB_ID}/report"] = httpx.Response(200, html=REPORT)
    return source


def client(store: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store)


def test_runs_of_a_job(store: str) -> None:
    """The job has a run with report and verification; each expert a nested one with figures and origin."""
    source = judged()
    logged = log_mlflow(source.job, experiment="long tail", tracking_uri=store)
    tracker = client(store)
    parent = tracker.get_run(logged.run_id)
    assert (parent.info.status, parent.data.tags["relogit.job"]) == ("FINISHED", JOB_ID)
    assert parent.data.params["splits"] == "val, test"
    assert sorted(file.path for file in tracker.list_artifacts(logged.run_id)) == ["report.html", "verification.json"]
    folder = Path(httpx.URL(parent.info.artifact_uri).path)
    assert (folder / "report.html").read_text() == REPORT
    [asked] = [request for request in source.server.requests if request.url.path.endswith("/report")]
    assert asked.url.params["saved"] == "true", "the artifact has no links that lead nowhere"
    assert json.loads((folder / "verification.json").read_text())["verdict"] == "passed"
    assert list(logged.experts) == list(EXPERTS)
    for expert, run_id in logged.experts.items():
        run = tracker.get_run(run_id)
        assert run.data.tags["mlflow.parentRunId"] == logged.run_id
        assert run.info.run_name == expert
        assert run.data.params["checkpoint_sha256"] == f"weights-{expert}"
        assert run.data.params["precision"] == "fp32"
        assert run.data.metrics["val/accuracy"] == 2 / 3
        assert run.data.metrics["test/balanced_accuracy"] == 0.75
        assert "val/reweighted_accuracy" not in run.data.metrics


def test_a_second_call_logs_nothing(store: str) -> None:
    """The experiment that has the job keeps its one run; another experiment gets its own."""
    first = log_mlflow(judged().job, tracking_uri=store)
    second = log_mlflow(judged().job, tracking_uri=store)
    assert (second.run_id, second.experts, second.created) == (first.run_id, first.experts, False)
    tracker = client(store)
    experiment = tracker.get_experiment_by_name("relogit").experiment_id
    assert len(tracker.search_runs([experiment])) == 1 + len(EXPERTS)
    assert log_mlflow(judged().job, experiment="other", tracking_uri=store).created


def test_a_broken_call_is_repeated(store: str) -> None:
    """Runs that broke off are failed, and the next call logs all again."""
    source = judged()
    source.server.verification["results"][-1]["metrics"] = {"accuracy?": 1.0}
    with pytest.raises(relogit.Refused, match="MLflow refused this"):
        log_mlflow(source.job, tracking_uri=store)
    tracker = client(store)
    experiment = tracker.get_experiment_by_name("relogit").experiment_id
    assert {run.info.status for run in tracker.search_runs([experiment])} == {"FAILED"}
    assert log_mlflow(judged().job, tracking_uri=store).created


def test_names_that_mlflow_refuses(store: str) -> None:
    """A split's name keeps apart from others when signs that MLflow refuses are replaced."""
    logged = log_mlflow(judged(("c+e",), {"a+b": [1], "a=b": [2]}).job, tracking_uri=store)
    metrics = client(store).get_run(logged.experts["c+e"]).data.metrics
    assert {"a_x2b_b/accuracy", "a_x3d_b/accuracy"} <= set(metrics)


def test_only_verified_jobs_are_logged(store: str) -> None:
    """A job that failed is refused, as in exports."""
    with pytest.raises(relogit.Refused, match="only verified results"):
        log_mlflow(world(state="failed", verdict=None).job, tracking_uri=store)


def test_a_report_that_cannot_be_made(store: str) -> None:
    """Where the server has no report, nothing is logged."""
    source = judged()
    source.server.answers[f"GET /jobs/{JOB_ID}/report"] = problem(404, "nothing-to-report", "No report.")
    with pytest.raises(relogit.Problem, match="No report"):
        log_mlflow(source.job, tracking_uri=store)
    tracker = client(store)
    assert not tracker.search_runs([tracker.get_experiment_by_name("relogit").experiment_id])


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mlflow the error says what to install."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(relogit.MissingExtra, match=r"pip install 'relogit\[mlflow\]'"):
        log_mlflow(judged().job)


def test_command(relogit: Relogit, store: str) -> None:
    """The command names the runs, and what it found there already."""
    ran = relogit(judged().server, "log", "mlflow", JOB_ID, "--tracking-uri", store)
    assert (ran.code, f"Job {JOB_ID} is logged in the experiment relogit" in ran.out) == (0, True)
    again = relogit(judged().server, "log", "mlflow", "--tracking-uri", store, "--json")
    assert json.loads(again.out)["created"] is False
    refused = relogit(judged().server, "log", "mlflow", "--tracking-uri", "nope://x")
    assert (refused.code, "MLflow refused this" in refused.err) == (2, True)
