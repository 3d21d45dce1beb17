"""Runs of the whole workflow: their options and their handle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypedDict

from relogit.combination import Evaluation, EvaluationRequest, GatingRequest, RejectorRequest
from relogit.download import Saved
from relogit.errors import Missing
from relogit.job import Job, JobRequest
from relogit.wire import segment
from relogit.work import Work

Step = Literal["splits", "recompute", "verify", "gating", "rejector", "evaluation"]
WITH_LOGITS = ("recompute", "gating")  # steps whose jobs have files of logits


class RunRequest(TypedDict, total=False):
    """The options of a run; the server has defaults for those missing.

    A part has the options of its own request, but for `dataset`, `deadline_s` and the ids of earlier steps.

    Attributes:
        dataset: a name in the server's `datasets.toml`.
        until: the last step; "evaluation" by default.
        splits: how the set of splits is drawn if it is not there: `profile`, `imbalance_factor`, `seed`,
            `test_shares`, `expert_share`. The set is `splits_dir` of `recompute`, or the data set's own.
        recompute: see `JobRequest`.
        gating: see `GatingRequest`.
        rejectors: see `RejectorRequest`; by default the group rule for the balanced error and for the worst group's.
        evaluation: see `EvaluationRequest`.
        deadline_s: seconds until the server stops the run as failed.
    """

    dataset: str | None
    until: Step | None
    splits: Mapping[str, Any] | None
    recompute: JobRequest | None
    gating: GatingRequest | None
    rejectors: Sequence[RejectorRequest] | None
    evaluation: EvaluationRequest | None
    deadline_s: float | None


class Run(Work):
    """A run of the whole workflow, from splits to an evaluation.

    Example:
        run = client.run(gating={"method": "log-linear"}).wait()
        for method in run.evaluation().result["evaluation"]["methods"]:
            print(method["name"], method["figures"]["balanced_accuracy"])
    """

    kind = "Run"
    resource = "runs"

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps in order, each with `step`, `state`, `jobs`, `reason`, `error`, `done` and `total`.

        The state `kept` means that the result was there already, and right; `reason` tells why. `done` and `total`
        count the rows of a running step.
        """
        return list(self.data["steps"])

    def step(self, name: Step) -> dict[str, Any]:
        """Return one step.

        Raises:
            Missing: the run does not go that far.
        """
        for step in self.steps:
            if step["step"] == name:
                return step
        raise Missing(f"Run {self.id} has no step {name!r}; it goes until {self.steps[-1]['step']!r}.")

    def evaluation(self) -> Evaluation:
        """Get the evaluation that the run ended with.

        Raises:
            Missing: it has none, or not yet.
        """
        step = self.step("evaluation")
        if step["state"] not in ("succeeded", "kept"):
            raise Missing(f"The evaluation of run {self.id} is {step['state']}.")
        return Evaluation(self._wire, self._wire.get(f"/evaluations/{segment(step['jobs'][0])}"))

    def download(self, folder: str | Path = ".", *, with_index: bool = False) -> list[Saved]:
        """Download the logits of its experts and of their combination, as `Job.download` does.

        Example:
            paths = [saved.path for saved in run.download("outputs")]

        Returns:
            One entry for each file that its steps `recompute` and `gating` have at this moment.
        """
        ids = [job_id for step in self.steps if step["step"] in WITH_LOGITS for job_id in step["jobs"]]
        jobs = [Job(self._wire, self._wire.get(f"/jobs/{segment(job_id)}")) for job_id in ids]
        return [saved for job in jobs for saved in job.download(folder, with_index=with_index)]

    def cancel(self) -> Self:
        """Ask the server to stop it and its current job; return this handle."""
        self._wire.post(f"{self._job_path}/cancel")  # answers with the job, which lacks the steps
        return self.refresh()
