"""Client of a relogit server: submit jobs, watch them, take their logits as arrays, verify files."""

from relogit.client import Client, JobRequest
from relogit.download import Saved
from relogit.errors import (
    IntegrityError,
    InvalidPath,
    InvalidServer,
    Missing,
    Problem,
    RelogitError,
    ServerUnreachable,
    StillRunning,
)
from relogit.job import Job, Logits
from relogit.verification import Verification, VerifyRequest

__all__ = [
    "Client",
    "IntegrityError",
    "InvalidPath",
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
    "Verification",
    "VerifyRequest",
]
