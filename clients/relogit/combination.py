"""Gatings, rejectors and evaluations: their options and their handles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, TypedDict

from relogit.job import Job
from relogit.work import Work

Mode = Literal["pretrain", "selective"]
Method = Literal["uniform", "temperature", "linear", "geometric", "logit-adjustment", "log-linear", "net"]
Prior = Literal["listed", "train"]
GroupScheme = Literal["head-tail", "many-medium-few"]
Score = Literal["msp", "margin", "entropy", "energy", "group"]
Objective = Literal["balanced", "worst"]


class GatingRequest(TypedDict, total=False):
    """The options of a gating; the server has defaults for those missing.

    Attributes:
        logits: id of a recompute job, verification or gating; by default the newest recompute job that succeeded.
        experts: in the order of all parameters; by default all that the job has.
        fit: the split whose rows the combination is fitted on.
        validate: the split whose rows the method is chosen by.
        mode: "selective" also fits the group rule for the balanced error.
        method: fits this one alone; by default uniform, linear, log-linear and net, of which one is chosen.
        prior: "train" weights rows as if classes were as common as in the train split.
        groups: the class groups of errors and rules.
        head_threshold: train samples; a class with more is head, any other is tail.
        seed: of the network's training.
        epochs: of the network's training.
        lr: learning rate of the network's training.
        batch_size: rows in a batch of the network's training, 2 or more.
        net_file: an old gating network below the server's checkpoints; its weights are taken as they are.
        divided_by: the temperature that an expert's files were divided by, by its name.
        coverages: each a share of the rows, of the rule that "selective" fits.
        min_group_coverage: of that rule, the least acceptance of every group, as a share of the coverage.
        name: of the combination among experts; by default "pretrained" or "selective".
        output_dir: folder below the server's outputs.
        allow_overlap: only warn where `validate` shares samples with `fit`.
        deadline_s: seconds until the server stops the job as failed.
    """

    logits: str | None
    experts: Sequence[str] | None
    fit: str | None
    validate: str | None
    mode: Mode | None
    method: Method | None
    prior: Prior | None
    groups: GroupScheme | None
    head_threshold: int | None
    seed: int | None
    epochs: int | None
    lr: float | None
    batch_size: int | None
    net_file: str | None
    divided_by: Mapping[str, float] | None
    coverages: Sequence[float] | None
    min_group_coverage: float | None
    name: str | None
    output_dir: str | None
    allow_overlap: bool | None
    deadline_s: float | None


class RejectorRequest(TypedDict, total=False):
    """The options of a rejector; the server has defaults for those missing.

    Attributes:
        gating: id; by default the newest that succeeded.
        score: what rows are accepted by; "group" by default.
        objective: what "group" minimises: the mean or the largest error of the class groups.
        coverages: each a share of the rows; a rule is fitted for each.
        min_group_coverage: the least acceptance of every group, as a share of the coverage.
        name: by default of the score and objective.
        deadline_s: seconds until the server stops the job as failed.
    """

    gating: str | None
    score: Score | None
    objective: Objective | None
    coverages: Sequence[float] | None
    min_group_coverage: float | None
    name: str | None
    deadline_s: float | None


class EvaluationRequest(TypedDict, total=False):
    """The options of an evaluation; the server has defaults for those missing.

    Attributes:
        test: the split whose rows are evaluated.
        gatings: ids; by default those of the rejectors, or the newest that succeeded.
        rejectors: ids; by default the newest of each name over these gatings.
        name: of its folder; by default that of the first rejector or gating.
        output_dir: folder below the server's outputs.
        allow_overlap: only warn where test samples were fitted on.
        deadline_s: seconds until the server stops the job as failed.
    """

    test: str | None
    gatings: Sequence[str] | None
    rejectors: Sequence[str] | None
    name: str | None
    output_dir: str | None
    allow_overlap: bool | None
    deadline_s: float | None


class Combination(Work):
    """Base of gatings, rejectors and evaluations."""

    @property
    def result(self) -> dict[str, Any] | None:
        """What was fitted or measured; None until then."""
        result: dict[str, Any] | None = self.data["result"]
        return result

    @property
    def warnings(self) -> list[str]:
        """Sentences about what makes the result mislead."""
        checks = [] if self.result is None else self.result["checks"]
        return [check["message"] for check in checks if check["verdict"] == "failed"]

    def cancel(self) -> Self:
        """Ask the server to stop it; return this handle."""
        self._wire.post(f"{self._job_path}/cancel")  # answers with the job, which lacks the result
        return self.refresh()


class Gating(Combination, Job):
    """A combination of experts; its logits are downloaded like those of a job.

    Example:
        gating = client.gating(mode="pretrain").wait()
        print(gating.result["method"])
        gating.download("outputs")
    """

    kind = "Gating"
    resource = "gatings"


class Rejector(Combination):
    """A rule that accepts or rejects the rows of a combination.

    Example:
        rejector = client.rejector(score="group", objective="worst").wait()
        for rule in rejector.result["rules"]["rules"]:
            print(rule["coverage"], rule["group_errors"])
    """

    kind = "Rejector"
    resource = "rejectors"


class Evaluation(Combination):
    """The figures of combinations and rejectors on test rows.

    Example:
        evaluation = client.evaluate(test="test").wait()
        for method in evaluation.result["evaluation"]["methods"]:
            print(method["name"], method["figures"]["balanced_accuracy"], method["differences"])
    """

    kind = "Evaluation"
    resource = "evaluations"
