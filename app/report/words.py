"""Numbers, names and times in the words of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.domain.combining import Prior
from app.domain.jobs import Job
from app.domain.times import rfc3339

PRIORS: Mapping[Prior, str] = {
    "listed": "listed: every row counts once",
    "train": "train: rows are weighted to the classes' shares among the train samples",
}


def count(number: int, thing: str) -> str:
    """Write a number with its noun."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def time_fact(job: Job) -> tuple[str, str]:
    """Return the last thing that happened to a job, and when."""
    when = rfc3339(job.finished_at or job.started_at or job.created_at)
    word = "Finished" if job.finished_at else "Started" if job.started_at else "Asked for"
    return word, f"{when[:10]} {when[11:19]} UTC"


def listing(names: Sequence[str], last: str = "and") -> str:
    """Join names: a, b and c."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def signed(text: str) -> str:
    """Give a formatted number its sign, + or −; zero has none."""
    if not any(digit in text for digit in "123456789"):
        return text.removeprefix("-")
    return text.replace("-", "−") if text.startswith("-") else f"+{text}"


def effective(rows: int, effective_rows: float) -> str:
    """Write rows, and how many equally weighted ones they are worth."""
    same = abs(effective_rows - rows) < 0.5
    return count(rows, "row") if same else f"{count(rows, 'row')}, worth {effective_rows:,.0f} of equal weight"


def percent(share: float) -> str:
    """Write a share as whole percent."""
    return f"{share:.0%}".replace("%", " %")
