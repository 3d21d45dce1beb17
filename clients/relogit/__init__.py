"""Client of a relogit server.

It submits and watches jobs, fetches their logits as arrays, and verifies files.
"""

from relogit.client import Client, SplitsRequest
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
from relogit.job import Job, JobRequest, Logits
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
    "SplitsRequest",
    "StillRunning",
    "Verification",
    "VerifyRequest",
]
