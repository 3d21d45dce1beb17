"""The client's methods for gatings, rejectors and evaluations."""

from __future__ import annotations

from typing import Any, Unpack

from relogit.combination import Evaluation, EvaluationRequest, Gating, GatingRequest, Rejector, RejectorRequest
from relogit.wire import Wire, segment, without_none


class CombinationMethods:
    """The methods of `Client` for combined experts."""

    _wire: Wire

    def gating(self, **request: Unpack[GatingRequest]) -> Gating:
        """Queue a combination of experts; `GatingRequest` describes the options.

        Example:
            gating = client.gating(experts=["ce_baseline", "balsoftmax_baseline"]).wait()

        Raises:
            Problem: the server refused it; `errors` names every wrong item and what is available.
        """
        return Gating(self._wire, self._wire.post("/gatings", without_none(request)))

    def rejector(self, **request: Unpack[RejectorRequest]) -> Rejector:
        """Queue the fit of a rejector; `RejectorRequest` describes the options.

        Example:
            rejector = client.rejector(gating=gating.id, objective="worst").wait()

        Raises:
            Problem: the server refused it, for example because there is no gating yet.
        """
        return Rejector(self._wire, self._wire.post("/rejectors", without_none(request)))

    def evaluate(self, **request: Unpack[EvaluationRequest]) -> Evaluation:
        """Queue an evaluation on test rows; `EvaluationRequest` describes the options.

        Example:
            evaluation = client.evaluate(rejectors=[rejector.id]).wait()

        Raises:
            Problem: the server refused it, for example because test samples were fitted on.
        """
        return Evaluation(self._wire, self._wire.post("/evaluations", without_none(request)))

    def plan_gating(self, **request: Unpack[GatingRequest]) -> dict[str, Any]:
        """Plan a combination of experts.

        Nothing is queued.

        Example:
            plan = client.plan_gating(method="log-linear")
            fit = plan["request"]["fit"] if plan["ok"] else None

        Returns:
            `ok`; under `problems` all reasons why `gating` would be refused; `request` with every default filled in,
            None where there are problems; `kept`, the id of a job that has the same result already, or None.

        Raises:
            Problem: the request is not well-formed.
        """
        return self._wire.post("/gatings/plan", without_none(request))

    def plan_rejector(self, **request: Unpack[RejectorRequest]) -> dict[str, Any]:
        """Plan a rejector; the answer is as of `plan_gating`."""
        return self._wire.post("/rejectors/plan", without_none(request))

    def plan_evaluation(self, **request: Unpack[EvaluationRequest]) -> dict[str, Any]:
        """Plan an evaluation; the answer is as of `plan_gating`."""
        return self._wire.post("/evaluations/plan", without_none(request))

    def gatings(self, *, limit: int | None = None) -> list[Gating]:
        """List gatings, newest first."""
        items = self._wire.get_list("/gatings", "gatings", params={"limit": limit})
        return [Gating(self._wire, data) for data in items]

    def rejectors(self, *, limit: int | None = None) -> list[Rejector]:
        """List rejectors, newest first."""
        items = self._wire.get_list("/rejectors", "rejectors", params={"limit": limit})
        return [Rejector(self._wire, data) for data in items]

    def evaluations(self, *, limit: int | None = None) -> list[Evaluation]:
        """List evaluations, newest first."""
        items = self._wire.get_list("/evaluations", "evaluations", params={"limit": limit})
        return [Evaluation(self._wire, data) for data in items]

    def get_gating(self, gating_id: str) -> Gating:
        """Get a gating by its id."""
        return Gating(self._wire, self._wire.get(f"/gatings/{segment(gating_id)}"))

    def get_rejector(self, rejector_id: str) -> Rejector:
        """Get a rejector by its id."""
        return Rejector(self._wire, self._wire.get(f"/rejectors/{segment(rejector_id)}"))

    def get_evaluation(self, evaluation_id: str) -> Evaluation:
        """Get an evaluation by its id."""
        return Evaluation(self._wire, self._wire.get(f"/evaluations/{segment(evaluation_id)}"))
