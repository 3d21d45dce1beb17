"""Client of a relogit server: submit jobs, watch them, take their logits as arrays."""

from relogit.client import Client, JobRequest
from relogit.download import Saved
from relogit.errors import (
    IntegrityError,
    InvalidServer,
    Missing,
    Problem,
    RelogitError,
    ServerUnreachable,
    StillRunning,
)
from relogit.job import Job, Logits

__all__ = [
    "Client",
    "IntegrityError",
    "InvalidServer",
    "Job",
    "JobRequest",
    "Logits",
    "Missing",
    "Problem",
    "RelogitError",
    "Saved",
    "ServerUnreachable",
    "StillRunning",
]
