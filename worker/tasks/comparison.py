"""Compare logits of the same samples, pair by pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from app.domain.checks import JobReport, verdict_of
from app.domain.compare_requests import ComparisonRequest
from app.domain.comparisons import Cause, ComparisonOutcome, PairComparison, SkippedPair
from app.domain.errors import JobError, RequestError
from app.domain.jobs import Claim
from worker.cancellation import CancellationPoint
from worker.compare.causes import CauseInput, find_cause
from worker.compare.compare import ClassCounts, PairRows, Side, Unpaired, compare_pairs
from worker.compare.differences import LEVEL, RESAMPLES, SEED
from worker.compare.pairing import PairedRows
from worker.context import Context
from worker.evidence.normalisation_trial import KnownSide, NormalisationTrial
from worker.outputs.comparison_files import comparison_files
from worker.outputs.gating_files import write_files
from worker.outputs.thumbnails import Thumbnails, in_turns
from worker.tasks.compared_sides import ComparedSides
from worker.tasks.fit_gating import versions
from worker.verify.combining import is_combination


def compare_sides(claim: Claim, context: Context) -> None:
    """Compare all pairs of a request and record their figures.

    Raises:
        JobError: `nothing-paired`, no pair could be compared; `train-counts-changed`.
        Stopped, Cancelled: between two sides, or two blocks of resamples.
    """
    request = claim.job.request
    assert isinstance(request, ComparisonRequest)
    comparison = Comparison(request, context, CancellationPoint(claim, context).check)
    pairs = [pair for split in request.splits for pair in comparison.split(split)]
    if not pairs:
        reasons = "; ".join(dict.fromkeys(item.reason for item in comparison.skipped))
        raise JobError("nothing-paired", f"No pair could be compared. {reasons}")
    thumbnails = Thumbnails(context.catalog.bases, context.pools)
    outcome = ComparisonOutcome(
        pairs=comparison.illustrated(pairs, thumbnails),
        skipped=tuple(comparison.skipped),
        group_names=() if comparison.classes is None else comparison.classes.groups.names,
        resamples=RESAMPLES,
        level=LEVEL,
        seed=SEED,
        versions=versions(),
        pictures_reason=None if thumbnails.pictures else thumbnails.reason,
    )
    context.jobs.hold(claim)
    root = context.settings.outputs_dir / request.output_dir
    digests = write_files(root / request.name, comparison_files(outcome, thumbnails.pictures))
    folder = f"{request.output_dir}/{request.name}"
    outcome = replace(outcome, files={f"{folder}/{name}": digest for name, digest in digests.items()})
    context.jobs.record_outcome(claim, outcome)
    context.jobs.finish_job(claim, JobReport(verdict_of(outcome.checks), outcome.checks))


class Comparison:
    """The work of one comparison, split by split. Lives as long as a task."""

    def __init__(self, request: ComparisonRequest, context: Context, check: Callable[[], None]) -> None:
        self._request, self._check = request, check
        self._sides = ComparedSides(request, context)
        self._trial = NormalisationTrial(context, check)
        self.classes: ClassCounts | None = self._sides.classes()
        self.skipped: list[SkippedPair] = []

    def split(self, split: str) -> list[PairComparison]:
        """Compare the pairs that both have the split."""
        sides: dict[str, Side | str] = {}
        by_base: dict[str, list[PairRows]] = {}
        for first, second in self._request.pairs:
            a, b = self._request.side(first), self._request.side(second)
            if split not in a.splits or split not in b.splits:
                continue
            try:
                bases = [side.list_of(split).base for side in (a, b)]
                if bases[0] != bases[1]:
                    raise Unpaired(
                        f"{first} has logits for images of {bases[0]!r}, {second} for images of {bases[1]!r}. "
                        "Compare logits of the same images."
                    )
                pair = PairRows.of(self._side(first, split, sides), self._side(second, split, sides))
            except Unpaired as error:
                self.skipped.append(SkippedPair(split, first, second, str(error)))
            else:
                by_base.setdefault(bases[0], []).append(pair)
        return [result for base, pairs in by_base.items() for result in self._compared(split, base, pairs)]

    def _side(self, label: str, split: str, sides: dict[str, Side | str]) -> Side:
        """Read a side once.

        Raises:
            Unpaired: it cannot be read; the message says why.
        """
        if label not in sides:
            self._check()
            try:
                sides[label] = self._sides.side(label, split)
            except (JobError, RequestError) as error:
                sides[label] = error.message
        side = sides[label]
        if isinstance(side, str):
            raise Unpaired(side)
        return side

    def _compared(self, split: str, base: str, pairs: list[PairRows]) -> list[PairComparison]:
        def cause_of(given: CauseInput, paired: PairedRows) -> Cause:
            cause = find_cause(given)
            if cause.kind != "unknown" or given.a.shape != given.b.shape:
                return cause
            labels = next((pair.a.label, pair.b.label) for pair in pairs if pair.paired is paired)
            return self._with_trial(cause, given, paired, labels, base)

        classes = self.classes
        if classes is not None and any(pair.labels.max() >= len(classes.counts) for pair in pairs):
            classes = None
        return compare_pairs(split, base, pairs, classes, self._check, cause_of)

    def _with_trial(
        self, cause: Cause, given: CauseInput, paired: PairedRows, labels: tuple[str, str], base: str
    ) -> Cause:
        """Try other normalisations, where one side's manifest names the expert and the other side has none."""
        known = [number for number, manifest in enumerate(given.manifests) if manifest is not None]
        if len(known) != 1:
            return cause
        number = known[0]
        manifest = given.manifests[number]
        assert manifest is not None
        if is_combination(manifest):
            return cause
        logits = (given.a, given.b)
        side = KnownSide("AB"[number], logits[number], manifest, self._sides.dataset(labels[number]), base)
        tried = self._trial.cause(side, logits[1 - number], paired.samples)
        return replace(cause, excluded=(*cause.excluded, tried)) if isinstance(tried, str) else tried

    def illustrated(self, pairs: list[PairComparison], thumbnails: Thumbnails) -> tuple[PairComparison, ...]:
        """Make the pictures of the largest flips; every pair gets some before one gets all."""
        keys: dict[tuple[int, int], str | None] = {}
        for number, place in in_turns(len(pair.largest_flips) for pair in pairs):
            self._check()
            pair = pairs[number]
            sample = pair.largest_flips[place].sample
            keys[number, place] = thumbnails.add(self._sides.dataset(pair.a), pair.base, sample)
        return tuple(
            replace(
                pair,
                largest_flips=tuple(
                    replace(flip, picture=keys[number, place]) for place, flip in enumerate(pair.largest_flips)
                ),
            )
            for number, pair in enumerate(pairs)
        )
