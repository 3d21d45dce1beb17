"""`relogit splits import`: import index lists of other tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from relogit.cli.command import command
from relogit.cli.options import DatasetOption, NewSetArgument, OverwriteOption
from relogit.cli.session import Session
from relogit.index_files import find_lists, read_indices
from relogit.render.tables import Record, count, new_table, printable

TRAIN_LISTS = ("train", "expert", "gating")  # lists that usually point into the train base

Mapping = dict[str, tuple[str, str | None]]
"""New name and base of each list, by its old name."""


@command
def import_lists(
    run: Session,
    name: NewSetArgument,
    sources: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders, or files .json .npy .txt .csv")],
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OLD=NEW[:BASE]", help="A list's new name, and the base that it points into"),
    ] = None,
    dataset: DatasetOption = None,
    overwrite: OverwriteOption = None,
) -> None:
    """Import index lists of other tools.

    Without --map a list keeps its name; train, expert and gating point into train, any other into test. The command
    names what is doubtful about the lists.
    """
    mapping = _mapping(mapped or ())
    files, numbers = find_lists(sources)
    if unknown := sorted(set(mapping) - set(files)):
        problem = f"There is no list {printable(', '.join(unknown))}. The lists are: {printable(', '.join(files))}."
        raise typer.BadParameter(problem, param_hint="--map")
    lists, assumptions = _read_lists(files, mapping)
    description = run.client.import_splits(name, lists, dataset=dataset, overwrite=overwrite, **numbers)
    description["doubtful"] += [f"Assumed: {', '.join(assumptions)}."] if assumptions else []
    run.show(description, lambda: _imported_lines(description, dataset))


def _mapping(values: Sequence[str]) -> Mapping:
    mapping: Mapping = {}
    for value in values:
        old, equals, rest = value.partition("=")
        new, _, base = rest.partition(":")
        if not (old and equals and new):
            raise typer.BadParameter(f"{value!r} is not like val_lt=val or val_lt=val:test.", param_hint="--map")
        if old in mapping:
            raise typer.BadParameter(f"{old!r} is given twice; one new name is expected.", param_hint="--map")
        mapping[old] = (new, base or None)
    return mapping


def _read_lists(files: dict[str, Path], mapping: Mapping) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the lists, and describe assumed bases."""
    lists = []
    assumptions = []
    for old, path in files.items():
        new, base = mapping.get(old, (old, None))
        usual = "train" if new in TRAIN_LISTS else "test"
        lists.append({"name": new, "base": base or usual, "indices": read_indices(path)})
        if base is None:
            assumptions.append(f"{new} points into {usual}")
    return lists, assumptions


def _imported_lines(description: Record, dataset: str | None) -> Iterator[RenderableType]:
    lists = description["lists"].items()
    yield new_table(({"list": n, "base": e["base"], "size": count(e["size"])} for n, e in lists), ["size"])
    for doubt in description["doubtful"]:
        yield Text(f"doubtful  {printable(doubt)}", style="yellow")
    name = description["name"]
    check = f"relogit splits check {name}" + (f" --dataset {dataset}" if dataset else "")
    yield Text(f"The splits {name!r} are there; `{check}` audits them.", style="green")
