"""`relogit splits`: the index lists of a data set, and how a new set of them is created."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from relogit.cli.argv import own_folder
from relogit.cli.options import DatasetOption, JsonOption, PrefixOption, ServerOption
from relogit.cli.session import ExitCode, Session, group_session
from relogit.client import SplitsRequest
from relogit.index_files import find_lists, read_indices
from relogit.render import checks as render_checks
from relogit.render import plan as render_plan
from relogit.render import sets as render_sets
from relogit.render import splits as render_splits
from relogit.render.tables import NONE, Record, count, printable, table
from relogit.split_diff import Sample, difference

SetArgument = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Of a folder below the server's data [default: the data set's own]"),
]
SHARES = re.compile(r"(\d{1,4}):(\d{1,4}):(\d{1,4})")

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


class Profile(StrEnum):
    """How the train counts fall from class to class."""

    EXPONENTIAL = "exponential"
    STEP = "step"


@app.callback(invoke_without_command=True)
def splits(
    ctx: typer.Context,
    dataset: DatasetOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sets of splits of a data set, or work with one of them. Alone, it lists them."""
    if ctx.invoked_subcommand is None:
        with group_session(ctx, server, as_json) as run:
            found = run.client.splits(dataset=dataset)
            run.show(found, lambda: render_sets.sets(found))


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the new folder below the server's data")],
    dataset: DatasetOption = None,
    imbalance: Annotated[
        float | None, typer.Option("--imbalance", help="Samples of the most common class over the rarest [100]")
    ] = None,
    profile: Annotated[Profile | None, typer.Option("--profile", help="How the counts fall [exponential]")] = None,
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
    """Create a long-tailed train list and balanced parts of the test base; the defaults are CIFAR-100-LT's."""
    request = SplitsRequest(
        dataset=_dataset(ctx, dataset),
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
    """Audit a set of splits. Exits with 1 if a list of it cannot be used; warnings fail nothing."""
    with group_session(ctx, server, as_json) as run:
        data = _dataset(ctx, dataset)
        found = run.client.audit(_set_name(run, name, data), dataset=data)
        run.show(found, lambda: render_checks.audit_lines(found))
        if found["verdict"] != "passed":
            raise typer.Exit(ExitCode.FAILED)


@app.command()
def show(
    ctx: typer.Context,
    name: SetArgument = None,
    dataset: DatasetOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a set of splits: sizes, imbalance, samples of each class as a picture. Exits with 1 if a list is bad."""
    with group_session(ctx, server, as_json) as run:
        data = _dataset(ctx, dataset)
        found = run.client.split_set(_set_name(run, name, data), dataset=data)
        run.show(found, lambda: render_splits.shown(found))
        if any(one["state"] == "bad" for one in found["splits"]):
            raise typer.Exit(ExitCode.FAILED)


@app.command()
def diff(
    ctx: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help="Of a folder below the server's data")],
    second: Annotated[str, typer.Argument(metavar="B", help="What it is compared with")],
    dataset: DatasetOption = None,
    prefix: PrefixOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which samples B adds, removes and moves, and what a job over B's lists would compute.

    A list that cannot be read is named and compared in neither set; the exit code is 1 then.
    """
    data = _dataset(ctx, dataset)
    names = (own_folder(first, "data") or first, own_folder(second, "data") or second)
    with group_session(ctx, server, as_json) as run:
        old, new = (_samples(run, name, data) for name in names)
        unreadable = [
            {"set": name, "list": one, "problem": problem}
            for name, lists in zip(names, (old, new), strict=True)
            for one, problem in lists.unreadable.items()
        ]
        plan: Record = {"ok": False, "problems": []}
        if new.rows:
            splits = sorted(new.rows)
            plan = run.client.plan(dataset=data, splits=splits, splits_dir=names[1], checkpoint_prefix=prefix)
        cost = plan["totals"] if plan["ok"] else None
        # What one of them does not show would look as if the other had added or removed it.
        hidden = {one["list"] for one in unreadable}
        found = difference(*({n: rows for n, rows in lists.rows.items() if n not in hidden} for lists in (old, new)))
        document = {
            "added": found.added,
            "removed": found.removed,
            "moved": [{"from": a, "to": b, "samples": number} for (a, b), number in found.moved.items()],
            "same": found.same,
            "order": found.order,
            "repeats": {name: {"before": before, "now": now} for name, (before, now) in found.repeats.items()},
            "unreadable": unreadable,
            "cost": cost,
            "problems": plan["problems"],
        }
        run.show(document, lambda: render_splits.diff_lines(names, found, unreadable, cost))
        if plan["problems"] and not run.json:
            run.err.print("What a job over it would compute cannot be said:", style="yellow")
            for line in render_plan.problem_lines(plan):
                run.err.print(line)
        if unreadable:
            raise typer.Exit(ExitCode.FAILED)


@app.command("import")
def take_over(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the new folder below the server's data")],
    sources: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders, or files .json .npy .txt .csv")],
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OLD=NEW[:BASE]", help="A list's new name, and the base that it points into"),
    ] = None,
    dataset: DatasetOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a set of that name, at once")] = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over index lists that other tools wrote. What is doubtful about them is said.

    Without --map a list keeps its name; train, expert and gating point into train, any other into test.
    """
    mapping = _mapping(mapped or ())
    with group_session(ctx, server, as_json) as run:
        files, beside = find_lists(sources)
        if unknown := sorted(set(mapping) - set(files)):
            said = f"There is no list {printable(', '.join(unknown))}; there are {printable(', '.join(files))}."
            raise typer.BadParameter(said, param_hint="--map")
        lists = []
        assumed = []
        for old, path in files.items():
            new, base = mapping.get(old, (old, None))
            usual = "train" if new in ("train", "expert", "gating") else "test"
            lists.append({"name": new, "base": base or usual, "indices": read_indices(path)})
            assumed += [] if base else [f"{new} points into {usual}"]
        more = {"dataset": _dataset(ctx, dataset), "overwrite": overwrite or None, **beside}
        made = run.client.import_splits(name, lists, **more)
        made["doubtful"] += [f"Assumed: {', '.join(assumed)}."] if assumed else []
        run.show(made, lambda: _imported(made))


def _mapping(given: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """By a list's old name its new one, and the base if that is given."""
    mapping: dict[str, tuple[str, str | None]] = {}
    for one in given:
        old, equals, rest = one.partition("=")
        new, _, base = rest.partition(":")
        if not (old and equals and new):
            raise typer.BadParameter(f"{one!r} is not like val_lt=val or val_lt=val:test.", param_hint="--map")
        if old in mapping:
            raise typer.BadParameter(f"{old!r} is given twice; one new name is expected.", param_hint="--map")
        mapping[old] = (new, base or None)
    return mapping


def _imported(made: Record) -> Iterator[RenderableType]:
    shown = table(["list", "base"], ["size"])
    for name, one in made["lists"].items():
        shown.add_row(name, one["base"], count(one["size"]))
    yield shown
    for sentence in made["doubtful"]:
        yield Text(f"doubtful  {printable(sentence)}", style="yellow")
    name = made["name"]
    yield Text(f"The splits {name!r} are there; `relogit splits check {name}` audits them.", style="green")


@dataclass(frozen=True)
class _Lists:
    """The lists of a set by name: the samples of those that can be read, in order, and why the others cannot."""

    rows: dict[str, list[Sample]]
    unreadable: dict[str, Record]


def _samples(run: Session, name: str, dataset: str | None) -> _Lists:
    lists = _Lists({}, {})
    for listed in run.client.split_set(name, dataset=dataset)["splits"]:
        split = listed["name"]
        if listed["problem"]:
            lists.unreadable[split] = listed["problem"]
            continue
        found = run.client.split(name, split, dataset=dataset)
        if "indices" in found:
            lists.rows[split] = [(found["base"], index) for index in found["indices"]]
        else:  # `audit`: such a file was put there by hand
            said = f"the server has something else at {name}/{split}. Give its file another name."
            lists.unreadable[split] = {"code": "not-a-list", "message": said, "details": {}}
    return lists


def _set_name(run: Session, given: str | None, dataset: str | None) -> str:
    """The folder that is meant: without a name, the data set's own."""
    name = own_folder(given, "data")
    if name is None:
        own = [one["name"] for one in run.client.splits(dataset=dataset)["sets"] if one["own"]]
        if not own:
            raise typer.BadParameter("The data set's own folder holds no index lists; name another one.")
        [name] = own
    return name


def _dataset(ctx: typer.Context, given: str | None) -> str | None:
    # The option may stand before the sub-command's name, where the group has taken it.
    return given or (ctx.parent.params.get("dataset") if ctx.parent else None)


def _shares(given: str | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    found = SHARES.fullmatch(given)
    if found is None:
        raise typer.BadParameter(f"{given!r} is not three whole numbers like 8:1:1.", param_hint="--shares")
    return tuple(int(part) for part in found.groups())


def _created(description: Record) -> Iterator[RenderableType]:
    lists = table(["list", "base", "balance"], ["size"])
    for name, entry in description["lists"].items():
        lists.add_row(name, entry["base"], entry["balance"] or NONE, count(entry["size"]))
    yield lists
    name = description["name"]
    yield Text(f"The splits {name!r} are there; a job takes them with --splits-dir {name}.", style="green")
