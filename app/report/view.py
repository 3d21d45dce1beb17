"""The page as a value: what the template shows, worked out of the API's own JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from app.report.figures import Cell, Figure, cells, missing, shown_figures
from app.report.findings import Finding, failures, passed, places, skipped
from app.report.pictures import recall_by_class, reliability, risk_coverage, swatch
from app.report.split_picture import SplitSet, split_set

Record = Mapping[str, Any]

HEADLINES = {
    "passed": "Passed",
    "failed": "Failed",
    "skipped": "Not verified",
    "pending": "Not finished",
}


@dataclass(frozen=True, slots=True)
class Sources:
    """What the API says of a job, each as its own route answers."""

    job: Record
    """`GET /jobs/{id}`"""
    verification: Record
    """`GET /jobs/{id}/verification`"""
    statistics: Record = field(default_factory=dict)
    """`GET /jobs/{id}/analysis`; empty while the job runs."""
    causes: Record = field(default_factory=dict)
    """The same with `part=causes`."""
    files: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(expert, split) → sha256 of the file that was verified."""
    splits: Record = field(default_factory=dict)
    """`GET /splits/{name}` of the job's set; empty where it is not to be had."""

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to the job any more."""
        return self.job["state"] in ("succeeded", "failed", "cancelled")

    @property
    def pending(self) -> bool:
        """Whether an analysis is still to come."""
        return not all(part.get("complete", True) for part in (self.statistics, self.causes))


@dataclass(frozen=True, slots=True)
class Result:
    """One (expert, split)."""

    expert: str
    split: str
    swatch: Markup
    verdict: str
    samples: str
    cells: Sequence[Cell]
    sha256: str | None
    reliability: Markup | None
    recalls: Markup | None


@dataclass(frozen=True, slots=True)
class Split:
    """The results of a split, and the curves that all of them are in."""

    name: str
    results: Sequence[Result]
    curves: Sequence[Markup]


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template shows."""

    title: str
    verdict: str
    headline: str
    sentence: str
    facts: Sequence[tuple[str, str]]
    units: Sequence[Record]
    """Of a job that runs: how far each is."""
    failures: Sequence[Finding]
    figures: Sequence[Figure]
    threshold: int
    missing: Sequence[tuple[str, str]]
    splits: Sequence[Split]
    split_set: SplitSet | None
    interval_method: str | None
    notes: Sequence[str]
    """What is not there yet, or not to be had."""
    skipped: Sequence[Finding]
    passed: tuple[int, Sequence[str]]


def page(sources: Sources) -> Page:
    """The page of a job that recomputed or verified, finished or not."""
    job, verification = sources.job, sources.verification
    results = verification["results"]
    analyses = _by_result(sources.statistics)
    causes = [_cause(_by_result(sources.causes).get((r["expert"], r["split"]))) for r in results]
    verdict = verification["verdict"] if sources.ended else "pending"
    found = failures(verification, causes)
    ready = [entry["analysis"] for entry in analyses.values() if entry["state"] == "ready"]
    request = job["request"]
    return Page(
        title=f"{HEADLINES[verdict]}: {request['dataset']}, {_what(job)}",
        verdict=verdict,
        headline=HEADLINES[verdict],
        sentence=_sentence(job, verdict, results, found),
        facts=_facts(job),
        units=[] if sources.ended else job["units"],
        failures=found,
        figures=shown_figures(results),
        threshold=request["standards"]["head_threshold"],
        missing=missing(results),
        splits=_splits(sources, analyses),
        split_set=split_set(sources.splits),
        interval_method=_interval_method(ready[0]["intervals"]) if ready else None,
        notes=_notes(analyses, results),
        skipped=skipped(verification),
        passed=passed(verification),
    )


def _by_result(part: Record) -> dict[tuple[str, str], Record]:
    return {(entry["expert"], entry["split"]): entry for entry in part.get("results", [])}


def _cause(entry: Record | None) -> str | None:
    if entry is None or entry["state"] == "none":
        return None
    if entry["state"] == "pending":
        return "Causes are being looked for; reload in a moment."
    return str(entry["analysis"]["message"] if entry["state"] == "ready" else entry["error"]["message"])


def _what(job: Record) -> str:
    request = job["request"]
    if job["kind"] == "verification":
        return str(request["path"] or "uploaded files")
    return str(request["output_dir"])


