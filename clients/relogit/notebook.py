"""Small HTML tables of jobs and verifications, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

ROWS_SHOWN = 50
FIGURES = ("accuracy", "balanced_accuracy", "nll", "ece")

Record = Mapping[str, Any]


def units_html(job: Record) -> str:
    """Show a job's state, and each (expert, split) with its state and accuracy."""
    rows = [
        (
            unit["expert"],
            unit["split"],
            unit["state"],
            f"{unit['done']:,} of {unit['total']:,}",
            _percent(unit["accuracy"]),
        )
        for unit in job.get("units") or []
    ]
    return _title(job) + _table(("expert", "split", "state", "rows", "accuracy"), rows)


def results_html(verification: Record) -> str:
    """Show a verification's verdict, and each result with its verdict and figures."""
    rows = [
        (result["expert"], result["split"], result["verdict"], *(_figure(result, name) for name in FIGURES))
        for result in verification["results"]
    ]
    return _title(verification) + _table(("expert", "split", "verdict", *FIGURES), rows)


def _title(job: Record) -> str:
    words = [job["kind"], job["id"], job["state"], *([job["verdict"]] if job.get("verdict") else [])]
    return f"<p>{escape(' '.join(str(word) for word in words))}</p>"


def _table(headings: Sequence[str], rows: Sequence[Iterable[Any]]) -> str:
    """Build a table; all texts are escaped, and rows beyond ROWS_SHOWN only counted."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(heading.replace('_', ' '))}</th>" for heading in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows[:ROWS_SHOWN]
    )
    more = f"<p>and {len(rows) - ROWS_SHOWN} more</p>" if len(rows) > ROWS_SHOWN else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _progress(unit: Record) -> str:
    return f"{unit['done']:,} of {unit['total']:,}"


def _figure(result: Record, name: str) -> str:
    value = (result["metrics"] or {}).get(name)
    if value is None:
        return "-"
    return _percent(value) if name.endswith("accuracy") else f"{value:.4f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{round(share * 100, 8):.2f} %"
