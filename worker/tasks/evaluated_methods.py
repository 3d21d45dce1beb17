"""The methods of an evaluation: experts, combinations and rejectors, as decisions about test rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from app.domain.combine_requests import SELECTIVE, GatingRequest, RejectorRequest
from app.domain.combining import PARAMETERS, LinearParameters, Method, Rules, Score
from app.domain.outcomes import GatingOutcome, RejectorOutcome
from worker.combine.combiners import combiner_of
from worker.combine.decisions import Decisions, decide, score_rows
from worker.combine.evaluation.method_rows import ClassifierRows, MethodRows, RuleRows
from worker.combine.prior import log_prior
from worker.combine.rows import Combiner, ExpertRows, RowSummary
from worker.combine.summary import summarise
from worker.context import Context
from worker.tasks.expert_logits import ExpertLogits, inputs_of

REFERENCE = "uniform + msp"
"""Of the first gating: what all methods are compared with."""
SCORES: tuple[Score, ...] = ("msp", "margin", "entropy")


class EvaluatedGating:
    """A combination with its rejectors and its test rows. Lives as long as an evaluation.

    Raises:
        RelogitError: on construction, the logits cannot be read or were changed.
    """

    def __init__(
        self,
        request: GatingRequest,
        outcome: GatingOutcome,
        rejectors: Sequence[tuple[RejectorRequest, RejectorOutcome]],
        test: str,
        context: Context,
    ) -> None:
        self.request, self.outcome = request, outcome
        self.inputs = ExpertLogits(request, context)
        self.test = self.inputs.split(test)
        self.rules = {asked.name: fitted.rules for asked, fitted in rejectors}
        """Rejector's name → its rules; the gating's own come first."""
        if outcome.rules is not None:
            self.rules = {SELECTIVE: outcome.rules} | self.rules

    def combiners(self) -> Iterator[tuple[Method, Combiner]]:
        """Yield `uniform`, then all fitted methods."""
        prior = log_prior(self.inputs.train_counts)
        if all(candidate.method != "uniform" for candidate in self.outcome.candidates):
            yield "uniform", combiner_of("uniform", uniform(len(self.request.experts)), prior)
        for candidate in self.outcome.candidates:
            yield candidate.method, combiner_of(candidate.method, candidate.parameters, prior)

    def summary(self, combiner: Combiner) -> RowSummary:
        """Combine the test rows."""
        return summarise(self.test.rows, combiner, self.inputs.groups)

    def experts(self) -> Iterator[tuple[str, str, RowSummary]]:
        """Yield each expert alone, as it is, with what tells its logits from others."""
        rows = self.test.rows
        alone = combiner_of("uniform", uniform(1), log_prior(self.inputs.train_counts))
        sources = {
            file.expert: f"{file.sha256} {self.request.divided_by.get(file.expert)}"
            for file in inputs_of(self.request, [self.test.split.name])
        }
        for expert, logits in zip(self.request.experts, rows.logits, strict=True):
            yield (
                expert,
                sources[expert],
                summarise(ExpertRows((logits,), rows.labels, rows.weights), alone, self.inputs.groups),
            )


def evaluated_methods(
    gatings: Sequence[EvaluatedGating], check: Callable[[], None]
) -> tuple[list[MethodRows], Mapping[str, Decisions]]:
    """List all methods, and the decisions of each rejector by its name.

    The methods are: each expert alone; the uniform average with three scores; each fitted combination, the chosen one
    with three scores; each rejector. With several gatings, all but the first have their name before theirs; experts
    only where their logits are other ones.
    """
    methods: dict[str, MethodRows] = {}
    decisions: dict[str, Decisions] = {}
    experts: dict[str, str] = {}  # name → what tells its logits from others
    for gating in gatings:
        prefix = "" if gating is gatings[0] else f"{gating.request.name}: "
        for expert, source, summary in gating.experts():
            check()
            shown = f"expert {expert}" if expert in PARAMETERS else expert  # a combination may be called `linear`
            if experts.setdefault(shown, source) != source:
                shown = f"{prefix}{shown}"
            methods.setdefault(f"{shown} + msp", _classifier(f"{shown} + msp", "msp", summary))
        for method, combiner in gating.combiners():
            check()
            summary = gating.summary(combiner)
            chosen = method == gating.outcome.method
            for score in SCORES if chosen or method == "uniform" else SCORES[:1]:
                name = f"{prefix}{method} + {score}"
                methods[name] = _classifier(name, score, summary)
            if chosen:
                for rejector, rules in gating.rules.items():
                    check()
                    name, decided = f"{prefix}{method} + {rejector}", decide(rules, summary)
                    methods[name] = _rejector(name, rules, decided, summary)
                    decisions[f"{prefix.replace(': ', '-')}{rejector}"] = decided
    return list(methods.values()), decisions


def uniform(experts: int) -> LinearParameters:
    """Return the parameters of the uniform average."""
    return LinearParameters((1 / experts,) * experts, (1.0,) * experts)


def _classifier(name: str, score: Score, summary: RowSummary) -> ClassifierRows:
    return ClassifierRows(
        name,
        summary.predictions,
        score_rows(score, summary),
        nll=summary.nll,
        confidence=summary.confidence,
        expert_weights=summary.expert_weights,
    )


def _rejector(name: str, rules: Rules, decided: Decisions, summary: RowSummary) -> MethodRows:
    if rules.score == "group":
        weights = summary.expert_weights
        return RuleRows(name, decided.predictions, decided.score, decided.thresholds, expert_weights=weights)
    return replace(_classifier(name, rules.score, summary), thresholds=np.asarray(decided.thresholds))
