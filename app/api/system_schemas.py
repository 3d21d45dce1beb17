"""Responses about the service's health."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from app.api.schemas import ErrorView


class Health(BaseModel):
    """The API lives."""

    status: Literal["ok"]
    version: str
    instance: str = Field(description="`<token>:<inode>` of the file that marks the outputs directory.")


class WorkerView(BaseModel):
    """A living worker."""

    id: str
    pid: int
    device: str
    engine: str | None
    engine_version: str | None
    model: str | None = Field(description="The processor that it computes on.")
    precisions: list[str] | None
    silent_s: float | None = Field(description="Seconds without a heartbeat, of a worker that hangs.")


class WarmExpert(BaseModel):
    """An expert that a worker loads at its start."""

    worker: str
    expert: str
    state: Literal["loading", "ready", "failed"]
    error: ErrorView | None


class ReadinessCheck(BaseModel):
    """Whether one part of the service works."""

    ok: bool
    detail: str


class WorkerCheck(ReadinessCheck):
    """Whether a worker lives and none hangs."""

    workers: list[WorkerView]


class DiskCheck(ReadinessCheck):
    """Whether the disk of the outputs directory has room."""

    free_bytes: int | None = Field(None, description="Left out where it cannot be measured.")


class WarmStartCheck(ReadinessCheck):
    """Whether all workers have loaded what they load at their start."""

    experts: list[WarmExpert]


class ReadinessChecks(BaseModel):
    """All checks of readiness."""

    worker: WorkerCheck
    store: ReadinessCheck
    disk: DiskCheck
    warm_start: WarmStartCheck


class Readiness(BaseModel):
    """Whether a job sent now would be done."""

    ready: bool
    checks: ReadinessChecks
