"""Drawn charts with the data that they show: as part of a page, as SVG for a paper, and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from markupsafe import Markup

Value = str | float | int | None
Data = tuple[Sequence[str], Sequence[Sequence[Value]]]
"""Columns and rows."""

NO_XML = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")
"""Characters that XML 1.0 has no way to write."""
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
        text, found = SVG_TAG.subn(head, NO_XML.sub("\ufffd", str(self)), count=1)
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
