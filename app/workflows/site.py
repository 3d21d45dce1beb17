"""What the steps of a run work with."""

from __future__ import annotations

from dataclasses import dataclass

from app.catalog.catalog import Catalog
from app.domain.numerics import ComputeEnvironment
from app.settings import Settings
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from app.store.liveness import compute_environments
from app.store.runs import RunStore


@dataclass(frozen=True, slots=True)
class WorkflowSite:
    """The services of runs. Lives as long as the API; safe to use from any thread."""

    jobs: JobStore
    runs: RunStore
    catalog: Catalog
    inspections: InspectionStore

    @property
    def settings(self) -> Settings:
        """The service's settings."""
        return self.catalog.settings

    def compute_environments(self) -> list[ComputeEnvironment]:
        """List how the living workers compute."""
        return compute_environments(self.jobs, self.settings.locks_dir)
