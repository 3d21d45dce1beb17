"""Search of the plug-in rule's u and v for each target coverage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.domain.combining import Objective
from app.domain.errors import JobError
from worker.combine.group_rule import objective_of, reweight
from worker.combine.rows import Floats, RowSummary
from worker.combine.rule_grid import Point, RuleTable, SearchRows, rule_tables
from worker.combine.thresholds import TOLERANCE

SWEEPS = 2
WORST_STEPS = 10
STEP_SIZE = 2.0
"""ξ of the exponentiated-gradient steps towards the worst group."""

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What rules are searched for."""

    objective: Objective
    coverages: tuple[float, ...]
    min_group_coverage: float
    """Rules that accept less than this times κ of a group are dropped; 0…1."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A rule, with its figures at one coverage.

    Attributes:
        point: the rule.
        errors: [K] float64.
        acceptance: [K] float64.
    """

    point: Point
    errors: Floats
    acceptance: Floats


def search_rules(
    summary: RowSummary, options: SearchOptions, check: Callable[[], None]
) -> list[tuple[Vector, Vector]]:
    """Find the best rule's u and v for each coverage.

    With two groups, all 18·31 rules of the grid are compared. With more, one group is searched after the other. A
    group without rows takes no part and keeps ρ = 1, λ = 0; with a single other group nothing is left to search, and
    the rule has the order of msp.

    Raises:
        JobError: `group-coverage-impossible`: all rules of the search accept too little of some group.
    """
    rows = SearchRows.of(summary)
    search = _Search(rows, options, check)
    candidates = [search.best(index) for index in range(len(options.coverages))]
    return [candidate.point.u_and_v() for candidate in candidates]


class _Search:
    """A search over all coverages.

    Attributes:
        rows: what rules are measured on.
        options: what is searched for.
        check: called often; raises to stop.
        start: the rule with msp's order.
        others: the present groups but the first, whose ρ and λ are searched.
        first: for each coverage, the table around the start; computed once for all of them.
    """

    def __init__(self, rows: SearchRows, options: SearchOptions, check: Callable[[], None]) -> None:
        self.rows, self.options, self.check = rows, options, check
        self.start = Point.start(len(rows.group_max))
        self.others = rows.present[1:]
        self.first: list[RuleTable] = []
        if self.others:
            self.first = rule_tables(rows, self.start, self.others[0], options.coverages, check)

    def best(self, index: int) -> Candidate:
        """Find the rule for one coverage."""
        if not self.others:
            count = len(self.rows.group_max)
            return Candidate(self.start, np.ones(count), np.ones(count))
        if len(self.others) == 1:
            table = self.first[index]
            objective = objective_of(self.options.objective, table.errors, self.rows.present)
            candidate = self.selected(index, self.start, self.others[0], table, objective)
        elif self.options.objective == "balanced":
            candidate = _Coordinates(self, index).descend(self._equal_weights())
        else:
            candidate = self._worst(index)
        self._refuse_shortfall(index, candidate)
        return candidate

    def _equal_weights(self) -> Floats:
        return np.full(len(self.rows.present), 1 / len(self.rows.present))

    def _worst(self, index: int) -> Candidate:
        """Keep the iterate with the least worst-group error, msp's order included.

        Coordinate search on the maximum itself stalls, because a single group's rule seldom lowers it.
        """
        present = list(self.rows.present)
        coordinates = _Coordinates(self, index)
        kept = coordinates.start()
        beta = self._equal_weights()
        for _ in range(WORST_STEPS):
            candidate = coordinates.descend(beta)
            if self._rank(index, candidate) < self._rank(index, kept):
                kept = candidate
            beta = reweight(beta, candidate.errors[present], STEP_SIZE)
        return kept

    def _rank(self, index: int, candidate: Candidate) -> tuple[float, float]:
        """Order candidates by shortfall, then by worst-group error, both rounded."""
        worst = float(objective_of("worst", candidate.errors, self.rows.present))
        return round(float(self.shortfall(index, candidate.acceptance)), 10), round(worst, 10)

    def shortfall(self, index: int, acceptance: Floats) -> Floats:
        """Measure how far the least acceptance [..., K] is below m·κ: [...]."""
        wanted = self.options.min_group_coverage * self.options.coverages[index]
        least = acceptance[..., list(self.rows.present)].min(axis=-1)
        below: Floats = np.maximum(wanted - least, 0.0)
        return below

    def selected(self, index: int, point: Point, group: int, table: RuleTable, objective: Floats) -> Candidate:
        """Take the best rule of a table."""
        chosen = table.select(objective, self.shortfall(index, table.acceptance))
        moved = point.moved(group, float(table.ratios[chosen]), float(table.offsets[chosen]))
        return Candidate(moved, table.errors[chosen], table.acceptance[chosen])

    def _refuse_shortfall(self, index: int, candidate: Candidate) -> None:
        """Refuse the best rule of the search if it accepts too little of a group."""
        if self.shortfall(index, candidate.acceptance) <= TOLERANCE:
            return
        coverage, share = self.options.coverages[index], self.options.min_group_coverage
        reached = float(candidate.acceptance[list(self.rows.present)].min())
        raise JobError(
            "group-coverage-impossible",
            f"At coverage {coverage:g}, no rule of the search accepts {share:g} times that of each class group: "
            f"the least accepted group has {reached:.3f}, {share * coverage:.3f} are asked for; "
            "lower min_group_coverage.",
            coverage=coverage,
            min_group_coverage=share,
            reached=reached,
        )


class _Coordinates:
    """Coordinate search at one coverage. Its tables do not depend on β, so they are kept between descents."""

    def __init__(self, search: _Search, index: int) -> None:
        self._search, self._index = search, index
        self._tables: dict[tuple[int, Point], RuleTable] = {}

    def start(self) -> Candidate:
        """Give the rule with msp's order, which every first table holds."""
        table = self._table(self._search.start, self._search.others[0])
        row = int(np.flatnonzero((table.ratios == 1) & (table.offsets == 0))[-1])
        return Candidate(self._search.start, table.errors[row], table.acceptance[row])

    def descend(self, beta: Floats) -> Candidate:
        """Minimise Σ_k β_k e_k over one group's rule after the other.

        Starts at ρ = 1, λ = 0. Each table holds the rule before it, so no step does worse.
        """
        search = self._search
        candidate = self.start()
        for _ in range(SWEEPS):
            for group in search.others:
                table = self._table(candidate.point, group)
                objective = table.errors[:, list(search.rows.present)] @ beta
                candidate = search.selected(self._index, candidate.point, group, table, objective)
        return candidate

    def _table(self, point: Point, group: int) -> RuleTable:
        search = self._search
        others = point.moved(group, 1.0, 0.0)
        if others == search.start and group == search.others[0]:
            return search.first[self._index]
        key = (group, others)
        if key not in self._tables:
            coverage = search.options.coverages[self._index]
            [self._tables[key]] = rule_tables(search.rows, others, group, (coverage,), search.check)
        return self._tables[key]
