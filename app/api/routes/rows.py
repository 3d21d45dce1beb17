"""Kept rows: listed, checked row by row, removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from app.api.dependencies import Services, Used
from app.domain.errors import NotFound, RequestError, TransientError
from app.domain.times import rfc3339
from app.files.row_store import KEY, Entry

router = APIRouter(prefix="/rows", tags=["rows"])


class RowsView(BaseModel):
    """The kept rows of one expert over one pool, computed in one way."""

    key: str
    usable: bool = Field(description="False: damaged beyond use; made anew when a job asks for it.")
    seen: dict[str, Any] | None = Field(description="What they were first computed for.")
    architecture: str | None
    classes: int | None
    precision: str | None
    engine: str | None
    model: str | None = Field(description="The processor that they were computed on.")
    rows: int = Field(description="Rows that are there.")
    pool: int | None = Field(description="Images in the pool: so many rows there can be.")
    bytes: int = Field(description="On disk.")
    used_at: str | None = Field(description="When a job last used them.")

    @classmethod
    def of(cls, entry: Entry) -> RowsView:
        """As they are shown."""
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
        """Their sums."""
        return cls(keys=len(entries), rows=sum(e.rows for e in entries), bytes=sum(e.bytes for e in entries))


class RowsList(BaseModel):
    """What is kept, last used first."""

    rows: list[RowsView]
    totals: RowTotals

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> RowsList:
        """As it is shown."""
        return cls(rows=[RowsView.of(entry) for entry in entries], totals=RowTotals.of(entries))


class RowsCondition(BaseModel):
    """What a look at every row of a key found."""

    rows: int = Field(description="Rows whose checksum fits.")
    damaged: int = Field(description="Rows whose checksum does not fit; computed again when asked for.")


class RowsDetail(RowsView):
    """The same for one key, each of its rows checked."""

    source: dict[str, Any] | None = Field(description="Everything that the rows depend on; the key is its digest.")
    condition: RowsCondition | None = Field(description="None where they are not usable.")


class PruneBody(BaseModel):
    """What `POST /rows/prune` takes; at least one of its fields. What is not usable goes first, always."""

    model_config = ConfigDict(extra="forbid")

    max_bytes: Annotated[int, Strict(), Field(ge=0)] | None = Field(
        None, description="The longest unused go until the rest takes at most so many bytes."
    )
    older_than_s: Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="What no job has used for longer than so many seconds goes."
    )

    @model_validator(mode="after")
    def _something(self) -> PruneBody:
        if self.max_bytes is None and self.older_than_s is None:
            raise ValueError("max_bytes, older_than_s or both are expected")
        return self


class Pruned(BaseModel):
    """What `POST /rows/prune` did."""

    removed: list[RowsView]
    freed_bytes: int = Field(description="With what processes had left that died.")
    left: RowTotals


@router.get("")
def list_rows(used: Used) -> RowsList:
    """Every key that rows are kept under, last used first, and how much room they take."""
    with _disk():
        return RowsList.of(used.rows.entries())


@router.get("/{key}")
def get_rows(key: str, used: Used) -> RowsDetail:
    """One key: everything that its rows depend on, and their condition. Reads every row and checks it."""
    with _disk():
        entry = _entry(used, key)
        found = used.rows.condition(key)
    condition = None if found is None else RowsCondition(**asdict(found))
    view = RowsView.of(entry).model_dump()
    return RowsDetail(**view, source=entry.about.get("source"), condition=condition)


@router.delete("/{key}", status_code=204)
def delete_rows(key: str, used: Used) -> None:
    """Forget the rows of a key. A job that asks for them computes them again."""
    with _disk():
        _entry(used, key)
        used.rows.remove(key)


@router.post("/prune")
def prune(body: PruneBody, used: Used) -> Pruned:
    """Remove what is not usable, what was not used for so long, then the longest unused until the rest fits."""
    with _disk():
        removed = used.rows.prune(max_bytes=body.max_bytes, older_than_s=body.older_than_s)
        swept = used.rows.sweep()
        left = RowTotals.of(used.rows.entries())
    freed = swept + sum(entry.bytes for entry in removed)
    return Pruned(removed=[RowsView.of(entry) for entry in removed], freed_bytes=freed, left=left)


def _entry(used: Services, key: str) -> Entry:
    if not KEY.fullmatch(key):
        message = f"{key!r} is no key of kept rows. 64 hex digits (0-9, a-f) are expected; GET /rows lists them."
        raise RequestError("invalid-key", message, parameter="key")
    entry = used.rows.entry(key)
    if entry is None:
        raise NotFound("rows-not-found", f"No rows are kept under the key {key}. GET /rows lists those that are.")
    return entry


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise TransientError("disk-error", f"The disk refused{where}: {error.strerror or error}.") from error
