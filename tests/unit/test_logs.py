"""The log: one record a line, and what it is about."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from app.logs import bind, bound, configure

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HOSTILE = 'one\ntwo\r\n{"level": "ERROR"}\x1b[31m red \u2028 \x85 \x00 \ud800 "end'


class Written:
    """A logger of its own, and the lines that it wrote."""

    def __init__(self, log_format: Literal["text", "json"], name: str = "worker.loop") -> None:
        self._stream = io.StringIO()
        handler = logging.StreamHandler(self._stream)
        configure(handler, log_format)
        self.log = logging.Logger(name)  # none that other tests could see
        self.log.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def apart(run: Callable[[], None]) -> None:
    """Run where nothing is bound, and what is bound does not last."""
    copy_context().run(run)


def test_a_json_line_has_everything_that_is_known() -> None:
    """Time in UTC, level, logger, message and what is bound; what a record brings along beside it."""
    written = Written("json")
    with bound(job="j1", expert="ce", traceparent=TRACE), bound(split="val"):
        written.log.info("job %s: done", "j1", extra={"seconds": {"rows": 0.5}})
    [line] = written.objects
    written_at = datetime.fromisoformat(line.pop("ts"))
    assert abs(datetime.now(UTC) - written_at) < timedelta(minutes=1)
    fields = {"job": "j1", "expert": "ce", "split": "val", "traceparent": TRACE, "seconds": {"rows": 0.5}}
    assert line == {"level": "INFO", "logger": "worker.loop", "message": "job j1: done", **fields}


def test_what_is_not_bound_is_not_there() -> None:
    """No fields without a value: neither where nothing is bound nor for a task without an expert."""
    written = Written("json")
    written.log.info("idle")
    with bound(job="j1", expert="", traceparent=None):
        written.log.info("verify")
    written.log.info("idle again")
    assert [set(line) - {"ts", "level", "logger", "message"} for line in written.objects] == [set(), {"job"}, set()]


def test_an_exception_is_text_in_its_line() -> None:
    """The traceback does not spill over into lines of its own."""
    written = Written("json")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        written.log.exception("failed")
    [line] = written.objects
    assert line["message"] == "failed"
    assert line["exc_info"].startswith("Traceback (most recent call last)")
    assert "ValueError: one" in line["exc_info"]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_that_is_said_breaks_a_line(log_format: Literal["text", "json"]) -> None:
    """Line ends of every kind, control characters and lone surrogates: one record stays one line, and printable."""
    written = Written(log_format)
    with bound(job=HOSTILE, expert=HOSTILE, split=HOSTILE):
        written.log.warning("no %s", HOSTILE)
    [line] = written.lines
    assert all(character.isprintable() or character == "\ud800" for character in line)
    if log_format == "json":
        assert (written.objects[0]["message"], written.objects[0]["split"]) == (f"no {HOSTILE}", HOSTILE)


def test_a_text_line_names_job_and_trace_where_they_are_known() -> None:
    """After the message, and not at all where they are not."""
    written = Written("text")
    with bound(job="j1", expert="ce", traceparent=TRACE):
        written.log.info("begins")
    written.log.info("idle")
    first, second = written.lines
    assert first.endswith(" INFO worker.loop: begins job=j1 trace=0af7651916cd43dd8448eb211c80319c")
    assert second.endswith(" INFO worker.loop: idle")


def test_what_is_bound_ends_with_its_block() -> None:
    """Even if that fails; what was bound around it is there again."""
    written = Written("json")
    with bound(job="outer"):
        with contextlib.suppress(KeyError), bound(job="inner", split="val"):
            raise KeyError
        written.log.info("after")
    [line] = written.objects
    assert (line["job"], "split" in line) == ("outer", False)


def test_a_thread_begins_with_nothing_and_binds_for_itself() -> None:
    """What two threads do at the same time is not mixed up."""
    written = Written("json")

    def work() -> None:
        written.log.info("begins")
        bind(job="theirs")
        written.log.info("binds")

    def main() -> None:
        bind(job="mine")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        written.log.info("goes on")

    apart(main)
    assert [line.get("job") for line in written.objects] == [None, "theirs", "mine"]


def test_the_server_s_line_about_a_request_has_its_parts() -> None:
    """Method, path and status as fields, the query only in the message; what is meant for terminals is left out."""
    written = Written("json", "uvicorn.access")
    arguments = ("127.0.0.1:5000", "GET", "/jobs?kind=a%0Ab", "1.1", 200)
    written.log.info('%s - "%s %s HTTP/%s" %d', *arguments, extra={"color_message": "never"})
    [line] = written.objects
    del line["ts"]
    message = '127.0.0.1:5000 - "GET /jobs?kind=a%0Ab HTTP/1.1" 200'
    fields = {"message": message, "method": "GET", "path": "/jobs", "status": 200}
    assert line == {"level": "INFO", "logger": "uvicorn.access", **fields}
