"""The format of the log, and the fields of its lines: job, expert, split and trace.

Code binds the fields of what it works on, in its own thread or task; a new thread begins without any.
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
"""Characters that would end a line or control a terminal → their escapes."""

_bound: ContextVar[Mapping[str, str]] = ContextVar("bound", default=MappingProxyType({}))


def bind(**fields: str | None) -> None:
    """Add fields to this thread's or task's further lines.

    Fields that are None or empty are left out.
    """
    _bound.set({**_bound.get(), **{name: value for name, value in fields.items() if value}})


@contextmanager
def bound(**fields: str | None) -> Iterator[None]:
    """Add fields, as `bind` does, within the block."""
    before = _bound.get()
    bind(**fields)
    try:
        yield
    finally:
        _bound.set(before)


def set_up(settings: Settings) -> None:
    """Configure logging to standard error from the settings.

    To be called once, from the process's `main`.
    """
    handler = logging.StreamHandler()
    configure(handler, settings.log_format)
    logging.basicConfig(level=settings.log_level, handlers=[handler])


def configure(handler: logging.Handler, log_format: Literal["text", "json"]) -> None:
    """Give a handler a format and the bound fields."""
    handler.addFilter(_Fields())
    handler.setFormatter(_Json() if log_format == "json" else _Text(TEXT))


class _Fields(logging.Filter):
    """Adds the bound fields to each record, and method, path and status to uvicorn's access records."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in _bound.get().items():
            vars(record).setdefault(name, value)
        if record.name == "uvicorn.access" and isinstance(record.args, tuple) and len(record.args) == 5:
            _, method, target, _, status = record.args
            vars(record).update(method=method, path=str(target).partition("?")[0], status=status)
        return True


class _Text(logging.Formatter):
    """A line for people, with job and trace at its end; a traceback follows below."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 — logging's name
        line = super().formatMessage(record)
        job, traceparent = (vars(record).get(name, "") for name in ("job", "traceparent"))
        if job:
            line += f" job={job}"
        if traceparent:
            line += f" trace={traceparent.split('-')[1]}"
        return line.translate(CONTROLS)


class _Json(JsonFormatter):
    """A JSON object a line, in ASCII: `ts`, `level`, `logger`, `message`, bound fields, `exc_info` as text."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "taskName", "color_message"],  # the last is uvicorn's, for terminals
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["ts"] = rfc3339(record.created)
        super().add_fields(log_data, record, message_dict)
