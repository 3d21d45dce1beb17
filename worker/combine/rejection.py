"""Fitting of rejectors: one rule for each target coverage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from app.domain.combining import Objective, Rule, Rules, Score
from worker.combine.decisions import rule_scores
from worker.combine.group_rule import group_figures, objective_of, present_groups
from worker.combine.rows import Floats, RowSummary
from worker.combine.rule_search import SearchOptions, search_rules
from worker.combine.thresholds import threshold_at


def fit_rules(
    score: Score,
    objective: Objective,
    coverages: Sequence[float],
    min_group_coverage: float,
    summary: RowSummary,
    check: Callable[[], None],
) -> Rules:
    """Fit a rejector's rule for each target coverage.

    Args:
        score: what rows are ranked by; only `group` has more to fit than thresholds.
        objective: what `group` minimises; other scores have no use for it.
        coverages: κ, above 0, at most 1, in any order.
        min_group_coverage: 0…1; `group` takes rules that accept at least this times κ of each group. Other scores
            have no use for it.
        summary: the rows of fit and validate, at least 1.
        check: called often; raises to stop.

    Raises:
        JobError: `energy-of-several`; `group-coverage-impossible`, where no rule accepts enough of each group.
        ValueError: a coverage outside 0 < κ ≤ 1.
    """
    targets = tuple(sorted(set(coverages)))
    if score == "group":
        pairs = search_rules(summary, SearchOptions(objective, targets, min_group_coverage), check)
        drafts = [Rule(coverage, 0.0, u, v) for coverage, (u, v) in zip(targets, pairs, strict=True)]
    else:
        drafts = [Rule(coverage, 0.0) for coverage in targets]
    rules = []
    for draft in drafts:
        check()
        rules.append(_measured(draft, score, objective, summary))
    return Rules(score, objective, min_group_coverage, tuple(rules))


def _measured(draft: Rule, score: Score, objective: Objective, summary: RowSummary) -> Rule:
    """Add a rule's threshold, and what it does on the rows."""
    count = summary.group_max.shape[1]
    weights, groups = summary.weights, summary.groups
    values, predictions = rule_scores(score, draft, summary)
    threshold = threshold_at(values, weights, draft.coverage)
    accepted = values >= threshold
    errors, acceptance = group_figures(accepted, predictions != summary.labels, groups, weights, count)
    value = objective_of(objective, errors, present_groups(groups, weights, count)) if score == "group" else None
    return Rule(
        draft.coverage,
        threshold,
        draft.u,
        draft.v,
        float(weights[accepted].sum() / weights.sum()),
        None if value is None else float(value),
        tuple(errors.tolist()),
        tuple(acceptance.tolist()),
    )


def concatenate(first: RowSummary, second: RowSummary) -> RowSummary:
    """Join the rows of two roles, such as fit and validate.

    Both follow the same prior with weights of mean 1, so the joined weights do too: each role counts by its rows.
    Expert weights and energies that either lacks are dropped.
    """

    def both(one: Floats | None, other: Floats | None) -> Floats | None:
        return None if one is None or other is None else np.concatenate([one, other])

    return RowSummary(
        labels=np.concatenate([first.labels, second.labels]),
        weights=np.concatenate([first.weights, second.weights]),
        groups=np.concatenate([first.groups, second.groups]),
        group_max=np.concatenate([first.group_max, second.group_max]),
        group_class=np.concatenate([first.group_class, second.group_class]),
        group_mass=np.concatenate([first.group_mass, second.group_mass]),
        predictions=np.concatenate([first.predictions, second.predictions]),
        confidence=np.concatenate([first.confidence, second.confidence]),
        margin=np.concatenate([first.margin, second.margin]),
        negative_entropy=np.concatenate([first.negative_entropy, second.negative_entropy]),
        nll=np.concatenate([first.nll, second.nll]),
        expert_weights=both(first.expert_weights, second.expert_weights),
        energy=both(first.energy, second.energy),
    )
