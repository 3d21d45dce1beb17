"""What the log looks like, and what each of its lines is about: job, expert, split and trace.

Who does something binds what it is about, in the thread or the task that does it: a new thread begins with nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from app.domain.times import rfc3339
from app.settings import Settings

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CONTROLS = {
    code: chr(code).encode("unicode_escape").decode()
    for code in (*range(32), *range(127, 160), 0x2028, 0x2029)
    if code != ord("\t")
}
"""What would end a line, or do something to a terminal, and how it is shown instead."""

_bound: ContextVar[Mapping[str, str]] = ContextVar("bound", default=MappingProxyType({}))


def bind(**fields: str | None) -> None:
    """From here on, what this thread or task logs is about this as well; what is None or empty is left out."""
    _bound.set({**_bound.get(), **{name: value for name, value in fields.items() if value}})


@contextmanager
def bound(**fields: str | None) -> Iterator[None]:
    """The same for as long as the block lasts."""
    before = _bound.get()
    bind(**fields)
    try:
        yield
    finally:
        _bound.set(before)


def set_up(settings: Settings) -> None:
    """Let everything that is logged go to standard error, as the settings say. Once a process, from its `main`."""
    handler = logging.StreamHandler()
    furnish(handler, settings.log_format)
    logging.basicConfig(level=settings.log_level, handlers=[handler])


def furnish(handler: logging.Handler, log_format: Literal["text", "json"]) -> None:
    """Let the handler write lines of that format, with what they are about."""
    handler.addFilter(_Fields())
    handler.setFormatter(_Json() if log_format == "json" else _Text(TEXT))


class _Fields(logging.Filter):
    """Adds what is bound to each record, and what the server says of a request as fields of their own."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in _bound.get().items():
            vars(record).setdefault(name, value)
        if record.name == "uvicorn.access" and isinstance(record.args, tuple) and len(record.args) == 5:
            _, method, target, _, status = record.args
            vars(record).update(method=method, path=str(target).partition("?")[0], status=status)
        return True


class _Text(logging.Formatter):
    """A line for people, the job and the trace behind it where they are known; below it a traceback, if any."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 — the name is given
        line = super().formatMessage(record)
        job, traceparent = (vars(record).get(name, "") for name in ("job", "traceparent"))
        if job:
            line += f" job={job}"
        if traceparent:
            line += f" trace={traceparent.split('-')[1]}"
        return line.translate(CONTROLS)


class _Json(JsonFormatter):
    """An object a line, in ASCII: `ts`, `level`, `logger`, `message`, what is bound, `exc_info` as text."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "taskName", "color_message"],  # the last is uvicorn's, for terminals
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["ts"] = rfc3339(record.created)
        super().add_fields(log_data, record, message_dict)
