"""The page of an expert: what was assumed, what was recognised, and what its statistics say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LABELS: Mapping[str, str] = {
    "file": "File",
    "sha256": "SHA-256 of the file",
    "bytes": "Bytes",
    "format": "Format",
    "architecture": "Architecture",
    "widths": "Widths of the stages",
    "shortcut": "Shortcut",
    "parameters": "Parameters",
    "classes": "Classes",
    "temperature": "Stored temperature",
    "stored_accuracy": "Stored accuracy",
    "weights": "Set of weights",
    "dtype": "Number format",
    "tensors_sha256": "SHA-256 of the tensors",
    "largest_parameter": "Largest parameter",
}


@dataclass(frozen=True, slots=True)
class ExpertPage:
    """All that the page shows."""

    name: str
    state: str
    problem: str | None
    assumed: Sequence[tuple[str, str, str]]
    """What, its value, and the key that declares it."""
    declared: Sequence[tuple[str, str]]
    """What the declaration says that the file does not."""
    facts: Sequence[tuple[str, str]]
    transform: Sequence[tuple[str, str]]
    ignored: Sequence[str]
    notes: Sequence[str]
    verdict: str | None
    evidence: Sequence[str]
    proposal: Sequence[str]


def expert_page(detail: Mapping[str, Any]) -> ExpertPage:
    """Build the page from what `GET /experts/{name}` answers."""
    passport = detail["passport"] or {}
    items = passport.get("assumed", [])
    problem, evidence, transform = detail["problem"], detail["normalisation"], detail["transform"] or {}
    source = {"override": "its own, by an override", "data set": "the data set's"}.get(transform.get("from", ""), "")
    return ExpertPage(
        name=detail["name"],
        state=detail["state"],
        problem=problem["message"] if problem else None,
        assumed=[
            (item["what"], _text(item["value"]), item["override"]) for item in items if item["basis"] == "assumed"
        ],
        declared=[(item["what"], _text(item["value"])) for item in items if item["basis"] == "declared"],
        facts=[
            (label, _value(name, passport[name])) for name, label in LABELS.items() if passport.get(name) is not None
        ],
        transform=[(name, f"{_text(transform[name])} ({source})") for name in ("mean", "std") if name in transform],
        ignored=passport.get("ignored", []),
        notes=passport.get("notes", []),
        verdict=evidence["verdict"] if evidence else None,
        evidence=[evidence["message"], evidence["channel_order"]["message"]] if evidence else [],
        proposal=detail["proposal"],
    )


def _value(name: str, value: Any) -> str:
    if name == "stored_accuracy":
        return f"{100 * value['value']:.2f} % when it was saved ({value['name']})"
    if name == "widths":
        return "/".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
