"""`relogit splits`: list, create, check and show sets of splits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypedDict, Unpack

import typer
from rich.console import RenderableType
from rich.text import Text

from relogit.cli.argv import below
from relogit.cli.command import command
from relogit.cli.options import DatasetOption, NewSetArgument, OverwriteOption
from relogit.cli.session import Session
from relogit.cli.splits_diff import diff
from relogit.cli.splits_import import import_lists
from relogit.render.checks import audit_lines
from relogit.render.splits import set_lines, split_lines
from relogit.render.tables import NONE, Record, count, new_table

SetArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", parser=below("data"), help="Folder below the server's data [default: the data set's own]"
    ),
]
SHARES = re.compile(r"(\d{1,4}):(\d{1,4}):(\d{1,4})")

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


def _shares(value: str) -> tuple[int, ...]:
    match = SHARES.fullmatch(value)
    if match is None:
        raise typer.BadParameter(f"{value!r} is not three whole numbers like 8:1:1.")
    return tuple(int(part) for part in match.groups())


class SplitsOptions(TypedDict, total=False):
    """The options of new splits, named like the fields of `SplitsRequest`."""

    dataset: DatasetOption
    imbalance_factor: Annotated[
        float | None, typer.Option("--imbalance", help="Samples of the most common class over the rarest [100]")
    ]
    profile: Annotated[
        Literal["exponential", "step"] | None, typer.Option("--profile", help="Decrease of the counts [exponential]")
    ]
    seed: Annotated[int | None, typer.Option("--seed", help="Equal seeds give equal lists [42]")]
    test_shares: Annotated[
        Any,
        typer.Option("--shares", parser=_shares, metavar="A:B:C", help="Of the test base: test, val, tunev [8:1:1]"),
    ]
    expert_share: Annotated[
        float | None, typer.Option("--expert-share", help="Divide train into expert (such as 0.9) and gating")
    ]
    overwrite: OverwriteOption


@app.callback(invoke_without_command=True)
@command
def splits(run: Session, dataset: DatasetOption = None) -> None:
    """List, create, check and compare sets of splits."""
    listing = run.client.splits(dataset=dataset)
    run.show(listing, lambda: set_lines(listing))


@app.command()
@command
def create(run: Session, name: NewSetArgument, **options: Unpack[SplitsOptions]) -> None:
    """Create a long-tailed set of splits.

    It has a long-tailed train list and balanced parts of the test base. The defaults are those of CIFAR-100-LT.
    """
    description = run.client.create_splits(name, **options)
    run.show(description, lambda: _created(description))


@app.command()
@command
def check(run: Session, name: SetArgument = None, dataset: DatasetOption = None) -> None:
    """Audit a set of splits.

    Exits with 1 if a job cannot use one of its lists; warnings fail nothing.
    """
    audit = run.client.audit(name or _own_set(run, dataset), dataset=dataset)
    run.show(audit, lambda: audit_lines(audit), failed=audit["verdict"] != "passed")


@app.command()
@command
def show(run: Session, name: SetArgument = None, dataset: DatasetOption = None) -> None:
    """Show a set of splits: sizes, imbalance, class groups.

    Exits with 1 if one of its lists is bad.
    """
    split_set = run.client.split_set(name or _own_set(run, dataset), dataset=dataset)
    bad = any(entry["state"] == "bad" for entry in split_set["splits"])
    run.show(split_set, lambda: split_lines(split_set), failed=bad)


app.command()(diff)
app.command("import")(import_lists)


def _own_set(run: Session, dataset: str | None) -> str:
    """Find the name of the data set's own set."""
    own = [entry["name"] for entry in run.client.splits(dataset=dataset)["sets"] if entry["own"]]
    if not own:
        raise typer.BadParameter("The data set's own folder holds no index lists; name another one.")
    return str(own[0])


def _created(description: Record) -> Iterator[RenderableType]:
    rows = (
        {"list": name, "base": entry["base"], "balance": entry["balance"] or NONE, "size": count(entry["size"])}
        for name, entry in description["lists"].items()
    )
    yield new_table(rows, ["size"])
    name = description["name"]
    yield Text(f"The splits {name!r} are there; a job takes them with --splits-dir {name}.", style="green")