def _sentence(job: Record, verdict: str, results: Sequence[Record], found: Sequence[Finding]) -> str:
    if verdict == "pending":
        return _progress(job)
    if verdict == "skipped":
        ended = "was cancelled" if job["state"] == "cancelled" else "ended"
        return f"The job {ended} before its results could be verified."
    warnings = sum(finding.level != "error" for finding in found)
    more = f" {_count(warnings, 'warning')}." if warnings else " No warnings."
    failed = sum(result["verdict"] == "failed" for result in results)
    if verdict == "passed":
        whole = "The result" if len(results) == 1 else f"All {len(results)} results"
        return f"{whole} passed every check that could be made.{more}"
    if failed:
        whole = "The result" if len(results) == 1 else f"{failed} of {len(results)} results"
        return f"{whole} failed: not to be used as {'it stands' if failed == 1 else 'they stand'}.{more}"
    return f"A check across the results failed.{more}"


def _progress(job: Record) -> str:
    units = job["units"]
    if not units:
        return f"The verification is {job['state']}. This page looks again by itself."
    done, total = sum(unit["done"] for unit in units), sum(unit["total"] for unit in units)
    share = done / total if total else 0.0
    ended = sum(unit["state"] in ("succeeded", "failed", "cancelled") for unit in units)
    return (
        f"The job is {job['state']}: {done:,} of {total:,} rows ({share:.0%}), {ended} of "
        f"{_count(len(units), 'result')} done. This page looks again by itself."
    )


def _facts(job: Record) -> list[tuple[str, str]]:
    request = job["request"]
    facts = [("Data set", request["dataset"]), ("Splits folder", request["splits_dir"])]
    if job["kind"] == "verification":
        facts.append(("Files", request["path"] or f"{_count(len(request['files']), 'file')}, uploaded"))
    else:
        asked = f"{request['experts_dir']}, prefix {request['checkpoint_prefix']!r}, {request['precision']}"
        facts += [("Checkpoints", asked), ("Output folder", request["output_dir"])]
    standards = request["standards"]
    facts.append(("Head classes", f"more than {standards['head_threshold']} train samples"))
    for name, floor in standards["floors"].items():
        facts.append(("Floor", f"{name.replace('_', ' ')} {floor:.2%}"))
    facts.append(("Job", job["id"]))
    when = job["finished_at"] or job["started_at"] or job["created_at"]
    word = "Finished" if job["finished_at"] else "Started" if job["started_at"] else "Asked for"
    facts.append((word, f"{when[:10]} {when[11:19]} UTC"))
    return facts


def _splits(sources: Sources, analyses: Mapping[tuple[str, str], Record]) -> list[Split]:
    results = sources.verification["results"] if sources.ended else []
    numbers = {expert: n for n, expert in enumerate(dict.fromkeys(r["expert"] for r in results))}
    figures = shown_figures(results)
    made = []
    for name in dict.fromkeys(result["split"] for result in results):
        own = [result for result in results if result["split"] == name]
        known = {
            r["expert"]: analyses[r["expert"], name]["analysis"]
            for r in own
            if analyses.get((r["expert"], name), {}).get("state") == "ready"
        }
        curves = risk_coverage(name, [(expert, numbers[expert], known[expert]) for expert in known])
        shown = []
        for result in own:
            expert, analysis = result["expert"], known.get(result["expert"])
            metrics = result["metrics"] or {}
            recalls = metrics.get("class_recalls")
            bins = None if analysis is None else analysis["reliability"]
            samples = metrics.get("samples")
            shown.append(
                Result(
                    expert,
                    name,
                    swatch(numbers[expert]),
                    result["verdict"],
                    "–" if samples is None else f"{samples:,}",
                    cells(result, figures, analysis),
                    sources.files.get((expert, name)),
                    None if bins is None else reliability(f"{expert}, {name}", bins),
                    None if recalls is None else recall_by_class(f"{expert}, {name}", recalls),
                )
            )
        made.append(Split(name, shown, curves))
    return made


def _interval_method(made: Record) -> str:
    return f"{made['level']:.0%} intervals: {made['method']}, {made['resamples']:,} resamples, seed {made['seed']}."


def _notes(analyses: Mapping[tuple[str, str], Record], results: Sequence[Record]) -> list[str]:
    everywhere = [(r["expert"], r["split"]) for r in results]
    waiting = [place for place, entry in analyses.items() if entry["state"] == "pending"]
    notes = []
    if waiting:
        where = places(waiting, everywhere)
        notes.append(f"Intervals and curves are still being computed for {where}. Reload in a moment.")
    refused: dict[str, list[tuple[str, str]]] = {}
    for place, entry in analyses.items():
        if entry["state"] == "failed":
            refused.setdefault(entry["error"]["message"], []).append(place)
    notes += [f"No intervals and curves for {places(found, everywhere)}: {why}" for why, found in refused.items()]
    return notes


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
