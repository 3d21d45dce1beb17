"""Findings: the outcomes of checks, with equal ones of several results merged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.checks import Check, CheckVerdict, JobReport, Level

EVIDENCE_SHOWN = 5
WHOLE = "across the results"

Place = tuple[str, str]
"""Expert and split of a result."""
Outcome = tuple[Check, Place | None]
"""A check, and the result that it is of; None for a check of the whole job."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's outcome, and all results that have it."""

    check: str
    level: Level
    message: str
    where: str
    measured: str | None = None
    expected: str | None = None
    evidence: Sequence[str] = ()
    more: int = 0
    """Pieces of evidence that are not shown."""
    causes: Sequence[str] = ()
    """Messages of the search for causes."""


def failures(report: JobReport, causes: Mapping[Place, str]) -> list[Finding]:
    """List failed checks and units, errors first, equal ones merged."""
    findings = [*_errors(report)]
    for group in _merged(_outcomes(report, "failed"), _content):
        check, _ = group[0]
        searched = check.id in ("accuracy", "targets")
        messages = [causes[place] for _, place in group if searched and place and place in causes]
        findings.append(
            Finding(
                check.id,
                check.level,
                check.message,
                _where(group, report),
                None if check.measured is None else plain(check.measured),
                None if check.expected is None else plain(check.expected),
                [plain(item) for item in check.evidence[:EVIDENCE_SHOWN]],
                max(0, len(check.evidence) - EVIDENCE_SHOWN),
                list(dict.fromkeys(messages)),
            )
        )
    return sorted(findings, key=lambda finding: finding.level != "error")


def skipped(report: JobReport) -> list[Finding]:
    """List skipped checks, one finding for each reason."""
    findings = []
    for group in _merged(_outcomes(report, "skipped"), lambda check: [check.message]):
        names = dict.fromkeys(check.id for check, _ in group)
        check, _ = group[0]
        findings.append(Finding(", ".join(names), check.level, check.message, _where(group, report)))
    return findings


def passed(report: JobReport) -> tuple[int, list[str]]:
    """Count the passed checks, and list their names."""
    ids = [check.id for check, _ in _outcomes(report, "passed")]
    return len(ids), sorted(set(ids))


def places(pairs: Sequence[Place], everywhere: Iterable[Place]) -> str:
    """Name results, (expert, split) each, in few words."""
    if len(pairs) > 1 and set(pairs) == set(everywhere):
        return f"all {len(pairs)} results"
    by_split: dict[str, dict[str, None]] = {}
    for expert, split in pairs:
        by_split.setdefault(split, {})[expert] = None
    return "; ".join(f"{split}: {', '.join(experts)}" for split, experts in by_split.items())


def plain(value: Any) -> str:
    """Format a JSON value for people.

    Floats have four significant digits, names spaces for underscores, and objects no braces.
    """
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


def _errors(report: JobReport) -> Iterator[Finding]:
    if report.error:
        yield Finding(report.error["code"], "error", report.error["message"], WHOLE)
    for result in report.results or ():
        error = result.error
        if error and error["code"] != "verification-failed":  # of that the failed checks say more
            yield Finding(error["code"], "error", error["message"], places([result.place], ()))


def _outcomes(report: JobReport, verdict: CheckVerdict) -> Iterator[Outcome]:
    yield from ((check, None) for check in report.checks if check.verdict == verdict)
    for result in report.results or ():
        yield from ((check, result.place) for check in result.report.checks if check.verdict == verdict)


def _content(check: Check) -> list[Any]:
    return [check.id, check.level, check.message, check.measured, check.expected, check.evidence]


def _merged(outcomes: Iterable[Outcome], key: Callable[[Check], list[Any]]) -> list[list[Outcome]]:
    """Group outcomes by key, in order of first occurrence."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(json.dumps(key(outcome[0])), []).append(outcome)
    return list(groups.values())


def _where(group: Sequence[Outcome], report: JobReport) -> str:
    pairs = [place for _, place in group if place is not None]
    if not pairs:
        return WHOLE
    return places(list(dict.fromkeys(pairs)), (result.place for result in report.results or ()))
