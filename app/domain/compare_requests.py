"""Requests for paired comparisons of logits, as they are accepted and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from app.domain.combine_requests import InputFile, InputList, LogitsInput
from app.domain.standards import Standards


@dataclass(frozen=True, slots=True)
class ComparedSide:
    """The verified logits of one expert, which are compared with another's."""

    label: str
    """Unique in the request: what tables, charts and files call it, such as `ce` or `job-1:ce`."""
    expert: str
    """As the job calls it."""
    dataset: str
    splits_dir: str
    """Of its job, below the data directory: where its lists lie."""
    logits: LogitsInput = field(repr=False)
    """This expert's files, one for each split."""
    lists: tuple[InputList, ...] = field(repr=False)
    """The index lists that the rows of the files belong to, one for each split."""
    declaration: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The data set as its job kept it."""
    doubts: tuple[str, ...] = ()
    """Sentences about the checks that its files failed; a result of them repeats these."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that it has logits for."""
        return tuple(item.split for item in self.lists)

    def list_of(self, split: str) -> InputList:
        """Return the index list of one of its splits."""
        return next(item for item in self.lists if item.split == split)

    def file_of(self, split: str) -> InputFile:
        """Return the file of one of its splits."""
        return next(file for file in self.logits.files if file.split == split)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ComparedSide:
        """Rebuild the side that `asdict` wrote."""
        parts = {
            "logits": LogitsInput.from_dict(data["logits"]),
            "lists": tuple(InputList(**item) for item in data["lists"]),
            "doubts": tuple(data.get("doubts", ())),
        }
        return cls(**{**data, **parts})


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """Compare logits of the same samples, pair by pair."""

    kind: ClassVar[Literal["comparison"]] = "comparison"

    dataset: str
    """Of the train counts, groups and pictures: the first side's."""
    splits_dir: str
    """Of the train counts, below the data directory: the first side's."""
    name: str
    """Of its folder below `output_dir`."""
    output_dir: str
    """Below the outputs directory."""
    sides: tuple[ComparedSide, ...]
    pairs: tuple[tuple[str, str], ...]
    """Labels of A and B. Each is compared on each of `splits` that both sides have."""
    splits: tuple[str, ...]
    head_threshold: int = 20
    """Classes with more train samples than this are head classes."""
    declaration: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The data set as the first side's job kept it."""
    counts_sha256: str | None = None
    """Of the file that the train counts come from; None where there is none, and then no group."""
    identity: str = ""
    """sha256 over everything that decides the result, code included: equal ones have equal results."""

    @property
    def standards(self) -> Standards:
        """What groups the classes."""
        return Standards(head_threshold=self.head_threshold)

    def side(self, label: str) -> ComparedSide:
        """Return the side of that label."""
        return next(side for side in self.sides if side.label == label)

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON-able fields, as stored."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ComparisonRequest:
        """Rebuild the request that `to_dict` wrote."""
        parts = {
            "sides": tuple(ComparedSide.from_dict(side) for side in data["sides"]),
            "pairs": tuple((pair[0], pair[1]) for pair in data["pairs"]),
            "splits": tuple(data["splits"]),
        }
        return cls(**{**data, **parts})
