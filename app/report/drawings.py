"""Drawn charts with the data that they show: as part of a page, as SVG for a paper, and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

from markupsafe import Markup

Value = str | float | int | None

MAX_NAME = 80
SVG_TAG = re.compile(r'<svg class="chart" viewBox="0 0 (\S+) (\S+)"')


class Drawing(Markup):
    """A chart's SVG, which pages show as it is, with its title and its data."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    @classmethod
    def of(cls, svg: Markup, heading: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> Drawing:
        """Join an SVG and its data; `columns` name units where there are any."""
        drawing = cls(svg)
        drawing.heading, drawing.columns = heading, tuple(columns)
        drawing.rows = tuple(tuple(row) for row in rows)
        return drawing

    def to_csv(self) -> str:
        """Write the data as CSV (RFC 4180), with a header; numbers keep all their digits."""
        return write_csv(self.columns, self.rows)

    def to_svg(self, style: str) -> str:
        """Write the chart as a file of its own, with its style sheet, on white."""
        head = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            r'<svg xmlns="http://www.w3.org/2000/svg" class="chart" width="\1" height="\2" viewBox="0 0 \1 \2"'
        )
        text, found = SVG_TAG.subn(head, str(self), count=1)
        if not found:
            raise ValueError(f"the drawing {self.heading!r} is no chart")
        inside = f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>'
        return text.replace("</desc>", f"</desc>{inside}", 1) + "\n"


def write_csv(columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> str:
    """Write rows as CSV (RFC 4180); a missing value is an empty field."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return file.getvalue()


def collect_drawings(page: object) -> dict[str, Drawing]:
    """Find all drawings of a page, by names that suit files; each keeps its place."""
    drawings: dict[str, Drawing] = {}
    for drawing in _walk(page):
        name = stem = file_name(drawing.heading)
        number = 1
        while name in drawings:
            number += 1
            name = f"{stem}-{number}"
        drawings[name] = drawing
    return drawings


def file_name(title: str) -> str:
    """Turn a title into a name of lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:MAX_NAME].rstrip("-") or "figure"


def _walk(value: object) -> Iterator[Drawing]:
    if isinstance(value, Drawing):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _walk(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            yield from _walk(item)
