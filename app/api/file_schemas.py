"""Responses about a job's artifacts and about uploads."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ArtifactView(BaseModel):
    """The file of logits of one unit."""

    expert: str
    split: str
    path: str = Field(description="Below the outputs directory.")
    href: str = Field(description="Where to download it.")
    bytes: int
    sha256: str
    manifest: dict[str, Any] = Field(description="How it was computed, as in the `.json` beside the file.")


class ArtifactList(BaseModel):
    """The artifacts of a job's units that are done."""

    job: str
    artifacts: list[ArtifactView]


class UploadView(BaseModel):
    """An upload and its files."""

    id: str
    files: dict[str, int] = Field(description="Name to bytes.")
