"""Verifications of logit files: their options and their handle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypedDict

from relogit.notebook import results_html
from relogit.wire import Wire
from relogit.work import Work


class VerifyRequest(TypedDict, total=False):
    """The options of a verification; the server has defaults for those missing.

    Attributes:
        dataset: a name in the server's `datasets.toml`.
        splits_dir: folder below the server's data.
        expert: of a single file; by default the name of its folder.
        split: of a single file; by default what precedes `_logits` in its name.
        head_threshold: train samples; a class with more is head, any other is tail.
        floors: fractions by the accuracy's name; a result below one gets a warning.
        recompute: rows of each result that the server computes with the checkpoint and compares; 0 for none.
        checkpoint_prefix: what precedes the expert in its checkpoint's name; by default "best_".
        experts_dir: folder below the server's checkpoints. Both are for files whose manifest names no checkpoint.
    """

    dataset: str | None
    splits_dir: str | None
    expert: str | None
    split: str | None
    head_threshold: int | None
    floors: Mapping[str, float] | None
    recompute: int | None
    checkpoint_prefix: str | None
    experts_dir: str | None


class Verification(Work):
    """A verification with its last known state.

    Its state is `succeeded` once all checks ran, whatever their outcome; `verdict` tells the outcome.

    Example:
        verification = client.verify("outputs/logits_fixed").wait()
        if verification.verdict != "passed":
            print([result["split"] for result in verification.results if result["verdict"] != "passed"])

    Attributes:
        others: files of arrays beside those verified whose names are not `<split>_logits.npz` or `.pt`.
    """

    kind = "Verification"
    resource = "verifications"

    def __init__(self, wire: Wire, data: dict[str, Any], others: tuple[str, ...] = ()) -> None:
        super().__init__(wire, data)
        self.others = others or tuple(data["request"]["others"])

    @property
    def verdict(self) -> str | None:
        """`passed` or `failed`; None until all checks ran."""
        return None if self.data["verdict"] is None else str(self.data["verdict"])

    @property
    def checks(self) -> list[dict[str, Any]]:
        """The checks across results; empty until all checks ran."""
        return list(self.data["checks"])

    @property
    def results(self) -> list[dict[str, Any]]:
        """Each file's expert, split, verdict, checks, metrics and error."""
        return list(self.data["results"])

    def _repr_html_(self) -> str:
        return results_html(self.data)

    def cancel(self) -> Self:
        """Ask the server to stop it; return this handle."""
        self._wire.post(f"{self._job_path}/cancel")  # answers with the job, which lacks the checks
        return self.refresh()
