"""The file of a rejector's rules."""

from __future__ import annotations

import json

from app.domain.combine_requests import RejectorRequest
from app.domain.outcomes import RejectorOutcome
from app.settings import Settings
from worker.outputs.gating_files import write_checkpoints

FOLDER = "argse"
"""Below the checkpoint directory, as of the old scripts; in it a folder for each data set."""
OLD_NAME = "group-worst"
"""The rejector of `train_argse.py`, whose file is `argse.json`; those of others are `argse_<name>.json`."""


def publish_rules(request: RejectorRequest, outcome: RejectorOutcome, settings: Settings) -> None:
    """Write a rejector's rules as JSON where the old scripts had them.

    Equal outcomes have equal bytes. In a read-only checkpoint directory nothing is written.
    """
    name = "argse.json" if request.name == OLD_NAME else f"argse_{request.name}.json"
    text = json.dumps(outcome.to_dict(), indent=2, allow_nan=False).encode() + b"\n"
    write_checkpoints(settings.checkpoints_dir, f"{FOLDER}/{request.dataset}", {name: text})
