"""Collect what is wrong with a request, so that one answer names all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from app.domain.errors import Conflict, Refused, RequestError
from app.domain.names import check_name

T = TypeVar("T")


def check_prefix(prefix: str) -> str:
    """Check a checkpoint prefix, which may be empty."""
    return check_name("checkpoint_prefix", prefix, may_be_empty=True)


class Problems:
    """The problems of one request, each with a `pointer` into it."""

    def __init__(self) -> None:
        self.errors: list[RequestError] = []

    def guard(self, where: str, attempt: Callable[[], T]) -> T | None:
        """Return the attempt's result; on failure, note the problem.

        A problem that is noted already, at any place, is not noted again.
        """
        try:
            return attempt()
        except RequestError as error:
            if error.message not in {known.message for known in self.errors}:
                self.add(where, error)
            return None

    def add(self, where: str, error: RequestError) -> None:
        """Note a problem at that place of the request."""
        error.details.setdefault("pointer", f"#/{where}")
        self.errors.append(error)

    def refusal(self) -> RequestError:
        """Return the error to raise: a sole conflict, or a refusal."""
        first = self.errors[0]
        return first if len(self.errors) == 1 and isinstance(first, Conflict) else Refused(self.errors)
