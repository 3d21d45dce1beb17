"""List, check and remove kept rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from app.api.dependencies import Services, ServicesDep
from app.api.schemas import RowsView, RowTotals
from app.domain.errors import NotFound, RequestError, TransientError
from app.files.row_files import Condition
from app.files.row_store import KEY, Entry

router = APIRouter(prefix="/rows", tags=["rows"])


class RowsList(BaseModel):
    """All kept rows, last used first."""

    rows: list[RowsView]
    totals: RowTotals


class RowsDetail(RowsView):
    """The kept rows of one key, each of them checked."""

    source: dict[str, Any] | None = Field(description="Everything that the rows depend on; the key is its digest.")
    condition: Condition | None = Field(description="None where they are not usable.")


class PruneBody(BaseModel):
    """The limits of `POST /rows/prune`; at least one. Unusable rows are always removed first."""

    model_config = ConfigDict(extra="forbid")

    max_bytes: Annotated[int, Strict(), Field(ge=0)] | None = Field(
        None, description="The longest unused rows are removed until the rest takes at most so many bytes."
    )
    older_than_s: Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="Rows that no job has used for longer than so many seconds are removed."
    )

    @model_validator(mode="after")
    def _at_least_one(self) -> PruneBody:
        if self.max_bytes is None and self.older_than_s is None:
            raise ValueError("max_bytes, older_than_s or both are expected")
        return self


class Pruned(BaseModel):
    """The outcome of `POST /rows/prune`."""

    removed: list[RowsView]
    freed_bytes: int = Field(description="With the leftovers of processes that died.")
    left: RowTotals


@router.get("")
def list_rows(services: ServicesDep) -> RowsList:
    """List every key of kept rows, last used first, with its size."""
    with _disk():
        entries = services.rows.entries()
    return RowsList(rows=[RowsView.of(entry) for entry in entries], totals=RowTotals.of(entries))


@router.get("/{key}")
def get_rows(key: str, services: ServicesDep) -> RowsDetail:
    """Describe one key: what its rows depend on, and their condition.

    Reads every row and checks it.
    """
    with _disk():
        entry = _entry(services, key)
        condition = services.rows.condition(key)
    view = RowsView.of(entry).model_dump()
    return RowsDetail(**view, source=entry.about.get("source"), condition=condition)


@router.delete("/{key}", status_code=204)
def delete_rows(key: str, services: ServicesDep) -> None:
    """Remove the rows of a key. A job that needs them computes them again."""
    with _disk():
        _entry(services, key)
        services.rows.remove(key)


@router.post("/prune")
def prune(body: PruneBody, services: ServicesDep) -> Pruned:
    """Remove unusable and old rows, then the longest unused ones beyond a size."""
    with _disk():
        removed = services.rows.prune(max_bytes=body.max_bytes, older_than_s=body.older_than_s)
        freed = services.rows.sweep() + sum(entry.bytes for entry in removed)
        left = RowTotals.of(services.rows.entries())
    return Pruned(removed=[RowsView.of(entry) for entry in removed], freed_bytes=freed, left=left)


def _entry(services: Services, key: str) -> Entry:
    if not KEY.fullmatch(key):
        message = f"{key!r} is no key of kept rows. 64 hex digits (0-9, a-f) are expected; GET /rows lists them."
        raise RequestError("invalid-key", message, parameter="key")
    entry = services.rows.entry(key)
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
