"""The errors of the client, as one tree.

RelogitError            code; `problem()` returns it in the shape of the server's problem JSON
├── InvalidServer       the server's address is not an http(s) URL (also a ValueError)
├── InvalidPath         a local path holds nothing that can be used (also a ValueError)
├── ServerUnreachable   no answer, or an answer that does not come from a relogit server
├── Problem             the server answered with an error: status, code, detail, errors
├── Missing             the job or the artifact does not exist (also a LookupError)
├── StillRunning        `wait(timeout=…)` ran out; the job goes on (also a TimeoutError)
├── WrongUsage          a command line is invalid; no method of the client raises it
├── IntegrityError      a download differs from what the server announced
├── StaleList           an index list is no longer the one that a job used
├── Refused             a job's results are not verified, or a folder must not be replaced
└── MissingExtra        a library that an extra of relogit installs is missing (also an ImportError)
"""

from __future__ import annotations

from typing import Any


class RelogitError(Exception):
    """Base of every error that the client raises on purpose.

    `code` is a kebab-case name that scripts may rely on; `str(error)` is a plain sentence.
    """

    code: str = "relogit-error"

    def problem(self) -> dict[str, Any]:
        """Return the error as problem JSON.

        It has a status only if a server gave one.
        """
        return {"type": "about:blank", "code": self.code, "detail": str(self), "errors": []}


class InvalidServer(RelogitError, ValueError):
    """The address of the server is not an http:// or https:// URL."""

    code = "invalid-server"


class InvalidPath(RelogitError, ValueError):
    """A local path cannot be read, or holds no usable file."""

    code = "invalid-path"


class ServerUnreachable(RelogitError):
    """No relogit server answers at `server`."""

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
        """Return the server's problem JSON with missing members added."""
        known = {"status": self.status, "code": self.code, "detail": self.detail, "errors": self.errors}
        return {"type": "about:blank", "title": self.title, **self._body, **known}


class Missing(RelogitError, LookupError):
    """The requested job or artifact does not exist."""

    code = "missing"


class StillRunning(RelogitError, TimeoutError):
    """The job did not end within the caller's timeout."""

    code = "still-running"


class WrongUsage(RelogitError):
    """A command line is invalid; the `relogit` command prints this with `--json`."""

    code = "usage"


class IntegrityError(RelogitError):
    """A download differs from what the server announced; nothing was kept."""

    code = "integrity"


class StaleList(RelogitError):
    """An index list is no longer the one that a job used."""

    code = "stale-list"


class Refused(RelogitError):
    """The client refuses an export: results that are not verified, or a folder that must not be replaced."""

    code = "refused"


class MissingExtra(RelogitError, ImportError):
    """A library is missing that an extra of relogit installs."""

    code = "missing-extra"

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"This needs {library}, which is not installed: pip install 'relogit[{extra}]'")
