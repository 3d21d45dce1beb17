"""What one installation keeps, as far as retention decides about it."""

from __future__ import annotations

from dataclasses import dataclass

from app.files.row_store import RowStore
from app.files.uploads import Uploads
from app.settings import Settings
from app.store.database import Database
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore


@dataclass(frozen=True, slots=True)
class Storage:
    """Jobs, inspections, kept rows and uploads of one outputs directory. Lives as long as the API."""

    settings: Settings
    database: Database
    jobs: JobStore
    inspections: InspectionStore
    rows: RowStore
    uploads: Uploads
