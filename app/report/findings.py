"""What the checks found, put together so that each thing is said once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]

EVIDENCE_SHOWN = 5
WHOLE = "across the results"
CONTENT = ("id", "level", "message", "measured", "expected", "evidence")


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's outcome, and all the results that it is the outcome for."""

    check: str
    level: str
    """`error` or `warning`."""
    message: str
    where: str
    measured: str | None = None
    expected: str | None = None
    evidence: Sequence[str] = ()
    more: int = 0
    """Pieces of evidence that are not shown."""
    causes: Sequence[str] = ()
    """What the search for causes says."""


@dataclass(frozen=True, slots=True)
class _Seen:
    check: Record
    place: tuple[str, str] | None
    cause: str | None


def failures(verification: Record, causes: Sequence[str | None]) -> list[Finding]:
    """The failed checks and units, errors before warnings; equal ones together.

    Args:
        verification: as `GET /jobs/{id}/verification` answers.
        causes: for each of its results what is said of the causes, or None.
    """
    found = [*_errors(verification)]
    for group in _together(_seen(verification, "failed", causes), CONTENT):
        check = group[0].check
        evidence = check["evidence"] or []
        said = (item.cause for item in group if check["id"] in ("accuracy", "targets"))
        found.append(
            Finding(
                check["id"],
                check["level"],
                check["message"],
                _where(group, verification),
                None if check["measured"] is None else plain(check["measured"]),
                None if check["expected"] is None else plain(check["expected"]),
                [plain(item) for item in evidence[:EVIDENCE_SHOWN]],
                max(0, len(evidence) - EVIDENCE_SHOWN),
                list(dict.fromkeys(text for text in said if text)),
            )
        )
    return sorted(found, key=lambda finding: finding.level != "error")


def skipped(verification: Record) -> list[Finding]:
    """The skipped checks; those skipped for the same reason are one."""
    found = []
    for group in _together(_seen(verification, "skipped", ()), ("message",)):
        names = dict.fromkeys(item.check["id"] for item in group)
        check = group[0].check
        found.append(Finding(", ".join(names), check["level"], check["message"], _where(group, verification)))
    return found


def passed(verification: Record) -> tuple[int, list[str]]:
    """How many checks passed, and their names."""
    ids = [item.check["id"] for item in _seen(verification, "passed", ())]
    return len(ids), sorted(set(ids))


def places(pairs: Sequence[tuple[str, str]], everywhere: Iterable[tuple[str, str]]) -> str:
    """Results, (expert, split) each, in few words."""
    if len(pairs) > 1 and set(pairs) == set(everywhere):
        return f"all {len(pairs)} results"
    by_split: dict[str, dict[str, None]] = {}
    for expert, split in pairs:
        by_split.setdefault(split, {})[expert] = None
    return "; ".join(f"{split}: {', '.join(experts)}" for split, experts in by_split.items())


def plain(value: Any) -> str:
    """A JSON value as a reader likes it: no braces, four digits, spaces for underscores."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{str(name).replace('_', ' ')} {plain(item)}" for name, item in value.items())
    if isinstance(value, list):
        return f"[{', '.join(plain(item) for item in value)}]"
    return str(value)


def _errors(verification: Record) -> Iterator[Finding]:
    if error := verification.get("error"):
        yield Finding(error["code"], "error", error["message"], WHOLE)
    for result in verification["results"]:
        error = result.get("error")
        if error and error["code"] != "verification-failed":  # of that the failed checks say more
            where = places([(result["expert"], result["split"])], ())
            yield Finding(error["code"], "error", error["message"], where)


def _seen(verification: Record, verdict: str, causes: Sequence[str | None]) -> Iterator[_Seen]:
    for check in verification["checks"]:
        if check["verdict"] == verdict:
            yield _Seen(check, None, None)
    for number, result in enumerate(verification["results"]):
        for check in result["checks"]:
            if check["verdict"] == verdict:
                place = (result["expert"], result["split"])
                yield _Seen(check, place, causes[number] if causes else None)


def _together(seen: Iterable[_Seen], names: Sequence[str]) -> list[list[_Seen]]:
    """Those that agree in these entries, in the order of the first of each."""
    groups: dict[str, list[_Seen]] = {}
    for item in seen:
        key = json.dumps([item.check[name] for name in names])
        groups.setdefault(key, []).append(item)
    return list(groups.values())


def _where(group: Sequence[_Seen], verification: Record) -> str:
    pairs = [item.place for item in group if item.place is not None]
    if not pairs:
        return WHOLE
    return places(list(dict.fromkeys(pairs)), ((r["expert"], r["split"]) for r in verification["results"]))
