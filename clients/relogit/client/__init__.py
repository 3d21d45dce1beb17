"""The class `Client`; its methods for splits and storage have modules."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, Unpack

import httpx

from relogit.client.combinations import CombinationMethods
from relogit.client.comparisons import ComparisonMethods
from relogit.client.reports import ReportMethods
from relogit.client.runs import RunMethods
from relogit.client.splits import SplitMethods, SplitsRequest
from relogit.client.storage import StorageMethods
from relogit.errors import Missing
from relogit.job import Job, JobKind, JobRequest
from relogit.upload import Progress, find_logit_files, path_at_server, uploaded
from relogit.verification import Verification, VerifyRequest
from relogit.wire import Wire, segment, without_none

__all__ = ["DEFAULT_SERVER", "SERVER_VARIABLE", "Client", "JobRequest", "SplitsRequest"]

DEFAULT_SERVER = "http://127.0.0.1:8000"
SERVER_VARIABLE = "RELOGIT_SERVER"


class Client(SplitMethods, StorageMethods, CombinationMethods, ComparisonMethods, ReportMethods, RunMethods):
    """A relogit server. Use it as a context manager, or `close()` it.

    Example:
        with relogit.Client() as client:
            job = client.submit(experts=["ce_baseline"], splits=["val"]).wait()
            logits, targets, predictions = job.logits("ce_baseline", "val")

    Args:
        server: http:// or https:// URL; by default `$RELOGIT_SERVER`, else http://127.0.0.1:8000.
        transport: what carries the requests instead of the network, for tests.
        timeout: seconds to wait for an answer.

    Raises:
        InvalidServer: `server` is not such a URL.

    Every method may raise `ServerUnreachable` or `Problem`, of status 404 for an unknown id; `relogit.errors` shows
    the tree of errors.
    """

    def __init__(
        self, server: str | None = None, *, transport: httpx.BaseTransport | None = None, timeout: float = 30.0
    ) -> None:
        self.server = server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER
        self._wire = Wire(self.server, transport=transport, timeout_s=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections.

        The client and its handles cannot be used afterwards.
        """
        self._wire.close()

    def submit(self, **request: Unpack[JobRequest]) -> Job:
        """Queue a job; `JobRequest` describes the options.

        Example:
            job = client.submit(experts=["ce_baseline"], splits=["val", "test"])

        Raises:
            Problem: the server refused it; `errors` names every wrong item and what is available.
        """
        return Job(self._wire, self._wire.post("/jobs", without_none(request)))

    def plan(self, **request: Unpack[JobRequest]) -> dict[str, Any]:
        """Plan what a job would reuse, compute and write.

        Nothing is queued.

        Example:
            plan = client.plan(splits=["val"])
            rows = plan["totals"]["computed"] if plan["ok"] else None

        Returns:
            The plan. `ok` is False if the job would fail, and `problems` then has all reasons.

        Raises:
            Problem: the request is not well-formed.
        """
        return self._wire.post("/jobs/plan", without_none(request))

    def verify(
        self, path: str | Path, *, progress: Progress | None = None, **request: Unpack[VerifyRequest]
    ) -> Verification:
        """Queue a verification of logit files.

        Their checkpoints are not required.

        Example:
            verification = client.verify("outputs/logits_fixed", floors={"balanced_accuracy": 0.35}).wait()
            assert verification.verdict == "passed"

        Files in the server's outputs are verified in place. Other files are uploaded: each
        `<expert>/<split>_logits.npz` or `.pt`, with the manifest beside it.

        Args:
            path: on this machine.
            progress: receives the bytes sent so far and the bytes in all.
            request: see `VerifyRequest`.

        Raises:
            InvalidPath: there is nothing to verify at `path`, or it cannot be read. Nothing was queued.
            Problem: the server refused it; `errors` names every wrong item and what is available.
        """
        files = find_logit_files(Path(path))
        body = without_none(request)
        token = str(self.health().get("instance", ""))
        remote_path = path_at_server(Path(path), token)
        if remote_path is not None:
            data = self._wire.post("/verifications", {**body, "path": remote_path})
        else:
            with uploaded(self._wire, files.files, progress) as (upload, refused):
                data = self._wire.post("/verifications", {**body, "upload": upload})
            files = replace(files, others=(*files.others, *refused))
        return Verification(self._wire, data, files.others)

    def verification(self, verification_id: str) -> Verification:
        """Get a verification by its id."""
        return Verification(self._wire, self._wire.get(f"/verifications/{segment(verification_id)}"))

    def jobs(
        self,
        *,
        state: str | None = None,
        kind: JobKind | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """List jobs of a state or kind, newest first."""
        params = {"state": state, "kind": kind, "limit": limit}
        return [Job(self._wire, data) for data in self._wire.get_list("/jobs", "jobs", params=params)]

    def job(self, job_id: str) -> Job:
        """Get a job by its id."""
        return Job(self._wire, self._wire.get(f"/jobs/{segment(job_id)}"))

    def latest(self) -> Job:
        """Get the newest job that recomputes logits.

        Example:
            saved = client.latest().download("outputs")

        Raises:
            Missing: the server has no such job.
        """
        jobs = self.jobs(kind="recompute", limit=1)
        if not jobs:
            raise Missing("The server has no jobs yet; `relogit recompute` starts one.")
        return jobs[0]

    def experts(
        self, *, dataset: str | None = None, prefix: str | None = None, experts_dir: str | None = None
    ) -> dict[str, Any]:
        """List the checkpoints under a prefix.

        Example:
            ready = [e["name"] for e in client.experts(prefix="best_")["experts"] if e["state"] == "ready"]

        Returns:
            Under `experts` each checkpoint with its passport or its problem; `prefix`, `experts_dir` and `dataset`
            as the server took them.
        """
        return self._wire.get("/experts", params={"dataset": dataset, "prefix": prefix, "experts_dir": experts_dir})

    def expert(
        self, name: str, *, dataset: str | None = None, prefix: str | None = None, experts_dir: str | None = None
    ) -> dict[str, Any]:
        """Get one checkpoint with its passport or its problem."""
        params = {"dataset": dataset, "prefix": prefix, "experts_dir": experts_dir}
        return self._wire.get(f"/experts/{segment(name)}", params=params)

    def datasets(self) -> list[dict[str, Any]]:
        """List the data sets that the server declares."""
        return self._wire.get_list("/datasets", "datasets")

    def health(self) -> dict[str, Any]:
        """Get the server's `version` and `instance`, ready or not."""
        return self._wire.get("/healthz")

    def ready(self) -> dict[str, Any]:
        """Tell whether the server can do jobs now.

        The answer has `ready`, and the reasons under `checks`.
        """
        return self._wire.probe("/readyz")
