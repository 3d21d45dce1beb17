"""Fit a combination of experts, and apply it to each split of their logits."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.split_lists import Split
from app.domain.checks import ResultReport
from app.domain.combine_requests import GatingRequest
from app.domain.fault_points import reach
from app.domain.jobs import Artifact, Claim, Progress, Unit
from app.domain.outcomes import GatingOutcome
from worker.cancellation import CancellationPoint
from worker.combine.combiners import combiner_of
from worker.combine.prior import log_prior
from worker.combine.rows import Combiner
from worker.combine.summary import mix_rows
from worker.context import Cancelled, Context
from worker.outputs.artifacts import Logits, drafted, publish, read_arrays, targets_sha256
from worker.outputs.gating_files import mixture_file, publish_lock, publish_parameters
from worker.outputs.mixture_manifest import MixtureFile, MixtureOrigin, mixture_manifest
from worker.tasks.expert_logits import ExpertLogits, inputs_of
from worker.tasks.failed_verification import VerificationFailed
from worker.tasks.fit_gating import fit_gating
from worker.verify.combining import expect_log_probabilities
from worker.verify.ground_truth import Truth
from worker.verify.report import verify_unit


@dataclass(frozen=True, eq=False)
class _Combined:
    """A split's combined logits.

    Attributes:
        split: its index list.
        base_labels: labels of the whole base.
        content: the combined logits [N, C] and the rows' labels.
        weights: of the experts, [N, E], or None.
    """

    split: Split
    base_labels: NDArray[np.int64]
    content: Logits
    weights: NDArray[np.float32] | None


class Gating:
    """The work of one claim: fitted on construction, then applied to each unit.

    Raises:
        RelogitError: on construction, logits, lists or counts are not those of the request, or nothing can be fitted.
        Stopped, Cancelled: on construction.
    """

    def __init__(self, claim: Claim, context: Context) -> None:
        request = claim.job.request
        assert isinstance(request, GatingRequest)
        self._claim, self._context, self._request = claim, context, request
        self._cancellation = CancellationPoint(claim, context)
        self._inputs = ExpertLogits(request, context)
        recorded = claim.job.outcome
        # A worker that died may have fitted it already.
        self._outcome = recorded if isinstance(recorded, GatingOutcome) else self._fit()
        reach("gating.fitted")
        context.jobs.hold(claim)
        self._parameters = publish_parameters(request, self._outcome, context.settings)

    def run(self, unit: Unit) -> Progress:
        """Combine, verify, publish and record a split; return its progress.

        Raises:
            VerificationFailed: a check failed.
            Stopped, Cancelled: between two splits.
        """
        claim, context, started_at = self._claim, self._context, time.time()
        if not context.jobs.start_unit(claim, unit.split):
            raise Cancelled
        self._cancellation.check()
        combined = self._combine(unit.split)
        content = combined.content
        with drafted(context.settings.objects_dir, content) as draft:
            arrays = read_arrays(draft.path, draft.sha256)
            report = self._report(arrays, combined)
            if report.verdict != "passed":
                raise VerificationFailed(report)
            mixture = mixture_file(content, combined.weights)
            mixture_name = f"{unit.split}_mixture.npz"
            origin = MixtureOrigin(
                claim=claim,
                request=self._request,
                outcome=self._outcome,
                parameters=self._parameters,
                mixture=MixtureFile(mixture_name, hashlib.sha256(mixture).hexdigest()),
                rows=self._request.list_of(unit.split),
                inputs=inputs_of(self._request, [unit.split]),
                data_sha256=_data_sha256(combined),
                started_at=started_at,
            )
            described = mixture_manifest(origin, draft, content.logits.shape)
            context.jobs.hold(claim)
            folder = context.settings.outputs_dir / self._request.output_dir / self._request.name
            target, lock = folder / f"{unit.split}_logits.npz", publish_lock(context.settings)
            path = publish(draft, context.settings.objects_dir, target, described, lock, {mixture_name: mixture})
        progress = Progress(reused=unit.total, computed=0)
        artifact = Artifact(
            sha256=draft.sha256,
            size=draft.size,
            targets_sha256=targets_sha256(arrays["targets"]),
            checkpoint_sha256=self._parameters.sha256,
            data_sha256=origin.data_sha256,
            base=combined.split.base,
            manifest=described,
        )
        context.jobs.finish_unit(claim, unit.split, artifact, report, progress, is_there=path.exists)
        return progress

    def _fit(self) -> GatingOutcome:
        outcome = fit_gating(self._inputs, self._cancellation.check)
        self._context.jobs.record_outcome(self._claim, outcome)
        return outcome

    @cached_property
    def _combiner(self) -> Combiner:
        chosen = self._outcome.candidate
        return combiner_of(chosen.method, chosen.parameters, log_prior(self._inputs.train_counts))

    def _combine(self, split: str) -> _Combined:
        """Combine a split's rows; the experts' logits are freed on return."""
        of_split = self._inputs.split(split)
        logits, weights = mix_rows(of_split.rows, self._combiner)
        return _Combined(of_split.split, of_split.base_labels, Logits(logits, of_split.rows.labels), weights)

    def _report(self, arrays: Mapping[str, NDArray[Any]], combined: _Combined) -> ResultReport:
        """Verify a split's combined logits like those of any expert."""
        inputs = self._inputs
        truth = Truth.of(
            combined.split, combined.base_labels, inputs.classes, inputs.long_tail, self._request.standards
        )
        return expect_log_probabilities(verify_unit(arrays, truth))


def _data_sha256(combined: _Combined) -> str:
    """Hash the base's labels; a combination reads no image."""
    return hashlib.sha256(combined.base_labels.astype("<i8").tobytes()).hexdigest()
