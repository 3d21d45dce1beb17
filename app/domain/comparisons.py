"""Paired comparisons of logits, as they are recorded. docs/metrics.md defines the figures.

Every difference is B − A: what changes where B takes the place of A. Accuracies, recalls and confidences are
fractions of 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from app.domain.checks import Check
from app.domain.evaluations import Difference

FIGURES = ("accuracy", "balanced_accuracy", "head_accuracy", "tail_accuracy", "nll", "ece", "aurc")
"""The figures of a comparison, in order. Larger is better for the accuracies, smaller for the other three."""

LARGEST_FLIPS = 24
"""Flips that are listed for each pair at most."""

CauseKind = Literal[
    "identical",
    "precision",
    "temperature",
    "prior",
    "row-constant",
    "permuted-rows",
    "other-split",
    "other-data",
    "other-calibration",
    "other-normalisation",
    "other-network",
    "other-weights",
    "unknown",
]
Proof = Literal["numbers", "manifests", "recomputed"]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which rows of A and B were paired."""

    by: Literal["order", "sample"]
    """`order`: both have the same list, so row i of A is paired with row i of B. `sample`: the lists differ."""
    rows: int
    """Pairs."""
    samples: int
    """Distinct samples among them."""
    left_out_a: int
    """Rows of A whose sample B does not have, or has fewer times."""
    left_out_b: int


@dataclass(frozen=True, slots=True)
class PairedFigure:
    """One figure of A and of B on the paired rows, with the paired bootstrap of the difference."""

    name: str
    """One of FIGURES."""
    a: float | None
    """None where the rows leave it undefined, such as the tail accuracy without a row of the tail."""
    b: float | None
    difference: Difference | None
    """B − A, with its 95 % interval."""


@dataclass(frozen=True, slots=True)
class McNemar:
    """The exact test of whether A and B are equally often right, over distinct samples.

    A sample that the list repeats counts once: the test is of independent draws, and repeats would make p too small.
    """

    both_right: int
    """Samples; the four counts add up to `Pairing.samples`."""
    only_a: int
    """Samples that A alone has right."""
    only_b: int
    both_wrong: int
    p: float
    """Two-sided exact p; 1 without a sample that one alone has right."""
    p_holm: float
    """Adjusted by Holm for the pairs of this split; equals `p` for a single pair."""
    pairs: int
    """Of this split, that it was adjusted for."""


@dataclass(frozen=True, slots=True)
class LogitGap:
    """How far the logits of A and B are apart; only where both have the same number of classes."""

    largest: float
    """max |Δ|."""
    mean: float
    """mean |Δ| over all rows and classes."""
    scale: float
    """Root mean square of A's and B's logits together, each row's mean removed: what a gap is small against."""


@dataclass(frozen=True, slots=True)
class FlipGroup:
    """The rows of one class group whose predicted class differs. `all` is every row."""

    name: str
    """`all`, `head` or `tail`."""
    rows: int
    """Of the group, by label."""
    flips: int
    to_right: int
    """Flips that B has right."""
    to_wrong: int
    """Flips that A has right."""
    margin_a: float | None
    """Median over the flips of A's largest minus second largest logit; None without a flip."""
    margin_b: float | None
    largest_margin: float | None
    """Largest over the flips of min(margin of A, margin of B)."""


