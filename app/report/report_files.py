"""What can be taken away of a report: charts as SVG and CSV, tables as LaTeX, Markdown and CSV, and all at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.report.drawings import Drawing
from app.report.paper_tables import Table
from app.report.parts import find_parts, named_parts
from app.report.templating import STATIC, LinkedFile, PageFiles, render_page

FIGURE_TYPES: Mapping[str, str] = {"svg": "image/svg+xml", "csv": "text/csv; charset=utf-8"}
TABLE_TYPES: Mapping[str, str] = {
    "tex": "application/x-tex; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}
WRITERS: Mapping[str, Callable[[Table], str]] = {
    "tex": Table.to_latex,
    "md": Table.to_markdown,
    "csv": Table.to_csv,
}


@dataclass(frozen=True, slots=True)
class Report:
    """A page with its charts and tables, each by the name of its files."""

    template: str
    page: object
    figures: Mapping[str, Drawing]
    tables: Mapping[str, Table]

    @classmethod
    def of(cls, template: str, page: object) -> Report:
        """Find the charts and tables of a page."""
        figures = named_parts(find_parts(page, Drawing), lambda drawing: drawing.heading)
        tables = named_parts(find_parts(page, Table), lambda table: table.caption)
        return cls(template, page, figures, tables)

    def html(self, prefix: str | None = None, whole: str | None = None) -> str:
        """Write the page; with a prefix, also links to the files below it."""
        files = None if prefix is None else self._files(prefix, whole)
        return render_page(self.template, self.page, files)

    def figure(self, name: str, extension: str) -> str:
        """Write a chart, or its data.

        Raises:
            KeyError: there is no such chart or format.
        """
        drawing = self.figures[name]
        return {"svg": lambda: drawing.to_svg(figure_style()), "csv": drawing.to_csv}[extension]()

    def table(self, name: str, extension: str) -> str:
        """Write a table.

        Raises:
            KeyError: there is no such table or format.
        """
        return WRITERS[extension](self.tables[name])

    def bundle(self, record: Mapping[str, Any]) -> dict[str, bytes]:
        """Write all files of a static folder, by path; `record` is the job's report as JSON.

        `SHA256SUMS` lists the digests of the others, as `sha256sum --check` reads them.
        """
        texts = {"index.html": self.html("")}
        texts["report.json"] = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        texts |= {f"figures/{n}.{e}": self.figure(n, e) for n in self.figures for e in FIGURE_TYPES}
        texts |= {f"tables/{n}.{e}": self.table(n, e) for n in self.tables for e in TABLE_TYPES}
        files = {path: text.encode() for path, text in texts.items()}
        sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in files.items())
        return {**files, "SHA256SUMS": sums.encode()}

    def _files(self, prefix: str, whole: str | None) -> PageFiles:
        figures = _linked(f"{prefix}figures", {n: d.heading for n, d in self.figures.items()}, FIGURE_TYPES)
        tables = _linked(f"{prefix}tables", {n: t.caption for n, t in self.tables.items()}, TABLE_TYPES)
        return PageFiles(figures, tables, whole)


def _linked(folder: str, titles: Mapping[str, str], extensions: Mapping[str, str]) -> list[LinkedFile]:
    return [
        LinkedFile(title, [(extension.upper(), f"{folder}/{name}.{extension}") for extension in extensions])
        for name, title in titles.items()
    ]


def figure_style() -> str:
    """Return the style sheet of a chart that stands alone: that of the pages, in light colours."""
    css = (STATIC / "report.css").read_text()
    root = css[css.index(":root") : css.index("@media")]
    start = css.index(".chart { display")
    marks = css[start : css.index("@media screen and (max-width: 66rem)")]
    font = 'text { font-family: "Helvetica Neue", Helvetica, Arial, sans-serif; }'
    return f"{root}{marks}{font}"
