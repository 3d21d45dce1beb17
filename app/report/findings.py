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


@dataclass(frozen=True, slots=True)
class _Outcome:
    check: Check
    place: Place | None
    """None for a check of the whole job."""


def failures(report: JobReport, causes: Mapping[Place, str]) -> list[Finding]:
    """List the failed checks and units, errors before warnings, equal ones merged.

    Args:
        report: of the job.
        causes: messages of the search for causes, by expert and split.
    """
    findings = [*_errors(report)]
    for group in _merged(_outcomes(report, "failed"), _content):
        check = group[0].check
        of_results = [item.place for item in group if item.place is not None]
        searched = check.id in ("accuracy", "targets")
        messages = [causes[place] for place in of_results if searched and place in causes]
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
    """List the skipped checks; those with the same reason are one finding."""
    findings = []
    for group in _merged(_outcomes(report, "skipped"), lambda check: [check.message]):
        names = dict.fromkeys(item.check.id for item in group)
        check = group[0].check
        findings.append(Finding(", ".join(names), check.level, check.message, _where(group, report)))
    return findings


def passed(report: JobReport) -> tuple[int, list[str]]:
    """Count the passed checks, and list their names."""
    ids = [item.check.id for item in _outcomes(report, "passed")]
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
    """Format a JSON value for a reader.

    No braces, four digits, spaces for underscores.
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


def _outcomes(report: JobReport, verdict: CheckVerdict) -> Iterator[_Outcome]:
    for check in report.checks:
        if check.verdict == verdict:
            yield _Outcome(check, None)
    for result in report.results or ():
        for check in result.report.checks:
            if check.verdict == verdict:
                yield _Outcome(check, result.place)


def _content(check: Check) -> list[Any]:
    return [check.id, check.level, check.message, check.measured, check.expected, check.evidence]


def _merged(outcomes: Iterable[_Outcome], key: Callable[[Check], list[Any]]) -> list[list[_Outcome]]:
    """Group outcomes of equal keys, in order of first occurrence."""
    groups: dict[str, list[_Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(json.dumps(key(outcome.check)), []).append(outcome)
    return list(groups.values())


def _where(group: Sequence[_Outcome], report: JobReport) -> str:
    pairs = [outcome.place for outcome in group if outcome.place is not None]
    if not pairs:
        return WHOLE
    return places(list(dict.fromkeys(pairs)), (result.place for result in report.results or ()))
