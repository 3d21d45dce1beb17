"""Checks of what an expert's file leaves open or says of itself, for the units of a claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.catalog.datasets import Dataset
from app.catalog.normalisation import refusal
from app.catalog.split_lists import Split
from app.domain.checks import Check
from app.domain.requests import RecomputeRequest
from app.store.inspection_requests.experts import NormalisationRequest, evidence_base
from worker.compute.logit_source import ExpertFile
from worker.context import Context
from worker.datasets.pools import Pool
from worker.outputs.artifacts import Logits
from worker.verify.assumptions import Coverage, check_assumptions, check_stored_accuracy
from worker.verify.normalisation import check_channel_order, check_normalisation


@dataclass
class Origins:
    """What one expert's file says about how it is to be used. Lives as long as a claim."""

    request: RecomputeRequest
    dataset: Dataset
    expert: ExpertFile
    context: Context
    _evidence: dict[str, Any] = field(default_factory=dict)

    def refuse_contradicted(self, base: str, pool_of: Callable[[str], Pool]) -> None:
        """Refuse an expert that contradicts its declared mean and std.

        Call it before the expert computes.

        Raises:
            RequestError: `normalisation-contradicted` or `channels-swapped`.
        """
        if self._evidence:
            return
        path, context = self.expert.path, self.context
        chosen = evidence_base(self.request.grounds.bases.values() or [base])
        question = self._inspection(chosen)
        evidence = context.inspections.look_up([question])[0].answer
        if evidence is None:
            network = context.model_cache.network(path, self.expert.passport, self.expert.assumptions)
            evidence = context.normalisation.inspect(network, pool_of(chosen), self.expert.transform, question.others)
            content = context.model_cache.passport(path, self.expert.assumptions).sha256
            # The evidence is kept unless its files were changed meanwhile.
            if content == self.expert.passport.sha256 and self._inspection(chosen).key == question.key:
                context.inspections.record(question, evidence)
        if error := refusal(evidence, self.request.dataset, path.stem, acknowledged=self._acknowledged):
            raise error
        self._evidence = evidence

    def _inspection(self, base: str) -> NormalisationRequest:
        request = self.request
        return NormalisationRequest.of(
            self.expert.path, request.dataset, self.dataset, base, self.context.catalog, request.weights
        )

    def checks(self, split: Split, pool: Pool, content: Logits) -> list[Check]:
        """Check a unit's logits over a pool; `refuse_contradicted` comes first."""
        name, passport, stem = self.request.dataset, self.expert.passport, self.expert.path.stem
        accuracy = float((content.predictions == content.targets).mean())
        coverage = Coverage.of(pool.base, split.indices, pool.labels)
        return [
            check_assumptions(passport.assumed, name, passport.file),
            check_stored_accuracy(passport.stored_accuracy, accuracy, coverage),
            check_normalisation(self._evidence, name, stem, acknowledged=self._acknowledged),
            check_channel_order(self._evidence, acknowledged=self._acknowledged),
        ]

    @property
    def _acknowledged(self) -> bool:
        return self.dataset.override(self.expert.path.stem).normalisation_acknowledged
