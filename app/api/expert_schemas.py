"""Responses about experts: passports, and what checkpoints say about normalisations."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.api.schemas import ErrorView


class AssumedView(BaseModel):
    """Something that a checkpoint file does not say about its network."""

    what: str
    value: str | bool | int | float | list[int] = Field(description="What the network is built with.")
    basis: Literal["assumed", "declared"]
    override: str = Field(description="Key in `datasets.toml` that declares it.")


class StoredAccuracyView(BaseModel):
    """An accuracy that a checkpoint file holds."""

    name: str = Field(description="Its place in the file.")
    value: float = Field(description="A fraction from 0 to 1.")


class PassportView(BaseModel):
    """What a worker recognised in a checkpoint file."""

    file: str
    sha256: str
    bytes: int
    format: str
    architecture: str
    widths: list[int] = Field(description="Channels that come out of each stage.")
    shortcut: str
    parameters: int = Field(description="Trained numbers, without temperature and running statistics.")
    classes: int
    temperature: float | None
    stored_accuracy: StoredAccuracyView | None
    weights: str | None = Field(description="Which of the file's sets of weights was taken.")
    dtype: str
    tensors_sha256: str = Field(description="Equal for two files exactly when their logits are.")
    largest_parameter: float = Field(description="Largest absolute one, with batch norm folded in.")
    network: dict[str, Any] = Field(description="The architecture; its fields depend on its `kind`.")
    renamed: list[str]
    assumed: list[AssumedView]
    ignored: list[str]
    notes: list[str]


class TransformView(BaseModel):
    """Normalisation of a pixel: (value / 255 - mean) / std, for R, G, B."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class DeclaredTransformView(TransformView):
    """The normalisation that `datasets.toml` declares for an expert."""

    source: Literal["data set", "override"] = Field(serialization_alias="from")


class CandidateView(BaseModel):
    """A named normalisation beside the declared one."""

    name: str
    transform: TransformView


class HintView(BaseModel):
    """Mean and std fitted freely to a checkpoint's running statistics."""

    transform: TransformView
    divergence: float


class ChannelOrderView(BaseModel):
    """The order of channels that labelled images speak for."""

    order: Literal["rgb", "bgr", "undecidable"]
    images: int
    difference: float = Field(description="Mean log-likelihood under RGB minus under BGR, in nats an image.")
    standard_error: float
    message: str


class NormalisationView(BaseModel):
    """What a checkpoint's running statistics say about its declared mean and std."""

    verdict: Literal["supported", "contradicted", "undecidable"]
    severity: Literal["error", "warning"] | None
    message: str
    declared: TransformView
    images: int
    best: CandidateView | None = Field(description="The best other normalisation.")
    declared_divergence: float | None
    best_divergence: float | None
    hypothesis: str | None = Field(description="The augmentation under which the better of both fits.")
    hint: HintView | None
    channel_order: ChannelOrderView
    base: str = Field(description="The base whose images were used.")


class ExpertView(BaseModel):
    """One expert of a data set."""

    name: str
    file: str | None
    state: Literal["ready", "unread", "bad"]
    passport: PassportView | None = Field(description="None unless a worker could read the file.")
    problem: ErrorView | None
    transform: DeclaredTransformView | None


class ExpertDetail(ExpertView):
    """One expert with its evidence about mean and std."""

    normalisation: NormalisationView | None
    proposal: list[str] = Field(description="Lines for `datasets.toml` that fit the evidence better.")


class ExpertList(BaseModel):
    """The experts of a data set under a prefix."""

    dataset: str
    experts_dir: str
    prefix: str
    experts: list[ExpertView]
    unused_overrides: list[str] = Field(description="Overrides in `datasets.toml` that match no checkpoint.")
