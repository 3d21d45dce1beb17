"""The page of a comparison, as values with all that its template shows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from app.domain.checks import JobReport
from app.domain.compare_requests import ComparedSide, ComparisonRequest
from app.domain.comparisons import ComparisonOutcome, Flip, FlipGroup, PairComparison, SkippedPair
from app.domain.jobs import Job
from app.report.caveats import Caveat
from app.report.class_differences import class_differences
from app.report.comparison_papers import comparison_papers
from app.report.comparison_words import (
    accuracy_sentence,
    cause_word,
    comparison_caveats,
    gap_sentence,
    mcnemar_sentence,
    p_text,
    pairing_sentence,
)
from app.report.figures import Cell, Figure, in_percent
from app.report.method_tables import MethodRow, difference_cell
from app.report.outcome_pages import OutcomePage, outcome_page, versions_text
from app.report.paper_tables import Table
from app.report.words import count, listing, percent

FIGURES = (
    Figure("accuracy", "Accuracy", "%", "right rows among all rows", 2),
    Figure("balanced_accuracy", "Balanced", "%", "mean recall of the classes present", 2),
    Figure("head_accuracy", "Head", "%", "right rows of the head classes", 2),
    Figure("tail_accuracy", "Tail", "%", "right rows of the tail classes", 2),
    Figure("nll", "NLL", "nats", "mean negative log-likelihood of the label", 3),
    Figure("ece", "ECE", "", "expected calibration error over 15 bins of equal width", 4),
    Figure("aurc", "AURC", "", "area under the risk-coverage curve; smaller is better", 4),
)
"""Columns of the table of differences, in order."""

FEW, SHORT, OPEN_PAIRS = 2, 8, 6
"""Pairs whose causes are told in full at once; pairs in the first sentences; pairs whose details are unfolded."""

BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a page shows of samples beside their numbers."""

    images: Mapping[str, str] = field(default_factory=dict)
    """`<base>/<sample>` → PNG in base64."""
    class_names: Sequence[str] = ()
    """Of the data set, where it has names."""

    def url(self, flip: Flip) -> str | None:
        """Return a flip's picture as a data URL; None where there is none."""
        data = self.images.get(flip.picture or "")
        return f"data:image/png;base64,{data}" if data and BASE64.fullmatch(data) else None

    def name(self, number: int) -> str:
        """Name a class."""
        return self.class_names[number] if number < len(self.class_names) else f"class {number}"


@dataclass(frozen=True, slots=True)
class PairRow:
    """A pair in the first table."""

    name: str
    a: str
    b: str
    difference: Cell
    apart: bool
    p: str
    flips: str
    share: str
    gap: str
    cause: str


@dataclass(frozen=True, slots=True)
class ShownFlip:
    """A row whose prediction differs, with its picture."""

    url: str | None
    row: int
    sample: int
    label: str
    a: str
    b: str
    right: str
    """`A`, `B`, or nothing."""


@dataclass(frozen=True, slots=True)
class PairDetail:
    """All that is shown of one pair on one split."""

    name: str
    unfolded: bool
    sentences: Sequence[str]
    cause: str
    excluded: Sequence[str]
    chart: Markup | None
    counts_known: bool
    flip_rows: Sequence[Sequence[str]]
    flips: Sequence[ShownFlip]


@dataclass(frozen=True, slots=True)
class SplitSection:
    """The pairs of one split."""

    name: str
    pairing: str
    pairs: Sequence[PairRow]
    figures: Sequence[Figure]
    differences: Sequence[MethodRow]
    details: Sequence[PairDetail]
    papers: Sequence[Table]
    """The pairs and their differences, for papers."""


@dataclass(frozen=True, slots=True)
class ComparisonContent:
    """What the page shows of a comparison."""

    doubts: Sequence[str]
    short: Sequence[str]
    more: int
    """Pairs that the first sentences leave out."""
    level: str
    splits: Sequence[SplitSection]
    skipped: Sequence[SkippedPair]
    pictures_reason: str | None
    sides: Sequence[tuple[str, str]]
    caveats: Sequence[Caveat]
    files: Sequence[tuple[str, str]]
    inputs: Sequence[tuple[str, str]]


def comparison_page(job: Job, report: JobReport, pictures: Pictures) -> OutcomePage[ComparisonContent]:
    """Build the page of a comparison in any state."""
    request, outcome = job.request, job.outcome
    assert isinstance(request, ComparisonRequest)
    labels = [side.label for side in request.sides]
    facts = [("Data set", request.dataset), ("Splits", ", ".join(request.splits)), ("Compared", ", ".join(labels))]
    title = " and ".join(labels) if len(labels) == 2 else count(len(request.pairs), "pair")
    if not isinstance(outcome, ComparisonOutcome):
        return outcome_page(job, report, "Compared", title, "", facts, None)
    facts.append(("Versions", versions_text(outcome.versions)))
    if len(outcome.pairs) == 1:
        [pair] = outcome.pairs
        sentence = f"On {pair.split}, {accuracy_sentence(pair, outcome.level)}"
    else:
        compared = dict.fromkeys((pair.a, pair.b) for pair in outcome.pairs)
        sentence = f"{count(len(compared), 'pair')} on {listing(outcome.splits)}, sample by sample."
    return outcome_page(
        job, report, "Compared", title, sentence, facts, comparison_content(request, outcome, pictures)
    )


