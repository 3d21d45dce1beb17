"""Runs of MLflow for a job, through mlflow or mlflow-skinny, which the extra `mlflow` installs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from relogit.errors import IntegrityError, Refused
from relogit.export.sources import Source
from relogit.extras import load_extra
from relogit.job import Job

EXPERIMENT = "relogit"
JOB_TAG, ROLE_TAG = "relogit.job", "relogit.role"
PARENT_TAG, NAME_TAG = "mlflow.parentRunId", "mlflow.runName"
FORBIDDEN = re.compile(r"[^\w\-. /:]", re.ASCII)  # in names of metrics, which MLflow refuses
MAX_PARAM = 500  # characters: what MLflow servers of all versions take
MAX_METRICS = 1000  # in one batch

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Logged:
    """The runs of a job in MLflow."""

    experiment: str
    run_id: str
    """Of the job's own run."""
    experts: Mapping[str, str]
    """Expert → id of its nested run."""
    created: bool
    """False if an earlier call had logged the job."""


def log_mlflow(job: Job, *, experiment: str = EXPERIMENT, tracking_uri: str | None = None) -> Logged:
    """Log a verified job to MLflow: a run of its own, and below it one for each expert.

    Example:
        log_mlflow(client.job("3fa9c2"), experiment="long tail", tracking_uri="sqlite:///mlflow.db")

    The runs of experts have the metrics `<split>/<figure>`, such as `val/accuracy`, and as parameters checkpoint,
    precision, calibration, splits and digests. The job's run has the artifacts `report.html` and `verification.json`.
    A job that the experiment has already is not logged again. Runs of a call that broke off are marked as failed, and
    do not count.

    Args:
        job: that recomputed or combined logits, succeeded, and passed its checks.
        experiment: is created if there is none of that name.
        tracking_uri: by default MLflow's own, such as `$MLFLOW_TRACKING_URI`.

    Raises:
        Refused: the job is not verified, or MLflow refused something.
        MissingExtra: mlflow is not installed.
    """
    mlflow = load_extra("mlflow", "mlflow")
    source = Source.of(job)
    try:
        return _Logger(mlflow, experiment, tracking_uri).log(source)
    except mlflow.exceptions.MlflowException as error:
        databases = find_spec("sqlalchemy") is not None
        hint = "" if databases else " (mlflow-skinny is installed, which has no databases; they need mlflow.)"
        raise Refused(f"MLflow refused this: {str(error).strip()}{hint}") from error


class _Logger:
    """Writes the runs of one job."""

    def __init__(self, mlflow: Any, experiment: str, tracking_uri: str | None) -> None:
        self._mlflow, self._name = mlflow, experiment
        self._client = mlflow.MlflowClient(tracking_uri=tracking_uri)

    def log(self, source: Source) -> Logged:
        found = self._client.get_experiment_by_name(self._name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(self._name)
        if earlier := self._earlier(source.job.id):
            return earlier
        verification = source.job.verification()
        report = source.job.report_page()
        runs: list[str] = []
        try:
            parent = self._start(runs, source.job.id, f"relogit {source.job.id[:8]}", "job")
            self._log_params(parent, _job_params(source))
            self._client.log_text(parent, report.decode("utf-8"), "report.html")
            self._client.log_text(parent, json.dumps(verification, indent=2), "verification.json")
            experts = {
                expert: self._log_expert(runs, parent, source, expert, verification) for expert in source.experts
            }
        except BaseException:
            for run in runs:
                self._client.set_terminated(run, "FAILED")
            raise
        for run in reversed(runs):  # the job's own run ends last, and says that all are whole
            self._client.set_terminated(run, "FINISHED")
        return Logged(self._name, parent, experts, True)

    def _earlier(self, job_id: str) -> Logged | None:
        if not job_id.isalnum():
            raise IntegrityError(f"The server gives the job the id {job_id!r}, which is no plain id.")
        wanted = f"tags.`{JOB_TAG}` = '{job_id}' and attributes.status = 'FINISHED'"
        runs = self._client.search_runs([self._experiment], wanted, max_results=1000)
        parent = next((run for run in runs if run.data.tags.get(ROLE_TAG) == "job"), None)
        if parent is None:
            return None
        parent_id = parent.info.run_id
        children = [run for run in runs if run.data.tags.get(PARENT_TAG) == parent_id]
        experts = {run.data.params["expert"]: run.info.run_id for run in children}
        return Logged(self._name, parent_id, experts, False)

    def _start(self, runs: list[str], job_id: str, name: str, role: str, parent: str | None = None) -> str:
        tags = {JOB_TAG: job_id, ROLE_TAG: role, NAME_TAG: name} | ({PARENT_TAG: parent} if parent else {})
        run = str(self._client.create_run(self._experiment, tags=tags).info.run_id)
        runs.append(run)
        return run

    def _log_params(self, run: str, params: Mapping[str, Any]) -> None:
        values = {name: str(value)[:MAX_PARAM] for name, value in params.items() if value is not None}
        entities = [self._mlflow.entities.Param(name, value) for name, value in values.items()]
        self._client.log_batch(run, params=entities)

    def _log_expert(self, runs: list[str], parent: str, source: Source, expert: str, verification: Record) -> str:
        run = self._start(runs, source.job.id, expert, "expert", parent)
        self._log_params(run, _expert_params(source, expert))
        now = int(time.time() * 1000)
        results = [result for result in verification["results"] if result["expert"] == expert]
        metrics = [self._mlflow.entities.Metric(name, value, now, 0) for name, value in _metrics(results)]
        for first in range(0, len(metrics), MAX_METRICS):
            self._client.log_batch(run, metrics=metrics[first : first + MAX_METRICS])
        return run


def _job_params(source: Source) -> dict[str, Any]:
    request = source.job.data["request"]
    named = {name: request.get(name) for name in ("dataset", "splits_dir", "precision", "calibration", "output_dir")}
    lists = {"splits": ", ".join(source.artifacts), "experts": ", ".join(source.experts)}
    return {"kind": source.job.job_kind, "verdict": "passed", **named, **lists}


def _expert_params(source: Source, expert: str) -> dict[str, Any]:
    files = [file for file in source.describe()["sources"] if file["expert"] == expert]
    checkpoint, calibration = files[0]["checkpoint"], files[0]["calibration"] or {}
    lists = {f"list_sha256/{_metric_name(file['split'])}": file["list"]["sha256"] for file in files}
    logits = {f"logits_sha256/{_metric_name(file['split'])}": file["sha256"] for file in files}
    return {
        "expert": expert,
        "checkpoint": checkpoint["file"],
        "checkpoint_sha256": checkpoint["sha256"],
        "precision": files[0]["precision"],
        "calibration": calibration.get("mode"),
        "temperature": calibration.get("divided_by"),
        "splits": ", ".join(file["split"] for file in files),
        **lists,
        **logits,
    }


def _metrics(results: Sequence[Record]) -> Iterator[tuple[str, float]]:
    """Yield `<split>/<figure>` and its value for each figure that is a number."""
    for result in results:
        for name, value in (result["metrics"] or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield f"{_metric_name(result['split'])}/{name}", float(value)


def _metric_name(split: str) -> str:
    """Name a split as MLflow allows: what it refuses becomes its code in hex, so that names stay different."""
    return FORBIDDEN.sub(lambda match: f"_x{ord(match[0]):x}_", split)
