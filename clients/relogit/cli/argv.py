"""Values of options, and the command lines of the old scripts.

The old option `--experts a b c` has several values, which typer's options do not have. The old folders are paths
below the working directory; relogit's folders are below the server's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import typer

LIST_OPTIONS = {  # by command; none of them has arguments besides options
    "recompute": ("--experts", "--splits"),
    "run": ("--experts",),
    "gating": ("--experts", "--coverages", "--divided-by"),
    "argse": ("--coverages",),
    "compare": ("--splits",),
    "evaluate": ("--gatings", "--gating", "--rejectors"),
}
BYTES = {
    "B": 1,
    **{name: 1000**power for power, name in enumerate(("kB", "MB", "GB", "TB"), start=1)},
    **{name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB"), start=1)},
}
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]*)")


def prepare(argv: Sequence[str]) -> list[str]:
    """Rewrite an old command line for typer.

    Common options move behind the command, list options are repeated for each value, and the commands with list
    options take names of options with underscores too.
    """
    args = _common_options_last(argv)
    lists = LIST_OPTIONS.get(args[0]) if args else None
    return args if lists is None else _repeat_lists([_dashed(arg) for arg in args], lists)


def own_folder(value: str, root: str) -> str:
    """Name a folder relative to the server's own `root`.

    `./outputs/logits_new/` is `logits_new` for the root `outputs`; the root itself is `.`. The server judges all
    other values, right or wrong.
    """
    plain = re.sub(r"^(\./+)+", "", value)
    plain = plain.rstrip("/") or value
    return "." if plain == root else re.sub(rf"^{re.escape(root)}/+", "", plain)


def below(root: str) -> Callable[[str], str]:
    """Return the parser of folders relative to `root`."""

    def folder(value: str) -> str:  # help texts have its name as a metavar
        return own_folder(value, root)

    return folder


def batch_size(value: str) -> int | Literal["auto"]:
    """Read a number of images or `auto`.

    The server judges its range.
    """
    if value == "auto":
        return "auto"
    try:
        return int(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is neither a whole number nor auto.") from None


def floors_of(values: Sequence[str] | None) -> dict[str, float] | None:
    """Read the values of `--floor` as fractions by name."""
    floors: dict[str, float] = {}
    for pair in values or ():
        name, _, value = pair.partition("=")
        try:
            number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            number = math.nan
        if not name or not math.isfinite(number):
            raise typer.BadParameter(
                f"{pair!r} is not of the form balanced_accuracy=0.35 or balanced_accuracy=35%.", param_hint="--floor"
            )
        if name in floors:
            raise typer.BadParameter(f"{name} has two floors.", param_hint="--floor")
        floors[name] = number
    return floors or None


def size(value: str) -> int:
    """Read a size such as `10GB` in bytes."""
    return int(_amount(value, BYTES, "10GB"))


def age(value: str) -> float:
    """Read a time such as `30d` in seconds."""
    return _amount(value, SECONDS, "30d")


def _amount(value: str, units: Mapping[str, int], example: str) -> float:
    """Read a number with its unit, such as `1.5GB`.

    Zero needs no unit.
    """
    match = AMOUNT.fullmatch(value.strip())
    factors = {name.lower(): factor for name, factor in units.items()}
    if match is None or (match[2].lower() not in factors and (match[2] or float(match[1]))):
        raise typer.BadParameter(
            f"{value!r} is not a number with one of the units {', '.join(units)}; write it like {example}."
        )
    return float(match[1]) * factors.get(match[2].lower(), 1)


def _common_options_last(argv: Sequence[str]) -> list[str]:
    """Turn `--json --server URL jobs` into `jobs --json --server URL`."""
    end = 0
    while end < len(argv):
        if argv[end] == "--json" or argv[end].startswith("--server="):
            end += 1
        elif argv[end] == "--server":
            end += 2
        else:
            return [argv[end], *argv[:end], *argv[end + 1 :]]
    return list(argv)


def _dashed(arg: str) -> str:
    """Turn `--batch_size=8` into `--batch-size=8`; values stay as they are."""
    option, equals, value = arg.partition("=")
    return f"{option.replace('_', '-')}{equals}{value}" if option.startswith("--") else arg


def _repeat_lists(args: Sequence[str], lists: Sequence[str]) -> list[str]:
    """Turn `--experts a b` and `--experts=a b` into `--experts=a --experts=b`.

    A list ends at the next option. An empty one is an error; the default needs no option.
    """
    repeated: list[str] = []
    current: str | None = None
    empty = False
    for arg in [*args, "-"]:  # the sentinel ends the last list
        option, _, value = arg.partition("=")
        if arg.startswith("-") and empty:
            raise typer.BadParameter(f"{current} needs at least one name.")
        if option in lists:
            current, empty = option, not value
            if value:
                repeated.append(arg)
        elif arg.startswith("-"):
            current = None
            repeated.append(arg)
        elif current:
            repeated.append(f"{current}={arg}")
            empty = False
        else:
            repeated.append(arg)
    return repeated[:-1]
