"""What the routes work with, made once by the composition root."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from app.catalog.catalog import Catalog
from app.domain.errors import RequestError
from app.files.row_store import RowStore
from app.files.uploads import Uploads
from app.retention.storage import Storage
from app.settings import Settings
from app.store.database import Database
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from app.store.liveness import Hangs
from app.store.watcher import Watcher


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that one API process shares; lives from its start to its end."""

    settings: Settings
    database: Database
    jobs: JobStore
    inspections: InspectionStore
    catalog: Catalog
    rows: RowStore
    uploads: Uploads
    watcher: Watcher
    hangs: Hangs
    instance: str
    """What tells this installation's outputs directory from a copy of it; see `GET /healthz`."""

    @classmethod
    def build(cls, settings: Settings) -> Services:
        """Open the store and put the parts together."""
        database = Database(settings.store_path)
        jobs = JobStore(database)
        return cls(
            settings=settings,
            database=database,
            jobs=jobs,
            inspections=InspectionStore(database),
            catalog=Catalog(settings),
            rows=RowStore(settings.rows_dir),
            uploads=Uploads(settings.uploads_dir),
            watcher=Watcher(database),
            hangs=Hangs(jobs, settings.locks_dir, settings.hang_timeout_s),
            instance=_instance(settings.internal_dir / "instance"),
        )

    @property
    def storage(self) -> Storage:
        """The parts that retention decides about."""
        return Storage(self.settings, self.database, self.jobs, self.inspections, self.rows, self.uploads)


def _instance(path: Path) -> str:
    """The token that marks the outputs directory, made anew by each service, and the inode of its file."""
    token = uuid.uuid4().hex
    path.write_text(token)
    return f"{token}:{path.stat().st_ino}"


# async, though nothing waits here: a plain function would be run in a thread, for each request.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Used = Annotated[Services, Depends(_services)]


async def refuse_unknown_parameters(request: Request) -> None:
    """A misspelt query parameter must not be answered as if it had not been there.

    Raises:
        RequestError: `unknown-parameter`.
    """
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            there = f"There are: {', '.join(sorted(known))}." if known else "There are none here."
            message = f"There is no query parameter {name!r}. {there}"
            raise RequestError("unknown-parameter", message, parameter=name, available=sorted(known))
