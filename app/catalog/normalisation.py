"""Judge a declared mean and std by a checkpoint's own evidence, and propose what to declare.

The evidence is the answer to a `NormalisationRequest`; `worker.normalisation` finds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.catalog.datasets import override_table
from app.domain.errors import RequestError

ACKNOWLEDGE = "normalisation_acknowledged = true"
"""The line under an expert's override by which the owner keeps a contradicted declaration."""

Evidence = Mapping[str, Any]


def refusal(evidence: Evidence, dataset: str, stem: str, *, acknowledged: bool) -> RequestError | None:
    """Return the error if the declaration is contradicted, unless `acknowledged`."""
    if acknowledged or not contradicted(evidence):
        return None
    if swapped(evidence):
        code, why = "channels-swapped", evidence["channel_order"]["message"]
        remedy = (
            "relogit gives it RGB. Swap the first convolution's input channels in the checkpoint, and mean and std "
            f"with them; or write {ACKNOWLEDGE} under {override_table(dataset, stem)}."
        )
    else:
        code, why = "normalisation-contradicted", evidence["message"]
        lines = "; ".join(proposal(evidence, dataset, stem))
        remedy = f"Declare what is right in datasets.toml: {lines}. If you know better, add {ACKNOWLEDGE} there."
    return RequestError(code, f"{stem}: {why} {remedy}", evidence=dict(evidence))


def contradicted(evidence: Evidence) -> bool:
    """Tell whether the evidence suffices to refuse the declaration."""
    return bool(evidence["severity"] == "error") or swapped(evidence)


def swapped(evidence: Evidence) -> bool:
    """Tell whether labels indicate BGR on images that fit the network's statistics.

    Without such a fit nothing was measured: where colours are nearly equal, an RGB network may do better on BGR.
    """
    return bool(evidence["channel_order"]["order"] == "bgr" and evidence["verdict"] != "undecidable")


def proposal(evidence: Evidence, dataset: str, stem: str) -> list[str]:
    """Return datasets.toml lines that fit the evidence better, if any."""
    best = evidence["best"]
    if evidence["verdict"] != "contradicted" or best is None:
        return []
    return [
        override_table(dataset, stem),
        f"mean = {json.dumps(best['transform']['mean'])}",
        f"std = {json.dumps(best['transform']['std'])}",
    ]
