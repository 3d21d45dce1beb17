"""`relogit splits`: list, create, check and show sets of splits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from relogit.cli.argv import own_folder
from relogit.cli.options import DatasetOption, JsonOption, ServerOption, group_dataset
from relogit.cli.session import ExitCode, Session, group_session
from relogit.cli.splits_diff import diff
from relogit.cli.splits_import import import_lists
from relogit.client import SplitsRequest
from relogit.render.checks import audit_lines
from relogit.render.sets import set_lines
from relogit.render.splits import split_lines
from relogit.render.tables import NONE, Record, count, new_table

SetArgument = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Folder below the server's data [default: the data set's own]")
]
SHARES = re.compile(r"(\d{1,4}):(\d{1,4}):(\d{1,4})")

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


class Profile(StrEnum):
    """The decrease of the train counts from class to class."""

    EXPONENTIAL = "exponential"
    STEP = "step"


@app.callback(invoke_without_command=True)
def splits(
    ctx: typer.Context, dataset: DatasetOption = None, server: ServerOption = None, as_json: JsonOption = False
) -> None:
    """List, create, check and compare sets of splits."""
    if ctx.invoked_subcommand is None:
        with group_session(ctx, server, as_json) as run:
            listing = run.client.splits(dataset=dataset)
            run.show(listing, lambda: set_lines(listing))


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new folder below the server's data")],
    dataset: DatasetOption = None,
    imbalance: Annotated[
        float | None, typer.Option("--imbalance", help="Samples of the most common class over the rarest [100]")
    ] = None,
    profile: Annotated[Profile | None, typer.Option("--profile", help="Decrease of the counts [exponential]")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Equal seeds give equal lists [42]")] = None,
    shares: Annotated[
        str | None, typer.Option("--shares", metavar="A:B:C", help="Of the test base: test, val, tunev [8:1:1]")
    ] = None,
    expert_share: Annotated[
        float | None, typer.Option("--expert-share", help="Divide train into expert (such as 0.9) and gating")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a set of that name, at once")] = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a long-tailed set of splits.

    It has a long-tailed train list and balanced parts of the test base. The defaults are those of CIFAR-100-LT.
    """
    request = SplitsRequest(
        dataset=group_dataset(ctx, dataset),
        profile=profile.value if profile else None,
        imbalance_factor=imbalance,
        seed=seed,
        test_shares=_shares(shares),
        expert_share=expert_share,
        overwrite=True if overwrite else None,
    )
    with group_session(ctx, server, as_json) as run:
        description = run.client.create_splits(name, **request)
        run.show(description, lambda: _created(description))


@app.command()
def check(
    ctx: typer.Context,
    name: SetArgument = None,
    dataset: DatasetOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Audit a set of splits.

    Exits with 1 if a job cannot use one of its lists; warnings fail nothing.
    """
    with group_session(ctx, server, as_json) as run:
        data = group_dataset(ctx, dataset)
        audit = run.client.audit(_set_name(run, name, data), dataset=data)
        run.show(audit, lambda: audit_lines(audit))
        if audit["verdict"] != "passed":
            raise typer.Exit(ExitCode.FAILED)


@app.command()
def show(
    ctx: typer.Context,
    name: SetArgument = None,
    dataset: DatasetOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a set of splits: sizes, imbalance, class groups.

    Exits with 1 if one of its lists is bad.
    """
    with group_session(ctx, server, as_json) as run:
        data = group_dataset(ctx, dataset)
        split_set = run.client.split_set(_set_name(run, name, data), dataset=data)
        run.show(split_set, lambda: split_lines(split_set))
        if any(entry["state"] == "bad" for entry in split_set["splits"]):
            raise typer.Exit(ExitCode.FAILED)


app.command()(diff)
app.command("import")(import_lists)


def _set_name(run: Session, name: str | None, dataset: str | None) -> str:
    """Name the folder of a set; the data set's own by default."""
    folder = own_folder(name, "data")
    if folder is not None:
        return folder
    own = [entry["name"] for entry in run.client.splits(dataset=dataset)["sets"] if entry["own"]]
    if not own:
        raise typer.BadParameter("The data set's own folder holds no index lists; name another one.")
    return str(own[0])


def _shares(value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    match = SHARES.fullmatch(value)
    if match is None:
        raise typer.BadParameter(f"{value!r} is not three whole numbers like 8:1:1.", param_hint="--shares")
    return tuple(int(part) for part in match.groups())


def _created(description: Record) -> Iterator[RenderableType]:
    table = new_table(["list", "base", "balance"], ["size"])
    for name, entry in description["lists"].items():
        table.add_row(name, entry["base"], entry["balance"] or NONE, count(entry["size"]))
    yield table
    name = description["name"]
    yield Text(f"The splits {name!r} are there; a job takes them with --splits-dir {name}.", style="green")
