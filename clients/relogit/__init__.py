"""Client of a relogit server.

It submits and watches jobs, fetches their logits as arrays, verifies files, and combines and evaluates experts.
"""

from relogit.client import Client, SplitsRequest
from relogit.combination import Evaluation, EvaluationRequest, Gating, GatingRequest, Rejector, RejectorRequest
from relogit.comparison import Comparison, ComparisonRequest
from relogit.download import Saved
from relogit.errors import (
    IntegrityError,
    InvalidPath,
    InvalidServer,
    Missing,
    MissingExtra,
    Problem,
    Refused,
    RelogitError,
    ServerUnreachable,
    StaleList,
    StillRunning,
)
from relogit.job import Job, JobRequest, Logits
from relogit.run import Run, RunRequest
from relogit.verification import Verification, VerifyRequest

__all__ = [
    "Client",
    "Comparison",
    "ComparisonRequest",
    "Evaluation",
    "EvaluationRequest",
    "Gating",
    "GatingRequest",
    "IntegrityError",
    "InvalidPath",
    "InvalidServer",
    "Job",
    "JobRequest",
    "Logits",
    "Missing",
    "MissingExtra",
    "Problem",
    "Refused",
    "Rejector",
    "RejectorRequest",
    "RelogitError",
    "Run",
    "RunRequest",
    "Saved",
    "ServerUnreachable",
    "SplitsRequest",
    "StaleList",
    "StillRunning",
    "Verification",
    "VerifyRequest",
]
