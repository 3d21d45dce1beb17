"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from relogit.client import DEFAULT_SERVER, SERVER_VARIABLE

ServerOption = Annotated[
    str | None,
    typer.Option("--server", help=f"URL of the server [env: {SERVER_VARIABLE}; default: {DEFAULT_SERVER}]"),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON only on standard output; errors as problem JSON on standard error")
]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Data set, as declared on the server")]
PrefixOption = Annotated[
    str | None, typer.Option("--checkpoint-prefix", "--prefix", help="What precedes the expert in its file name")
]
ExpertsDirOption = Annotated[
    str | None, typer.Option("--experts-dir", help="Folder below the server's checkpoints; 'checkpoints/' is dropped")
]
SplitsDirOption = Annotated[
    str | None, typer.Option("--splits-dir", help="Folder below the server's data; 'data/' is dropped")
]
JobArgument = Annotated[
    str | None, typer.Argument(metavar="ID", help="Id of a job, or its start [default: the newest recompute job]")
]
HeadThresholdOption = Annotated[
    int | None,
    typer.Option("--head-threshold", metavar="N", help="Train samples above which a class is head [default: 20]"),
]
RecomputeRowsOption = Annotated[
    int | None,
    typer.Option(
        "--recompute",
        metavar="N",
        min=0,
        help="Recompute N rows of each result with its checkpoint, and compare them with the file [default: 0]",
    ),
]
FloorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--floor",
        metavar="NAME=VALUE",
        help="Warn below it: balanced_accuracy=0.35 or =35%; any accuracy of the report; repeatable",
    ),
]


def group_dataset(ctx: typer.Context, dataset: str | None) -> str | None:
    """Return the option's value, which the command's group may hold."""
    return dataset or (ctx.parent.params.get("dataset") if ctx.parent else None)
