"""What can go wrong on the client's side, as one tree.

RelogitError            code; `problem()` gives it in the shape of the server's problem JSON
├── InvalidServer       the server's address is no http(s) URL (also a ValueError)
├── InvalidPath         a path of the caller's holds nothing that could be verified (also a ValueError)
├── ServerUnreachable   no answer, or an answer that no relogit server gives
├── Problem             the server answered with an error: status, code, detail, errors
├── Missing             there is no such job or artifact (also a LookupError)
├── StillRunning        `wait(timeout=…)` ran out; the job goes on (also a TimeoutError)
├── WrongUsage          the command line cannot be read; raised by no method of the client
└── IntegrityError      a download is not what the server announced
"""

from __future__ import annotations

from typing import Any


class RelogitError(Exception):
    """Base of every error that the client raises on purpose.

    `code` is a kebab-case name that scripts may rely on; `str(error)` is a plain sentence.
    """

    code: str = "relogit-error"

    def problem(self) -> dict[str, Any]:
        """The error in the shape of the server's problem JSON, without a status if no server gave one."""
        return {"type": "about:blank", "code": self.code, "detail": str(self), "errors": []}


class InvalidServer(RelogitError, ValueError):
    """The address of the server is not an http:// or https:// URL."""

    code = "invalid-server"


class InvalidPath(RelogitError, ValueError):
    """A path that was to be verified is not there, holds no logits, or cannot be read."""

    code = "invalid-path"


class ServerUnreachable(RelogitError):
    """Nothing answers at `server`, or what answers is no relogit server."""

    code = "server-unreachable"

    def __init__(self, server: str, why: str) -> None:
        super().__init__(f"The relogit server at {server} is out of reach: {why}")
        self.server = server


class Problem(RelogitError):
    """The server answered with an error (RFC 9457 problem details).

    Args:
        status: the HTTP status, 300 to 599.
        body: the problem JSON; missing members are filled in.
    """

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.code: str = body.get("code") or f"http-{status}"
        self.title: str = body.get("title") or "Error"
        self.detail: str = body.get("detail") or self.title
        #: One entry for each thing that was wrong: `code`, `detail`, perhaps `pointer` and `available`.
        self.errors: list[dict[str, Any]] = body.get("errors") or []
        self._body = body
        super().__init__(self.detail)

    def problem(self) -> dict[str, Any]:
        """The problem JSON as the server sent it, with at least status, code, detail and errors."""
        known = {"status": self.status, "code": self.code, "detail": self.detail, "errors": self.errors}
        return {"type": "about:blank", "title": self.title, **self._body, **known}


class Missing(RelogitError, LookupError):
    """The job or the artifact that was asked for is not there."""

    code = "missing"


class StillRunning(RelogitError, TimeoutError):
    """The job has not ended within the time that the caller gave it."""

    code = "still-running"


class WrongUsage(RelogitError):
    """The words of a command line make no command; the `relogit` command shows this with `--json`."""

    code = "usage"


class IntegrityError(RelogitError):
    """A download differs from what the server announced; nothing of it was kept."""

    code = "integrity"
