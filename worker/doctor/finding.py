"""One thing that was looked at, and what to make of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]
"""`problem`: the service does not start, or jobs fail. `warning`: something is slow, at risk, or not there yet."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and what to do about it."""

    check: str
    """Kebab-case name of what was looked at, stable between versions."""
    level: Level
    found: str
    do: str = ""
    """Empty where nothing is to be done."""

    def to_dict(self) -> dict[str, str]:
        """As JSON has it."""
        return asdict(self)


def ok(check: str, found: str, do: str = "") -> Finding:
    """Nothing is wrong; `do` is what could be better."""
    return Finding(check, "ok", found, do)


def warning(check: str, found: str, do: str) -> Finding:
    """It works, but not well, or not for long, or not for everything."""
    return Finding(check, "warning", found, do)


def problem(check: str, found: str, do: str) -> Finding:
    """The service does not start, or jobs fail."""
    return Finding(check, "problem", found, do)


def amount(number: int) -> str:
    """Bytes for people: `70.3 GB`, `4 MB`."""
    return f"{number / 1e9:.1f} GB" if number >= 10**9 else f"{number / 1e6:.0f} MB"
