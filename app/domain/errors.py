"""The errors that relogit raises on purpose, as one tree.

    RelogitError              code, message, details
    ├── RequestError          the caller's: refused with 4xx, or, found by a worker, stored on the unit
    │   ├── NotFound          there is no such thing
    │   ├── Conflict          not in the state that it is in
    │   └── Refused           several problems of one request, each named
    ├── JobError              stored on the unit, not retried
    ├── TransientError        may pass: tried again a bounded number of times
    └── FatalError            the device is lost: the process exits and is restarted

No HTTP here: which class answers with which status stands in one map in `app.api.problems`. Between processes an
error travels as its code, message and details.
"""

from __future__ import annotations

from typing import Any, Self


class RelogitError(Exception):
    """Base of every error that relogit raises on purpose.

    Args:
        code: kebab-case name, stable between versions; scripts may rely on it.
        message: one or two plain sentences that say what is wrong and what would have been right.
        details: JSON-able facts behind the message, such as `available` names.
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def to_dict(self) -> dict[str, Any]:
        """Write it as stored and sent: `code`, `message`, `details`."""
        return {"code": self.code, "message": self.message, "details": self.details}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild the error that `to_dict` wrote, as this class."""
        return cls(data["code"], data["message"], **data.get("details", {}))


class RequestError(RelogitError):
    """The request cannot be carried out as it stands."""


class NotFound(RequestError):
    """There is no such job, artifact, expert or data set."""


class Conflict(RequestError):
    """The resource is in a state that does not allow the request."""


class Refused(RequestError):
    """A request with one or more problems, each named in `problems`.

    The code is the problems' common code, or `invalid-request` where they differ.
    """

    def __init__(self, problems: list[RequestError]) -> None:
        codes = {problem.code for problem in problems}
        code = codes.pop() if len(codes) == 1 else "invalid-request"
        super().__init__(code, " ".join(problem.message for problem in problems))
        self.problems = problems


class JobError(RelogitError):
    """The work is impossible; another try would fail in the same way."""


class TransientError(RelogitError):
    """A failure that may pass, such as a busy disk."""


class FatalError(RelogitError):
    """The process cannot go on; its supervisor starts a fresh one."""
