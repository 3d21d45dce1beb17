"""The command line of the old scripts, brought into the form that typer reads.

Pure functions: the old options `--experts a b c` took several values after one option, which typer's
options do not; and the old folders were paths below the working directory, where relogit's are below the
server's own folders.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

import typer

LIST_OPTIONS = ("--experts", "--splits")  # of `recompute`, which takes no arguments besides options


def prepare(argv: Sequence[str]) -> list[str]:
    """The arguments with common options behind the command, and lists as typer reads them.

    Raises:
        typer.BadParameter: a list option has no value.
    """
    args = _common_options_last(argv)
    return _repeat_lists(args) if args[:1] == ["recompute"] else args


def own_folder(value: str | None, root: str) -> str | None:
    """A folder as the server names it: below its own `root`, without that root and without a last slash.

    `./outputs/logits_new/` is `logits_new` for the root `outputs`; the root itself is `.`. Anything else,
    wrong or not, is left for the server to judge.
    """
    if value is None:
        return None
    plain = re.sub(r"^(\./+)+", "", value)
    plain = plain.rstrip("/") or value
    if plain == root:
        return "."
    return re.sub(rf"^{re.escape(root)}/+", "", plain)


def batch_size_of(given: str | None) -> int | Literal["auto"] | None:
    """The value of `--batch-size`; its range is for the server to judge.

    Raises:
        typer.BadParameter: it is neither a whole number nor `auto`.
    """
    if given is None:
        return None
    if given == "auto":
        return "auto"
    try:
        return int(given)
    except ValueError:
        raise typer.BadParameter(
            f"{given!r} is neither a whole number nor auto.", param_hint="--batch-size"
        ) from None


def floors_of(given: Sequence[str] | None) -> dict[str, float] | None:
    """The values of `--floor` by name, as fractions; names and range are for the server to judge.

    Raises:
        typer.BadParameter: one is no NAME=VALUE, or a name comes twice.
    """
    floors: dict[str, float] = {}
    for one in given or ():
        name, _, value = one.partition("=")
        try:
            number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            number = math.nan
        if not name or not math.isfinite(number):
            raise typer.BadParameter(
                f"{one!r} is not of the form balanced_accuracy=0.35 or balanced_accuracy=35%.", param_hint="--floor"
            )
        if name in floors:
            raise typer.BadParameter(f"{name} has two floors.", param_hint="--floor")
        floors[name] = number
    return floors or None


def _common_options_last(argv: Sequence[str]) -> list[str]:
    """`--json --server URL jobs` as `jobs --json --server URL`: every command has these two options."""
    end = 0
    while end < len(argv):
        if argv[end] == "--json" or argv[end].startswith("--server="):
            end += 1
        elif argv[end] == "--server":
            end += 2
        else:
            return [argv[end], *argv[:end], *argv[end + 1 :]]
    return list(argv)


def _repeat_lists(args: Sequence[str]) -> list[str]:
    """`--experts a b` and `--experts=a b` as `--experts=a --experts=b`: every value up to the next option counts.

    Raises:
        typer.BadParameter: a list is empty; to leave the option out is what asks for the default.
    """
    repeated: list[str] = []
    taking: str | None = None
    empty = False
    for arg in [*args, "-"]:  # what ends the last list
        option, _, value = arg.partition("=")
        if arg.startswith("-") and empty:
            raise typer.BadParameter(f"{taking} needs at least one name.")
        if option in LIST_OPTIONS:
            taking, empty = option, not value
            if value:
                repeated.append(arg)
        elif arg.startswith("-"):
            taking = None
            repeated.append(arg)
        elif taking:
            repeated.append(f"{taking}={arg}")
            empty = False
        else:
            repeated.append(arg)
    return repeated[:-1]