def comparison_content(
    request: ComparisonRequest, outcome: ComparisonOutcome, pictures: Pictures
) -> ComparisonContent:
    """Build tables, charts and sentences of a comparison."""
    doubts = [f"{side.label}: {doubt}" for side in request.sides for doubt in side.doubts]
    unfolded = {id(pair) for pair in outcome.pairs[:OPEN_PAIRS]}
    return ComparisonContent(
        doubts=doubts,
        short=[_short(pair, outcome) for pair in outcome.pairs[:SHORT]],
        more=max(0, len(outcome.pairs) - SHORT),
        level=percent(outcome.level),
        splits=[_section(split, request, outcome, pictures, unfolded) for split in outcome.splits],
        skipped=outcome.skipped,
        pictures_reason=outcome.pictures_reason,
        sides=[(side.label, _source(side)) for side in request.sides],
        caveats=comparison_caveats(outcome, doubtful=bool(doubts)),
        files=list(outcome.files.items()),
        inputs=[
            (f"{side.label} / {file.split}", file.sha256)
            for side in request.sides
            for file in side.logits.files
            if file.split in request.splits
        ],
    )


def _short(pair: PairComparison, outcome: ComparisonOutcome) -> str:
    """Write what the test gives and the cause, in a word where there are many pairs."""
    cause = pair.cause.sentence if len(outcome.pairs) <= FEW else f"Cause: {cause_word(pair)}."
    return f"{pair.split}: {mcnemar_sentence(pair, outcome.level)} {cause}"


def _section(
    split: str, request: ComparisonRequest, outcome: ComparisonOutcome, pictures: Pictures, unfolded: set[int]
) -> SplitSection:
    pairs = outcome.of_split(split)
    pairings = dict.fromkeys(pairing_sentence(pair.pairing) for pair in pairs)
    shown = [f for f in FIGURES if any(pair.figure(f.name).difference for pair in pairs)]
    return SplitSection(
        name=split,
        pairing=next(iter(pairings)) if len(pairings) == 1 else "",
        pairs=[_row(pair) for pair in pairs],
        figures=shown,
        differences=[_differences(pair, shown) for pair in pairs],
        details=[_detail(pair, request, outcome, pictures, unfolded=id(pair) in unfolded) for pair in pairs],
        papers=comparison_papers(pairs, shown, outcome),
    )


def _name(pair: PairComparison) -> str:
    return f"{pair.a} → {pair.b}"


def _row(pair: PairComparison) -> PairRow:
    accuracy, flips = pair.figure("accuracy"), pair.flips[0].flips
    figure, difference = FIGURES[0], accuracy.difference
    return PairRow(
        name=_name(pair),
        a=figure.text(accuracy.a),
        b=figure.text(accuracy.b),
        difference=difference_cell(figure, difference),
        apart=difference is not None and not difference.low <= 0 <= difference.high,
        p=p_text(pair.mcnemar.p_holm),
        flips=f"{flips:,}",
        share=f"{in_percent(flips / pair.pairing.rows):.2f} %",
        gap="–" if pair.logits is None else f"{pair.logits.largest:.3g}",
        cause=cause_word(pair),
    )


def _differences(pair: PairComparison, figures: Sequence[Figure]) -> MethodRow:
    known = [pair.figure(figure.name).difference for figure in figures]
    cells = [difference_cell(figure, difference) for figure, difference in zip(figures, known, strict=True)]
    return MethodRow(_name(pair), cells, [d is not None and not d.low <= 0 <= d.high for d in known])


def _detail(
    pair: PairComparison,
    request: ComparisonRequest,
    outcome: ComparisonOutcome,
    pictures: Pictures,
    *,
    unfolded: bool,
) -> PairDetail:
    sentences = [accuracy_sentence(pair, outcome.level), mcnemar_sentence(pair, outcome.level), gap_sentence(pair)]
    return PairDetail(
        name=f"{_name(pair)}, {pair.split}",
        unfolded=unfolded,
        sentences=[*sentences, pairing_sentence(pair.pairing)],
        cause=pair.cause.sentence,
        excluded=pair.cause.excluded,
        chart=class_differences(pair, request.head_threshold, outcome.group_names),
        counts_known=bool(outcome.group_names),
        flip_rows=[_flip_row(group) for group in pair.flips] if pair.flips[0].flips else [],
        flips=[_shown_flip(flip, pictures) for flip in pair.largest_flips],
    )


def _flip_row(group: FlipGroup) -> Sequence[str]:
    share = f"{in_percent(group.flips / group.rows):.2f}" if group.rows else "–"
    rest = group.flips - group.to_right - group.to_wrong
    counts = (group.rows, group.flips, group.to_wrong, group.to_right, rest)
    rows, flips, *others = (f"{number:,}" for number in counts)
    margins = (group.margin_a, group.margin_b, group.largest_margin)
    return [group.name, rows, flips, share, *others, *("–" if m is None else f"{m:.3g}" for m in margins)]


def _shown_flip(flip: Flip, pictures: Pictures) -> ShownFlip:
    right = {flip.prediction_b: "B", flip.prediction_a: "A"}.get(flip.label, "")
    a, b = (
        f"{pictures.name(prediction)}, {in_percent(confidence):.0f} %"
        for prediction, confidence in (
            (flip.prediction_a, flip.confidence_a),
            (flip.prediction_b, flip.confidence_b),
        )
    )
    return ShownFlip(pictures.url(flip), flip.row, flip.sample, pictures.name(flip.label), a, b, right)


def _source(side: ComparedSide) -> str:
    """Tell where a side's logits come from."""
    place = f"verified files in {side.logits.path}" if side.logits.path else ""
    place = "uploaded files" if side.logits.upload else place
    return f"{side.expert} of job {side.logits.job}{f', {place}' if place else ''}; lists of {side.splits_dir}"
