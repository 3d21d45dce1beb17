"""Kept rows as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from app.domain.times import rfc3339
from app.files.row_store import Entry


class RowsView(BaseModel):
    """The kept rows of one expert over one pool, computed in one way."""

    key: str
    usable: bool = Field(description="False: damaged beyond use; created anew when a job asks for it.")
    seen: dict[str, Any] | None = Field(description="What they were first computed for.")
    architecture: str | None
    classes: int | None
    precision: str | None
    engine: str | None
    model: str | None = Field(description="The processor that they were computed on.")
    rows: int = Field(description="Rows that are there.")
    pool: int | None = Field(description="Images in the pool: the largest number of rows.")
    bytes: int = Field(description="On disk.")
    used_at: str | None = Field(description="When a job last used them.")

    @classmethod
    def of(cls, entry: Entry) -> RowsView:
        """Build the view of an entry of the store."""
        source = entry.about.get("source", {})
        numerics = source.get("numerics", {})
        return cls(
            key=entry.key,
            usable=entry.usable,
            seen=entry.about.get("seen"),
            architecture=source.get("network", {}).get("architecture"),
            classes=source.get("classes"),
            precision=numerics.get("precision"),
            engine=numerics.get("engine"),
            model=numerics.get("model"),
            rows=entry.rows,
            pool=entry.about.get("size"),
            bytes=entry.bytes,
            used_at=rfc3339(entry.used_at) if entry.used_at else None,
        )


class RowTotals(BaseModel):
    """Kept rows, summed."""

    keys: int
    rows: int
    bytes: int

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> RowTotals:
        """Sum the entries of the store."""
        return cls(keys=len(entries), rows=sum(e.rows for e in entries), bytes=sum(e.bytes for e in entries))
