"""The command and the HTTP request that make a job again, to be copied."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from app.submission.resubmission import Submission

COMMANDS: Mapping[str, str] = {
    "/jobs": "recompute",
    "/gatings": "gating",
    "/rejectors": "argse",
    "/evaluations": "evaluate",
    "/comparisons": "compare",
}
"""Address → command."""

ARGSE_OBJECTIVE = "balanced"
"""The request's default; the command's own is another."""


def command_of(submission: Submission) -> str | None:
    """Return the `relogit` command that sends a request; None where the command has no option for a field."""
    name = COMMANDS.get(submission.address)
    if name is None:
        return None
    words = ["relogit", name]
    body = dict(submission.body)
    for side in [body.pop(where) for where in ("a", "b") if name == "compare" and where in body]:
        words.append(":".join(side.values()))
    if name == "argse" and body.get("score", "group") == "group":
        body.setdefault("objective", ARGSE_OBJECTIVE)
    for field, value in body.items():
        words += _words(field, value)
    return shlex.join(words)


def curl_of(submission: Submission, base_url: str) -> str:
    """Return the curl command that sends a request."""
    body = json.dumps(submission.body, ensure_ascii=False)
    address = shlex.quote(base_url.rstrip("/") + submission.address)
    return f"curl {address} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _words(field: str, value: Any) -> list[str]:
    option = f"--{field.replace('_', '-')}"
    if field == "reuse":
        return [] if value else ["--no-reuse"]
    if field == "floors":
        return [word for name, floor in value.items() for word in ("--floor", f"{name}={floor}")]
    if field == "divided_by":
        return [option, *(f"{expert}={factor}" for expert, factor in value.items())]
    if value is True:
        return [option]
    if isinstance(value, list):
        return [option, *map(str, value)]
    return [option, str(value)]
