"""Responses about sets of splits, their lists, and data sets."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from app.api.schemas import ErrorView
from app.catalog.datasets import Dataset
from app.catalog.long_tail import Balance
from app.catalog.split_sets import DatasetDescription
from app.domain.requests import Profile
from app.report.split_picture import ClassGroups


class SetOrigin(BaseModel):
    """How a set of splits was made, as its `splits.json` says."""

    made_by: str | None
    made_at: str | None
    profile: str | None
    imbalance_factor: float | None
    seed: int | None
    test_shares: list[int] | None
    expert_share: float | None
    dataset: DatasetDescription | None


class ListSummary(BaseModel):
    """An index list as a listing of sets shows it."""

    name: str
    base: str | None = Field(description="What its indices point into.")
    size: int | None
    problem: ErrorView | None


class SetSummary(BaseModel):
    """A set of splits as a listing shows it."""

    name: str
    own: bool = Field(description="Whether the data set's jobs take it by default.")
    claimed: bool = Field(description="Whether `datasets.toml` or its `splits.json` names the set's data set.")
    description: SetOrigin | None
    problem: ErrorView | None = Field(description="Why its `splits.json` cannot be used.")
    splits: list[ListSummary]


class SetList(BaseModel):
    """The sets of splits of a data set."""

    dataset: str
    sets: list[SetSummary]


class ListView(BaseModel):
    """An index list with its class counts."""

    name: str
    base: str | None = Field(description="What its indices point into.")
    size: int | None
    sha256: str | None
    state: Literal["ready", "unread", "bad"] = Field(description="`unread`: no worker has counted classes yet.")
    classes: int | None
    class_counts: list[int] | None
    problem: ErrorView | None


class SetView(BaseModel):
    """A set of splits with its lists."""

    name: str
    dataset: str
    own: bool = Field(description="Whether the data set's jobs take it by default.")
    description: SetOrigin | None
    problem: ErrorView | None = Field(description="Why its `splits.json` cannot be used.")
    splits: list[ListView]
    groups: ClassGroups | None


class IndexList(BaseModel):
    """One index list with its indices."""

    name: str = Field(description="Of the set.")
    split: str
    dataset: str
    base: str
    sha256: str
    size: int
    indices: list[int]


class ImportedListView(BaseModel):
    """An index list that was imported."""

    base: str
    size: int
    sha256: str


class CreatedList(ImportedListView):
    """An index list that was drawn."""

    balance: Balance | None = Field(description="How its rows are spread over the classes.")
    row_order: Literal["class-major"]
    part_of: str | None = Field(description="The list whose samples these are too.")


class CreatedSet(BaseModel):
    """A set of splits that was created, as its `splits.json` describes it."""

    schema_: int = Field(alias="schema", description="Version of `splits.json`.")
    name: str
    made_by: str
    made_at: str
    profile: Profile
    imbalance_factor: float
    seed: int
    test_shares: list[int]
    expert_share: float | None
    lists: dict[str, CreatedList]
    train_class_counts: list[int]
    groups: dict[str, list[int]] = Field(description="Classes by their train counts: head, tail, many, medium, few.")
    dataset: DatasetDescription


class ImportedDataset(BaseModel):
    """The data set that an imported set belongs to, by its name."""

    name: str


class ImportedSet(BaseModel):
    """A set of splits that was imported, as its `splits.json` describes it."""

    schema_: int = Field(alias="schema", description="Version of `splits.json`.")
    name: str
    made_by: str
    made_at: str
    lists: dict[str, ImportedListView]
    dataset: ImportedDataset
    doubtful: list[str] = Field(description="What may be wrong with the lists, as sentences.")


class DatasetView(Dataset, ImportedDataset):
    """A data set as `datasets.toml` declares it, with its name first."""


class DatasetList(BaseModel):
    """The data sets that `datasets.toml` declares."""

    datasets: list[DatasetView]
