"""Tables as pages and papers show them: HTML through a template, LaTeX, Markdown and CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.report.drawings import write_csv
from app.report.parts import file_name

LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",  # the default font encoding has other signs in their places
    ">": "$>$",
    "|": r"\textbar{}",
    "−": "$-$",
    "→": r"$\rightarrow$",
    "–": "--",
    "±": r"$\pm$",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}
CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#&~])")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of words and numbers, as text."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    """What it means, and what was assumed; below it."""
    words: int = 1
    """Columns of words, which come first; the others are numbers."""

    def to_latex(self) -> str:
        """Write a LaTeX table for the package booktabs."""
        lines = [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{_latex(' '.join(filter(None, (self.caption + '.', self.note))))}}}",
            f"\\label{{tab:{file_name(self.caption)}}}",
            f"\\begin{{tabular}}{{{'l' * self.words}{'r' * (len(self.columns) - self.words)}}}",
            "\\toprule",
            _latex_row(self.columns),
            "\\midrule",
            *map(_latex_row, self.rows),
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def to_markdown(self) -> str:
        """Write a table in GitHub Flavored Markdown, with its caption above and its note below."""
        marks = [":---" if place < self.words else "---:" for place in range(len(self.columns))]
        table = [list(map(_markdown, self.columns)), marks, *(list(map(_markdown, row)) for row in self.rows)]
        lines = [f"**{_markdown(self.caption)}**", "", *(f"| {' | '.join(cells)} |" for cells in table)]
        return "\n".join([*lines, *(["", _markdown(self.note)] if self.note else [])]) + "\n"

    def to_csv(self) -> str:
        """Write CSV (RFC 4180) with a header."""
        return write_csv(self.columns, self.rows)


def _latex_row(cells: Sequence[str]) -> str:
    row = " & ".join(map(_latex, cells)) + " \\\\"
    return f"{{}}{row}" if row.startswith(("[", "*")) else row  # else an argument of what ends the row before


def _latex(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(c, c) for c in CONTROL.sub(" ", text))


def _markdown(text: str) -> str:
    return MARKDOWN_SPECIAL.sub(r"\\\1", CONTROL.sub(" ", text))
