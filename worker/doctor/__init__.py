"""Checks of an installation, which `relogit doctor` runs where the service is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    level: Level
    """`problem`: the service does not start, or jobs fail. `warning`: slow, at risk, or not there yet."""
    subject: str
    """What was checked, in kebab-case; stable between versions."""
    message: str
    remedy: str = ""
    """Empty where nothing is to be done."""

    def to_dict(self) -> dict[str, str]:
        """Return the finding as the command's JSON has it."""
        return {"check": self.subject, "level": self.level, "found": self.message, "do": self.remedy}
