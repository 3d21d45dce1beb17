"""The relogit server, from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypedDict, Unpack

import httpx

from relogit.errors import Missing, StillRunning
from relogit.job import Job
from relogit.upload import Progress, find_logit_files, place_at_server, uploaded
from relogit.verification import Verification, VerifyRequest
from relogit.wire import Wire, segment

DEFAULT_SERVER = "http://127.0.0.1:8000"
SERVER_VARIABLE = "RELOGIT_SERVER"
AUDIT_S = 60.0  # seconds that a worker may take to look at every picture
CHECK_S = 600.0  # seconds that a server may take to read every row of a large pool


class JobRequest(TypedDict, total=False):
    """What a job may ask for; what is left out, or None, is the server's default.

    Attributes:
        dataset: a name out of the server's `datasets.toml`.
        experts: names without prefix; all that exist under the prefix by default.
        checkpoint_prefix: what stands before the expert in the file name, such as `best_`; may be empty.
        splits: names of index files, without `_indices.json`.
        batch_size: an upper bound in images, or "auto".
        output_dir: folder below the server's outputs.
        splits_dir: folder below the server's data.
        experts_dir: folder below the server's checkpoints.
        calibration: "none" for raw logits, "checkpoint" to divide by the stored temperature.
        precision: what the network computes in; "fp32" is exact, the others only where a worker offers them.
        reuse: whether rows computed before are taken; False computes all again and compares.
        weights: which of a file's sets of weights is taken, such as "state_dict_ema", where it holds several.
        head_threshold: train samples; a class with more is head, any other is tail.
        floors: fractions by the accuracy's name; a result below one gets a warning.
        deadline_s: seconds in which it has to end; else it is stopped, and has failed.
    """

    dataset: str | None
    experts: Sequence[str] | None
    checkpoint_prefix: str | None
    splits: Sequence[str] | None
    batch_size: int | Literal["auto"] | None
    output_dir: str | None
    splits_dir: str | None
    experts_dir: str | None
    calibration: Literal["none", "checkpoint"] | None
    precision: Literal["fp32", "tf32", "bf16", "fp16"] | None
    reuse: bool | None
    weights: str | None
    head_threshold: int | None
    floors: Mapping[str, float] | None
    deadline_s: float | None


class SplitsRequest(TypedDict, total=False):
    """How splits are created; what is left out, or None, is the server's default.

    Attributes:
        dataset: a name out of the server's `datasets.toml`.
        profile: "exponential" or "step", of the train list's class counts.
        imbalance_factor: samples of the most common class over those of the rarest, 1 or more.
        seed: 0 to 2^32 - 1; equal seeds give equal lists.
        test_shares: of each class of the test base, for `test`, `val` and `tunev`.
        expert_share: between 0 and 1; divides the train list into `expert` and `gating`.
        overwrite: whether a set of that name may be replaced.
    """

    dataset: str | None
    profile: Literal["exponential", "step"] | None
    imbalance_factor: float | None
    seed: int | None
    test_shares: Sequence[int] | None
    expert_share: float | None
    overwrite: bool | None


class Client:
    """A relogit server. Use it as a context manager, or `close()` it.

        with relogit.Client() as client:
            job = client.submit(experts=["ce_baseline"], splits=["val"]).wait()
            arrays = job.logits("ce_baseline", "val")

    Args:
        server: http:// or https:// URL; by default `$RELOGIT_SERVER`, else http://127.0.0.1:8000.
        transport: what carries the requests instead of the network, for tests.
        timeout: seconds to wait for an answer.

    Raises:
        InvalidServer: `server` is no such URL.

    Every method may raise `ServerUnreachable` or `Problem`; the tree of errors stands in `relogit.errors`.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.server = server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER
        self._wire = Wire(self.server, transport=transport, timeout_s=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client and its jobs are of no use after that."""
        self._wire.close()

    def submit(self, **request: Unpack[JobRequest]) -> Job:
        """Queue a job; see `JobRequest` for what it may ask for.

        Raises:
            Problem: the server refused it; `errors` names every wrong item and what is available.
        """
        return Job(self._wire, self._wire.post("/jobs", _body(request)))

    def plan(self, **request: Unpack[JobRequest]) -> dict[str, Any]:
        """What such a job would reuse, compute and write, and under `problems` all that would make it fail.

        Nothing is queued, and no device is touched. `ok` says whether there are no problems.

        Raises:
            Problem: the request cannot be read as one.
        """
        return self._wire.post("/jobs/plan", _body(request))

    def verify(
        self, path: str | Path, *, progress: Progress | None = None, **request: Unpack[VerifyRequest]
    ) -> Verification:
        """Queue a verification of a file of logits, or of all those in a folder; no checkpoint is needed.

            found = client.verify("outputs/logits_fixed", floors={"balanced_accuracy": 0.35}).wait()
            assert found.verdict == "passed"

        What lies in the server's outputs is verified in place, anything else is uploaded: each
        `<expert>/<split>_logits.npz` or `.pt` with the manifest beside it.

        Args:
            path: on this machine.
            progress: told the bytes that are sent and all there are to send.
            request: how to verify; see `VerifyRequest`.

        Raises:
            InvalidPath: there is nothing to verify at `path`, or it cannot be read. Nothing was queued.
            Problem: the server refused it; `errors` names every wrong item and what is available.
        """
        found = find_logit_files(Path(path))
        body = _body(request)
        token = str(self._wire.get("/healthz").get("instance", ""))
        place = place_at_server(Path(path), token)
        if place is not None:
            data = self._wire.post("/verifications", {**body, "path": place})
        else:
            with uploaded(self._wire, found.files, progress) as sent:
                data = self._wire.post("/verifications", {**body, "upload": sent.upload})
            found = replace(found, others=(*found.others, *sent.refused))
        return Verification(self._wire, data, found.others)

    def verification(self, verification_id: str) -> Verification:
        """The verification of that id; a `Problem` with status 404 if there is none."""
        return Verification(self._wire, self._wire.get(f"/verifications/{segment(verification_id)}"))

    def create_splits(self, name: str, **request: Unpack[SplitsRequest]) -> Job:
        """Queue the creation of a set of splits; see `SplitsRequest` for how it may be made.

            job = client.create_splits("lt_50", imbalance_factor=50).wait()
            client.submit(splits_dir="lt_50")

        Raises:
            Problem: the server refused it, as it does where a set of that name is there.
        """
        return Job(self._wire, self._wire.post("/splits", _body({"name": name, **request})))

    def jobs(
        self,
        *,
        state: str | None = None,
        kind: Literal["recompute", "verification", "splits"] | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """The server's jobs, newest first; of one kind, if that is given."""
        listed = self._wire.get_list("/jobs", "jobs", params={"state": state, "kind": kind, "limit": limit})
        return [Job(self._wire, data) for data in listed]

    def job(self, job_id: str) -> Job:
        """The job of that id; a `Problem` with status 404 if there is none."""
        return Job(self._wire, self._wire.get(f"/jobs/{segment(job_id)}"))

    def latest(self) -> Job:
        """The newest job that recomputes.

        Raises:
            Missing: the server has no such job.
        """
        newest = self.jobs(kind="recompute", limit=1)
        if not newest:
            raise Missing("The server has no jobs yet; `relogit recompute` starts one.")
        return newest[0]

    def experts(
        self, *, dataset: str | None = None, prefix: str | None = None, experts_dir: str | None = None
    ) -> dict[str, Any]:
        """Under `experts`: the checkpoints under a prefix, each with its passport or its problem."""
        return self._wire.get("/experts", params={"dataset": dataset, "prefix": prefix, "experts_dir": experts_dir})

    def expert(
        self,
        name: str,
        *,
        dataset: str | None = None,
        prefix: str | None = None,
        experts_dir: str | None = None,
    ) -> dict[str, Any]:
        """One checkpoint with its passport or its problem; `name` is without the prefix."""
        params = {"dataset": dataset, "prefix": prefix, "experts_dir": experts_dir}
        return self._wire.get(f"/experts/{segment(name)}", params=params)

    def splits(self, *, dataset: str | None = None) -> dict[str, Any]:
        """Under `sets`: the sets of splits of a data set, each with the lists that it holds; `own` is the default."""
        return self._wire.get("/splits", params={"dataset": dataset})

    def split_set(self, name: str, *, dataset: str | None = None) -> dict[str, Any]:
        """Under `splits`: the lists of a set, each with its base, size and class counts; `groups` of classes."""
        path = "/".join(segment(part) for part in name.split("/"))
        return self._wire.get(f"/splits/{path}", params={"dataset": dataset})

    def import_splits(self, name: str, lists: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
        """Have lists that somebody else made written as a set of splits.

        Args:
            name: of the new set.
            lists: each with `name`, `base` and `indices`.
            more: `dataset`, `class_weights` and `train_class_counts` in class order, `overwrite`.

        Returns:
            Its description, with what is `doubtful` as sentences.
        """
        return self._wire.post("/splits/import", _body({"name": name, "lists": list(lists), **more}))

    def split(self, name: str, split: str, *, dataset: str | None = None) -> dict[str, Any]:
        """One index list of a set: `base`, `size`, `sha256` and `indices`, in the file's order."""
        path = "/".join(segment(part) for part in (*name.split("/"), split))
        return self._wire.get(f"/splits/{path}", params={"dataset": dataset})

    def audit(self, name: str, *, dataset: str | None = None) -> dict[str, Any]:
        """What is wrong with a set of splits, or misleads: `verdict`, `checks`, and `lists`, checks by list.

        Raises:
            StillRunning: no worker has answered within a minute.
        """
        path = "/".join(segment(part) for part in name.split("/"))
        params = {"dataset": dataset, "wait": AUDIT_S}
        found = self._wire.get(f"/splits/{path}/audit", params=params, hold_s=AUDIT_S)
        if found["state"] != "ready":
            raise StillRunning(f"The splits {name!r} are still being looked at; ask again when a worker is free.")
        return found

    def datasets(self) -> list[dict[str, Any]]:
        """The data sets that the server declares."""
        return self._wire.get_list("/datasets", "datasets")

    def rows(self) -> dict[str, Any]:
        """Under `rows`: what is kept for later jobs, last used first; under `totals` the sums."""
        return self._wire.get("/rows")

    def row_condition(self, key: str) -> dict[str, Any]:
        """The kept rows of one key, with everything they depend on, each checked: `condition` counts them."""
        return self._wire.get(f"/rows/{segment(key)}", hold_s=CHECK_S)

    def delete_rows(self, key: str) -> None:
        """Forget the kept rows of one key; a job that asks for them computes them again."""
        self._wire.delete(f"/rows/{segment(key)}")

    def prune_rows(self, *, max_bytes: int | None = None, older_than_s: float | None = None) -> dict[str, Any]:
        """Remove kept rows: those that no job used for so long, then the longest unused until the rest fits.

        Args:
            max_bytes: what may be left on the server's disk.
            older_than_s: in seconds. One of the two must be given.

        Returns:
            `removed`, `freed_bytes`, and what is `left`.
        """
        return self._wire.post("/rows/prune", {"max_bytes": max_bytes, "older_than_s": older_than_s})

    def collect_garbage(
        self,
        *,
        jobs_older_than_s: float | None = None,
        artifacts_max_bytes: int | None = None,
        rows_older_than_s: float | None = None,
        rows_max_bytes: int | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Remove what the server keeps beyond some limits, and what no job refers to; never what an open job needs.

        Args:
            jobs_older_than_s: jobs that ended longer ago go; without it, what the server's settings say.
            artifacts_max_bytes: not supported any more; the server refuses it.
            rows_older_than_s: kept rows that no job used for longer go.
            rows_max_bytes: what kept rows may take; the longest unused go first.
            dry_run: only tell what would go.

        Returns:
            `jobs` and `rows` that went, `freed_bytes`, what was `kept_back` by the disk, and what is `left`.
        """
        limits = {"jobs_older_than_s": jobs_older_than_s, "artifacts_max_bytes": artifacts_max_bytes,
                  "rows_older_than_s": rows_older_than_s, "rows_max_bytes": rows_max_bytes}  # fmt: skip
        return self._wire.post("/gc", {**_body(limits), "dry_run": dry_run}, hold_s=CHECK_S)

    def ready(self) -> dict[str, Any]:
        """Whether jobs can be done now: `ready`, and under `checks` why not."""
        return self._wire.probe("/readyz")


def _body(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if value is not None}
