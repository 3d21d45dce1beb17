"""The services that routes work with; the composition root builds them once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from app.catalog.catalog import Catalog
from app.files.row_store import RowStore
from app.files.uploads import Uploads
from app.retention.orphans import Storage
from app.settings import Settings
from app.store.database import Database
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from app.store.liveness import Hangs
from app.store.rates import RateStore
from app.store.runs import RunStore
from app.store.watcher import Watcher
from app.workflows.site import WorkflowSite


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that one API process shares, from its start to its end."""

    settings: Settings
    database: Database
    jobs: JobStore
    inspections: InspectionStore
    rates: RateStore
    catalog: Catalog
    rows: RowStore
    uploads: Uploads
    watcher: Watcher
    hangs: Hangs
    instance: str
    """Tells this installation's outputs directory from a copy of it; see `GET /healthz`."""

    @classmethod
    def build(cls, settings: Settings) -> Services:
        """Open the job store and build the services on it."""
        database = Database(settings.store_path)
        jobs = JobStore(database)
        return cls(
            settings=settings,
            database=database,
            jobs=jobs,
            inspections=InspectionStore(database),
            rates=RateStore(database),
            catalog=Catalog(settings),
            rows=RowStore(settings.rows_dir),
            uploads=Uploads(settings.uploads_dir),
            watcher=Watcher(database),
            hangs=Hangs(jobs, settings.locks_dir, settings.hang_timeout_s),
            instance=_mark_outputs(settings.internal_dir / "instance"),
        )

    @property
    def workflows(self) -> WorkflowSite:
        """The services that runs need."""
        return WorkflowSite(self.jobs, RunStore(self.database), self.catalog, self.inspections)

    @property
    def storage(self) -> Storage:
        """The services that retention needs."""
        return Storage(self.settings, self.database, self.jobs, self.inspections, self.rows, self.uploads)


def _mark_outputs(path: Path) -> str:
    """Write a new token and return it with the file's inode."""
    token = uuid.uuid4().hex
    path.write_text(token)
    return f"{token}:{path.stat().st_ino}"


# async although it awaits nothing: FastAPI would run a plain function in a thread for each request.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
