"""The client's methods for runs of the whole workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from relogit.run import Run, RunRequest
from relogit.wire import Wire, segment, without_none


class RunMethods:
    """The methods of `Client` for runs."""

    _wire: Wire

    def run(self, **request: Unpack[RunRequest]) -> Run:
        """Begin the whole workflow, from splits to an evaluation; `RunRequest` describes the options.

        Steps whose result is already right are kept.

        Example:
            evaluation = client.run(dataset="digits_lt").wait().evaluation()

        Raises:
            Problem: the server refused it; `errors` names every wrong item and what is available.
        """
        return Run(self._wire, self._wire.post("/runs", _given(request)))

    def plan_run(self, **request: Unpack[RunRequest]) -> dict[str, Any]:
        """Plan which steps a run would keep.

        Nothing is queued, and no splits are created.

        Example:
            plan = client.plan_run(dataset="digits_lt")
            kept = [step["step"] for step in plan["steps"] if step["state"] == "kept"]

        Returns:
            `ok`; under `problems` all reasons why `run` would be refused; `steps`, each `kept` with its `reason` and
            `jobs`, or `waiting`. What follows the first step that is not kept depends on its result.

        Raises:
            Problem: the request is not well-formed.
        """
        return self._wire.post("/runs/plan", _given(request))

    def runs(self, *, limit: int | None = None) -> list[Run]:
        """List runs, newest first."""
        return [Run(self._wire, data) for data in self._wire.get_list("/runs", "runs", params={"limit": limit})]

    def get_run(self, run_id: str) -> Run:
        """Get a run by its id."""
        return Run(self._wire, self._wire.get(f"/runs/{segment(run_id)}"))


def _given(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are not None, of the parts as well."""
    given = without_none(request)
    parts = {name: without_none(part) for name, part in given.items() if isinstance(part, Mapping)}
    rejectors = [without_none(rejector) for rejector in given.get("rejectors", ())]
    return given | parts | ({"rejectors": rejectors} if rejectors else {})
