"""Whether the settings say what their owner means."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.doctor.finding import Finding, ok, problem, warning

OTHERS = ("RELOGIT_SERVER", "RELOGIT_REALDATA", "RELOGIT_USER")
"""Variables of the client, of the tests and of docker/compose.yaml, which are no settings."""


@dataclass(frozen=True, slots=True)
class Variables:
    """What stands in the environment and in `.env`."""

    names: Mapping[str, str]
    """Each RELOGIT_ variable, in capitals, with where it stands: `the environment` or `.env`."""
    known: Sequence[str]
    """Every setting, as a variable."""
    env_file: bool
    """Whether there is a `.env` in the folder that the service is started from."""
    folder: str
    """That folder."""
    wrong: str = ""
    """What is wrong with their values, in sentences; empty if nothing is."""


def check_variables(seen: Variables) -> list[Finding]:
    """Values that can be read, and no name that nobody reads."""
    found = []
    if seen.wrong:
        found.append(problem("settings", seen.wrong, "Correct it where it is set; the service does not start so."))
    unknown = sorted(set(seen.names) - set(seen.known) - set(OTHERS))
    found += [_unknown(name, seen) for name in unknown]
    if found:
        return found
    where = f"{len(seen.names)} variables" if len(seen.names) != 1 else "1 variable"
    file = ".env is read" if seen.env_file else "there is no .env"
    return [ok("settings", f"{where} of RELOGIT_, all understood; {file} in {seen.folder}.")]


def _unknown(name: str, seen: Variables) -> Finding:
    near = difflib.get_close_matches(name, seen.known, n=1, cutoff=0.75)
    do = f"{near[0]} may be meant." if near else f"Remove it. The settings are {', '.join(sorted(seen.known))}."
    return warning("settings", f"{name} in {seen.names[name]} is no setting, and is not read.", do)
