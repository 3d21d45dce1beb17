"""Mean and standard deviation of metrics over training runs that differ in their seed."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from app.domain.checks import Result

SEPARATORS = re.compile(r"[_\-.\s]+")
MARKED = re.compile(r"(seed|run)(\d+)", re.ASCII)
LAST_MARKED = re.compile(r"(s)(\d+)", re.ASCII)
"""Of the last part of a name only: elsewhere, as in `vit_s16_ce`, it is more often a size."""
MARKERS = ("seed", "run")
COUNTS = ("samples", "classes")
"""Metrics that are no figures of an expert."""

Family = tuple[tuple[str, ...], str]
"""The other parts of a name, and the marker of its seed."""


@dataclass(frozen=True, slots=True)
class SeedFigure:
    """A metric over seeds."""

    mean: float
    deviation: float
    """Sample standard deviation, with n − 1 in the denominator."""
    n: int
    """Members that have the metric, at least 2."""


@dataclass(frozen=True, slots=True)
class SeedSummary:
    """The metrics of one split over the runs of one expert."""

    name: str
    """What the members' names share without the seed, such as `ce`."""
    split: str
    experts: tuple[str, ...]
    """The members, at least 2, in the job's order."""
    figures: Mapping[str, SeedFigure]
    """By the metric's name."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SeedSummary:
        """Rebuild the summary that `to_dict` wrote."""
        figures = {name: SeedFigure(**figure) for name, figure in data["figures"].items()}
        return cls(data["name"], data["split"], tuple(data["experts"]), figures)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as sent."""
        return asdict(self)


def seed_of(expert: str) -> tuple[Family, int] | None:
    """Return the family and seed in an expert's name, or None.

    Names are split at `_`, `-`, `.` and blanks, without regard to case. Exactly one part has to be `seed<number>` or
    `run<number>`, or `seed` or `run` with a number as the next part, or, as the last part only, `s<number>`. What is
    left has to be the same for all members of a family, and so has the marker.
    """
    parts = [part for part in SEPARATORS.split(expert.lower()) if part]
    marked: list[tuple[Family, int]] = []
    for place, part in enumerate(parts):
        match = MARKED.fullmatch(part) or (LAST_MARKED.fullmatch(part) if place == len(parts) - 1 else None)
        after = parts[place + 1] if place + 1 < len(parts) else ""
        if match is not None:
            rest, marker, seed = (*parts[:place], *parts[place + 1 :]), match[1], match[2]
        elif part in MARKERS and after.isascii() and after.isdigit():
            rest, marker, seed = (*parts[:place], *parts[place + 2 :]), part, after
        else:
            continue
        marked.append(((rest, marker), int(seed)))
    return marked[0] if len(marked) == 1 else None


def summarise_seeds(results: Iterable[Result]) -> tuple[SeedSummary, ...]:
    """Summarise the metrics of experts that differ only in their seed.

    Only results that passed are counted. A family needs two members with different seeds; a seed that two members
    share makes the name ambiguous, and the family is left out.
    """
    families: dict[tuple[Family, str], list[tuple[int, Result]]] = {}
    for result in results:
        named = seed_of(result.expert)
        if named is not None and result.verdict == "passed":
            families.setdefault((named[0], result.split), []).append((named[1], result))
    summaries = []
    for ((rest, marker), split), members in families.items():
        seeds = {seed for seed, _ in members}
        if len(members) < 2 or len(seeds) < len(members):
            continue
        runs = [result for _, result in members]
        experts = tuple(run.expert for run in runs)
        summaries.append(SeedSummary("_".join(rest) or marker, split, experts, _figures(runs)))
    return tuple(summaries)


def _figures(runs: list[Result]) -> dict[str, SeedFigure]:
    names = dict.fromkeys(name for run in runs for name in run.report.metrics.values if name not in COUNTS)
    figures = {}
    for name in names:
        values = [value for run in runs if (value := run.report.metrics.number(name)) is not None]
        if len(values) >= 2:
            figures[name] = SeedFigure(statistics.fmean(values), statistics.stdev(values), len(values))
    return figures