@dataclass(frozen=True, slots=True)
class ClassRecall:
    """The recalls of one class."""

    number: int
    """Of the class, 0…C−1."""
    train_count: int | None
    """Its train samples; None where they are not known."""
    rows: int
    a: float
    b: float
    difference: float
    """B − A."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A row whose predicted class differs between A and B."""

    row: int
    """Of A's list."""
    sample: int
    """Index into the base."""
    label: int
    prediction_a: int
    prediction_b: int
    confidence_a: float
    """Largest softmax probability."""
    confidence_b: float
    margin_a: float
    """Largest minus second largest logit."""
    margin_b: float
    picture: str | None = None
    """Key of its thumbnail in `pictures.json`; None where there is none."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why A and B differ, as far as it is proved."""

    kind: CauseKind
    sentence: str
    """For people: what was found, with its numbers; for `unknown`, that no cause is proved."""
    value: str | None = None
    """What differs, if it is one thing: a temperature `1.37`, a normalisation `mean … std …`, a number of rows."""
    proof: Proof | None = None
    """`numbers`: the logits themselves; `manifests`; `recomputed`: some rows, with the expert; None for `unknown`."""
    excluded: tuple[str, ...] = ()
    """Sentences: what was tried and does not hold, with its numbers."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cause:
        """Rebuild the cause that `asdict` wrote."""
        return cls(**{**data, "excluded": tuple(data["excluded"])})


@dataclass(frozen=True, slots=True)
class PairComparison:
    """A and B on one split."""

    split: str
    a: str
    """Label of the side."""
    b: str
    base: str
    """What the samples index."""
    pairing: Pairing
    mcnemar: McNemar
    figures: tuple[PairedFigure, ...]
    """In the order of FIGURES."""
    logits: LogitGap | None
    """None where the numbers of classes differ."""
    flips: tuple[FlipGroup, ...]
    """`all`, then the class groups that have rows."""
    classes: tuple[ClassRecall, ...]
    """Those that have rows, from the most train samples to the fewest; by number where the counts are not known."""
    largest_flips: tuple[Flip, ...]
    """At most LARGEST_FLIPS, by the smaller of both margins, falling."""
    cause: Cause

    @property
    def agreement(self) -> float:
        """Share of the rows with the same predicted class."""
        return 1 - self.flips[0].flips / self.pairing.rows

    def figure(self, name: str) -> PairedFigure:
        """Return one of FIGURES."""
        return next(figure for figure in self.figures if figure.name == name)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PairComparison:
        """Rebuild the comparison that `asdict` wrote."""
        parts = {
            "pairing": Pairing(**data["pairing"]),
            "mcnemar": McNemar(**data["mcnemar"]),
            "figures": tuple(_figure(figure) for figure in data["figures"]),
            "logits": None if data["logits"] is None else LogitGap(**data["logits"]),
            "flips": tuple(FlipGroup(**group) for group in data["flips"]),
            "classes": tuple(ClassRecall(**recall) for recall in data["classes"]),
            "largest_flips": tuple(Flip(**flip) for flip in data["largest_flips"]),
            "cause": Cause.from_dict(data["cause"]),
        }
        return cls(**{**data, **parts})


@dataclass(frozen=True, slots=True)
class SkippedPair:
    """A pair that could not be compared on one split."""

    split: str
    a: str
    b: str
    reason: str
    """A sentence: why, and what would be right."""


@dataclass(frozen=True, slots=True)
class ComparisonOutcome:
    """All pairs of a comparison, on all splits."""

    pairs: tuple[PairComparison, ...]
    """Split by split; at least one."""
    skipped: tuple[SkippedPair, ...]
    group_names: tuple[str, ...]
    """`head`, `tail`; empty where the train counts are not known."""
    resamples: int
    level: float
    """Of all intervals, such as 0.95."""
    seed: int
    versions: Mapping[str, str]
    pictures_reason: str | None = None
    """Why there are no pictures; None where there are some, or where nothing flips."""
    checks: tuple[Check, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Written file, below the outputs directory → sha256."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits on which some pair was compared, in order."""
        return tuple(dict.fromkeys(pair.split for pair in self.pairs))

    def of_split(self, split: str) -> tuple[PairComparison, ...]:
        """Return the pairs that were compared on one split."""
        return tuple(pair for pair in self.pairs if pair.split == split)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ComparisonOutcome:
        """Rebuild the outcome that `to_dict` wrote."""
        parts = {
            "pairs": tuple(PairComparison.from_dict(pair) for pair in data["pairs"]),
            "skipped": tuple(SkippedPair(**pair) for pair in data["skipped"]),
            "group_names": tuple(data["group_names"]),
            "checks": tuple(Check.from_dict(check) for check in data["checks"]),
        }
        return cls(**{**data, **parts})

    def to_dict(self) -> dict[str, Any]:
        """Write it as stored and sent."""
        return asdict(self)


def _figure(data: Mapping[str, Any]) -> PairedFigure:
    difference = data["difference"]
    return PairedFigure(**{**data, "difference": None if difference is None else Difference(**difference)})
