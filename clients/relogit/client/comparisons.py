"""The client's methods for paired comparisons."""

from __future__ import annotations

from typing import Any, Unpack

from relogit.comparison import Comparison, ComparisonRequest, side_of
from relogit.wire import Wire, segment, without_none


class ComparisonMethods:
    """The methods of `Client` that compare logits."""

    _wire: Wire

    def compare(self, a: str, b: str | None = None, **request: Unpack[ComparisonRequest]) -> Comparison:
        """Queue a paired comparison; differences are B − A.

        Example:
            comparison = client.compare(job.id).wait()
            significant = [pair for pair in comparison.pairs if pair["mcnemar"]["p_holm"] < 0.05]

        Args:
            a: `JOB`, or `JOB:EXPERT`: the id of a recompute job, verification or gating, and one of its experts.
                Files are verified first: `client.verify(path).wait().id`.
            b: the same; equal names are compared with each other. Left out: all pairs of the experts of `a`.
            request: see `ComparisonRequest`.

        Raises:
            Problem: the server refused it; `errors` names every wrong item and what is available.
        """
        return Comparison(self._wire, self._wire.post("/comparisons", _body(a, b, request)))

    def plan_comparison(self, a: str, b: str | None = None, **request: Unpack[ComparisonRequest]) -> dict[str, Any]:
        """Plan a comparison; the answer is as of `plan_gating`."""
        return self._wire.post("/comparisons/plan", _body(a, b, request))

    def comparisons(self, *, limit: int | None = None) -> list[Comparison]:
        """List comparisons, newest first."""
        items = self._wire.get_list("/comparisons", "comparisons", params={"limit": limit})
        return [Comparison(self._wire, data) for data in items]

    def get_comparison(self, comparison_id: str) -> Comparison:
        """Get a comparison by its id."""
        return Comparison(self._wire, self._wire.get(f"/comparisons/{segment(comparison_id)}"))


def _body(a: str, b: str | None, request: ComparisonRequest) -> dict[str, Any]:
    return without_none({"a": side_of(a), "b": None if b is None else side_of(b), **request})
