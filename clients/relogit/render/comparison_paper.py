"""A comparison as a table for a paper: LaTeX or Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from relogit.render.comparison import HEADINGS
from relogit.render.tables import Record, in_percent

PaperFormat = Literal["latex", "markdown"]

LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",  # the default font encoding has other signs in their places
    ">": "$>$",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}
TEXT_COLUMNS = 3


def comparison_rows(result: Record) -> list[dict[str, str]]:
    """List the pairs with the differences B − A of all figures, one row a pair and split.

    Accuracies are in percentage points. Each difference stands with its interval: `+3.09 [2.10, 4.10]`.
    """
    names = [name for name in HEADINGS if any(_difference(pair, name) for pair in result["pairs"])]
    return [
        {
            "split": pair["split"],
            "A": pair["a"],
            "B": pair["b"],
            **{HEADINGS[name]: _cell(_difference(pair, name), name) for name in names},
            "only A": str(pair["mcnemar"]["only_a"]),
            "only B": str(pair["mcnemar"]["only_b"]),
            "p (Holm)": _p(pair["mcnemar"]["p_holm"]),
            "flips": str(pair["flips"][0]["flips"]),
        }
        for pair in result["pairs"]
    ]


def paper_table(rows: Sequence[Mapping[str, str]], form: PaperFormat) -> str:
    """Write rows with cells by heading as a table; the first three columns are words, the others numbers."""
    headings = list(rows[0])
    return _latex(headings, rows) if form == "latex" else _markdown(headings, rows)


def _latex(headings: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    columns = "l" * TEXT_COLUMNS + "r" * (len(headings) - TEXT_COLUMNS)
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", _latex_row(headings), "\\midrule"]
    lines += [_latex_row([row[name] for name in headings]) for row in rows]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(_latex_text(cell) for cell in cells) + " \\\\"


def _latex_text(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(c, c) for c in text).replace("−", "$-$")


def _markdown(headings: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    marks = [":---" if place < TEXT_COLUMNS else "---:" for place in range(len(headings))]
    table = [headings, marks, *([row[name].replace("|", "\\|") for name in headings] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def _difference(pair: Record, name: str) -> Record | None:
    figure = next(figure for figure in pair["figures"] if figure["name"] == name)
    difference: Record | None = figure["difference"]
    return difference


def _cell(difference: Record | None, name: str) -> str:
    if difference is None:
        return "–"
    value, low, high = (_number(difference[end], name) for end in ("value", "low", "high"))
    return f"{'+' if difference['value'] > 0 else ''}{value} [{low}, {high}]"


def _number(value: float, name: str) -> str:
    text = f"{in_percent(value):.2f}" if name.endswith("accuracy") else f"{value:.4f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "< 0.0001"
