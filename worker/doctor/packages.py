"""Whether the installed packages are those that relogit's own declaration asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.doctor.finding import Finding, ok, problem, warning

REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*\(?([^;)]*)\)?\s*(?:;.*)?")
BOUND = re.compile(r"(>=|<=|==|<|>)\s*([0-9.]+)")
INSTALL = "pip install --upgrade '.[service]' in the project's folder"

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Packages:
    """What is asked for and what is there."""

    python: str
    requires_python: str
    """Such as `>=3.11`; empty where nothing says."""
    requirements: Sequence[str]
    """Such as `numpy>=2.0,<3`, of the client and the service; empty where nothing says."""
    installed: Mapping[str, str]
    """Version by the requirement's name; those that are not installed are missing."""
    api_error: str | None
    """The last line of why `app.main` cannot be imported; None where it can."""


def check_packages(seen: Packages) -> list[Finding]:
    """Python, every required package, and whether the API can be imported at all."""
    return [check_python(seen.python, seen.requires_python), *check_requirements(seen), check_api(seen.api_error)]


def check_python(version: str, wanted: str) -> Finding:
    """The interpreter against `requires-python`."""
    wrong = _outside(version, wanted)
    if wrong:
        return problem(
            "python",
            f"Python {version} runs here; relogit needs {wanted}.",
            "Make a new environment with such a Python.",
        )
    return ok("python", f"Python {version}" + (f", {wanted} is asked for." if wanted else "."))


def check_requirements(seen: Packages) -> list[Finding]:
    """Each required package: there, and in the range that is asked for; one finding if all are."""
    if not seen.requirements:
        return [
            warning(
                "packages",
                "Neither a pyproject.toml nor an installed relogit says which packages are needed.",
                "Start this in the project's folder.",
            )
        ]
    found = []
    for requirement in seen.requirements:
        name, wanted = parse_requirement(requirement)
        if name not in seen.installed:
            found.append(problem("packages", f"{name} is not installed.", INSTALL))
            continue
        version = seen.installed[name]
        side = _outside(version, wanted)
        if side == "below":
            found.append(problem("packages", f"{name} {version} is too old: {wanted} is needed.", INSTALL))
        elif side == "above":
            found.append(
                warning(
                    "packages",
                    f"{name} {version} is newer than relogit knows ({wanted}).",
                    f"pip install '{name}{wanted}'",
                )
            )
    return found or [
        ok("packages", f"{len(seen.requirements)} packages are there, each in the range that is asked for.")
    ]


def check_api(error: str | None) -> Finding:
    """Whether `python -m app` would get past its imports."""
    if error is None:
        return ok("api", "The API can be imported.")
    return problem(
        "api",
        f"The API cannot be imported: {error}.",
        f"If a package is missing or broken: {INSTALL}, perhaps with --force-reinstall.",
    )


def parse_requirement(text: str) -> tuple[str, str]:
    """Name and range of a requirement: `('torch', '>=2.8')`. A marker behind a semicolon is left out."""
    found = REQUIREMENT.fullmatch(text.strip())
    return (found[1], found[2].replace(" ", "")) if found else (text.strip(), "")


def release(version: str) -> Version:
    """The numbers that a version begins with: (2, 13, 0) for `2.13.0+cpu` and for `2.13.0.dev20260101`."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _outside(version: str, wanted: str) -> str | None:
    """`below` or `above` the range, None if inside it. What is no plain bound is not judged."""
    have = release(version)
    for sign, text in BOUND.findall(wanted):
        bound = release(text)
        length = max(len(have), len(bound))
        ours, theirs = (number + (0,) * (length - len(number)) for number in (have, bound))
        if ours < theirs and sign in (">=", ">", "=="):
            return "below"
        if ours == theirs and sign == ">":
            return "below"
        if (ours > theirs and sign in ("<=", "<", "==")) or (ours == theirs and sign == "<"):
            return "above"
    return None
