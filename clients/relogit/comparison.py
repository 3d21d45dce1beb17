"""Paired comparisons: their options and their handle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypedDict

from relogit.work import Work


class ComparisonRequest(TypedDict, total=False):
    """The options of a comparison; the server has defaults for those missing.

    Attributes:
        splits: those to compare on; by default all that two compared experts share.
        name: of its folder; by default made of the experts' names and the content.
        output_dir: folder below the server's outputs.
        deadline_s: seconds until the server stops the job as failed.
    """

    splits: Sequence[str] | None
    name: str | None
    output_dir: str | None
    deadline_s: float | None


class Comparison(Work):
    """What differs between logits of the same samples, pair by pair. All differences are B − A.

    Example:
        comparison = client.compare("1f3a…:ce_baseline", "1f3a…:balsoftmax_baseline").wait()
        for pair in comparison.pairs:
            print(pair["split"], pair["mcnemar"]["p_holm"], pair["cause"]["sentence"])
    """

    kind = "Comparison"
    resource = "comparisons"

    @property
    def result(self) -> dict[str, Any] | None:
        """All that was found; None until then."""
        result: dict[str, Any] | None = self.data["result"]
        return result

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """The figures of each pair on each split; empty until they are known."""
        return [] if self.result is None else list(self.result["pairs"])

    @property
    def doubts(self) -> list[str]:
        """Sentences about the checks that compared files failed."""
        return doubts_of(self.data)

    def cancel(self) -> Self:
        """Ask the server to stop it; return this handle."""
        self._wire.post(f"{self._job_path}/cancel")  # answers with the job, which lacks the result
        return self.refresh()


def doubts_of(data: dict[str, Any]) -> list[str]:
    """List what is doubtful about the compared files, from a comparison's JSON."""
    return [f"{side['label']}: {doubt}" for side in data["request"]["sides"] for doubt in side["doubts"]]


def side_of(text: str) -> dict[str, str]:
    """Read `JOB` or `JOB:EXPERT` as the server takes it."""
    job, colon, expert = text.partition(":")
    return {"job": job, "expert": expert} if colon else {"job": job}
